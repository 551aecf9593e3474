"""Resources whose index values MongoDB refuses: stored all the same, found by less, until they are indexed anew.

One that is found by nothing at all carries ``UNKNOWN`` as its one equality value: who asks who holds a value must not
take it for one that does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.model.reference import Key
from fhir_server.storage.mongo.connection import Document, told
from fhir_server.storage.mongo.documents import Written, resource_document
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.values import FIELDS, UNKNOWN

_NOTED: Document = {"_id": "refused"}


def with_equality_only(change: Written) -> Document:
    """Return a resource's document without its texts, spans, points and sort values."""
    document = resource_document(change)
    kept = {name: value for name, value in document.items() if name == "equal" or name not in FIELDS}
    return {**kept, "refused": True}


def without_values(change: Written) -> Document:
    return {**with_equality_only(change), "equal": [UNKNOWN]}


async def note_refused(log: Log, keys: Sequence[Key]) -> None:
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
