"""Resources whose index values MongoDB refuses: stored all the same, found by less, until they are indexed anew.

One that is found by nothing at all carries ``UNKNOWN`` as its one equality value: who asks who holds a value must not
take it for one that does not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.mongo.connection import DUPLICATE, Document, passes, told, unavailable
from fhir_server.storage.mongo.documents import Values
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.values import UNKNOWN, index_values
from fhir_server.storage.protocol import StoreUnavailable

LOG: Final = logging.getLogger(__name__)
Write: TypeAlias = tuple[Key, Callable[[Values], ReplaceOne[Document] | UpdateOne]]
"""A resource, and what writes it with the fields that it is found by."""

_NOTED: Document = {"_id": "refused"}


def _equality_only(entries: Iterable[IndexEntry]) -> Document:
    """Return the fields without texts, spans, points and sort values."""
    return {"equal": index_values(entries).get("equal", []), "refused": True}


def _none(_: Iterable[IndexEntry]) -> Document:
    return {"equal": [UNKNOWN], "refused": True}


FEWER: Final[tuple[Values, ...]] = (index_values, _equality_only, _none)
"""What a resource is written with: the next of them where MongoDB refuses the one before."""


def refused_by(error: BulkWriteError) -> dict[int, int]:
    """Return the code for each write that MongoDB refuses for the sake of its values, by its place; a duplicate is no
    refusal, but newer. Raises ``StoreUnavailable`` unless all others are certain."""
    details = error.details or {}
    failed = {one["index"]: one["code"] for one in details.get("writeErrors", ()) if one["code"] != DUPLICATE}
    if details.get("writeConcernErrors") or any(map(passes, failed.values())):
        raise unavailable(error) from error
    return failed


async def write_fewer(log: Log, type: str, writes: Sequence[Write]) -> int:
    """Write resources of a type, each with all of its values or as many as MongoDB takes; return how many it matched.

    So nothing in the data can keep commits from being applied, nor values from being written anew. Raises
    ``StoreUnavailable``, and errors of the driver.
    """
    matched: int = 0
    for values in FEWER:
        if values is not index_values:
            await _note(log, [key for key, _ in writes])
        try:
            made = [make(values) for _, make in writes]
            return matched + (await log.resources(type).bulk_write(made, ordered=False)).matched_count
        except BulkWriteError as error:
            matched += (error.details or {}).get("nMatched", 0)
            refusals = refused_by(error)
        for place, code in refusals.items():
            LOG.error("MongoDB refuses the index values of %s (%s)", writes[place][0], code)
        writes = [writes[place] for place in refusals]
        if not writes:
            return matched
    raise StoreUnavailable(f"MongoDB refuses resources of type {type}, whatever they are found by")


async def _note(log: Log, keys: Sequence[Key]) -> None:
    """Note what is found by less, for ``refused``. Raises errors of the driver."""
    change = {"$addToSet": {"keys": {"$each": [str(key) for key in keys]}}}
    await log.states.update_one(_NOTED, change, upsert=True)


async def refused(log: Log) -> tuple[Key, ...]:
    """Return the resources that are found by less than they should; forget those that no longer are."""
    with told():
        noted = await log.states.find_one(_NOTED)
        found = []
        for text in (noted or {}).get("keys", ()):
            key = Key(*text.split("/"))
            if await log.resources(key.type).find_one({"_id": key.id, "refused": True}, {"_id": 1}) is None:
                await log.states.update_one(_NOTED, {"$pull": {"keys": text}})
            else:
                found.append(key)
    return tuple(found)
