"""From a commit to what is searched and paged: guarded, idempotent, so that late or twice does no harm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from fhir_server.model.reference import Key
from fhir_server.storage.mongo.connection import DUPLICATE, Collection, Document, passes, unavailable
from fhir_server.storage.mongo.documents import Written, resource_document, version_row
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.refused import note_refused, with_equality_only, without_values
from fhir_server.storage.protocol import StoreUnavailable

LOG: Final = logging.getLogger(__name__)


async def project(log: Log, changes: Sequence[Written]) -> None:
    """Write the changes of one commit into the collections that are read. Raises errors of the driver."""
    last: dict[Key, Written] = {change.stored.key: change for change in changes}
    by_type: dict[str, list[Written]] = {}
    for change in last.values():
        by_type.setdefault(change.stored.key.type, []).append(change)
    work: list[Awaitable[Any]] = [_add_versions(log.versions, changes)]
    for type_, own in by_type.items():
        await log.prepare(type_)
        work.append(_replace(log, type_, own))
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _add_versions(versions: Collection, changes: Sequence[Written]) -> None:
    try:
        await versions.insert_many([version_row(change) for change in changes], ordered=False)
    except BulkWriteError as error:
        _check(error)


async def _replace(log: Log, type: str, changes: Sequence[Written]) -> None:
    """Replace what is older.

    What MongoDB refuses for the sake of its index values is written with fewer of them, so that nothing in the data
    can keep commits from being applied: first with its equality values alone, then with none.
    """
    refused = await _write(log, type, changes, resource_document)
    if refused:
        refused = await _write(log, type, refused, with_equality_only)
    if refused and await _write(log, type, refused, without_values):
        raise StoreUnavailable(f"MongoDB refuses resources of type {type}, whatever they are found by")


async def _write(
    log: Log, type: str, changes: Sequence[Written], document: Callable[[Written], Document]
) -> list[Written]:
    """Return what MongoDB refuses; what it does not match, because it is newer, it refuses as a duplicate: rightly."""
    writes = []
    for change in changes:
        stored = change.stored
        guard = {"_id": stored.key.id, "number": {"$lt": stored.address.number}}
        writes.append(ReplaceOne(guard, document(change), upsert=True))
    if document is not resource_document:
        await note_refused(log, [change.stored.key for change in changes])
    try:
        await log.resources(type).bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        failed = [one for one in details.get("writeErrors", ()) if one["code"] != DUPLICATE]
        if details.get("writeConcernErrors") or any(passes(one["code"]) for one in failed):
            raise unavailable(error) from error
        for one in failed:
            LOG.error("MongoDB refuses the index values of %s (%s)", changes[one["index"]].stored.key, one["code"])
        return [changes[one["index"]] for one in failed]
    return []


def _check(error: BulkWriteError) -> None:
    """Raise unless every refusal is a duplicate, and all that was written is confirmed."""
    details = error.details or {}
    if details.get("writeConcernErrors") or any(one["code"] != DUPLICATE for one in details.get("writeErrors", ())):
        raise unavailable(error) from error
