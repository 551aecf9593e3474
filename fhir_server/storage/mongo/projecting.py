"""From a commit to what is searched and paged: guarded, idempotent, so that late or twice does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from fhir_server.model.reference import Key
from fhir_server.storage.mongo.connection import DUPLICATE, Collection, unavailable
from fhir_server.storage.mongo.documents import Written, resource_document, version_row
from fhir_server.storage.mongo.log import Log


async def project(log: Log, changes: Sequence[Written]) -> None:
    """Write the changes of one commit into the collections that are read. Raises errors of the driver."""
    last: dict[Key, Written] = {change.stored.key: change for change in changes}
    by_type: dict[str, list[Written]] = {}
    for change in last.values():
        by_type.setdefault(change.stored.key.type, []).append(change)
    work: list[Awaitable[Any]] = [_add_versions(log.versions, changes)]
    for type_, own in by_type.items():
        await log.prepare(type_)
        work.append(_replace(log.resources(type_), own))
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _add_versions(versions: Collection, changes: Sequence[Written]) -> None:
    try:
        await versions.insert_many([version_row(change) for change in changes], ordered=False)
    except BulkWriteError as error:
        _check(error)


async def _replace(resources: Collection, changes: Sequence[Written]) -> None:
    """Replace what is older. What is not matched, because it is newer, is refused as a duplicate: rightly."""
    writes = []
    for change in changes:
        stored = change.stored
        guard = {"_id": stored.key.id, "number": {"$lt": stored.address.number}}
        writes.append(ReplaceOne(guard, resource_document(change), upsert=True))
    try:
        await resources.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        _check(error)


def _check(error: BulkWriteError) -> None:
    """Raise unless every refusal is a duplicate, and all that was written is confirmed."""
    details = error.details or {}
    if details.get("writeConcernErrors") or any(one["code"] != DUPLICATE for one in details.get("writeErrors", ())):
        raise unavailable(error) from error
