"""From a commit to what is searched and paged: guarded, idempotent, so that late or twice does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from fhir_server.model.reference import Key
from fhir_server.storage.mongo.connection import Collection, Document, unavailable
from fhir_server.storage.mongo.documents import Values, Written, resource_document, version_row
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.refused import refused_by, write_fewer


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
        if refused_by(error):
            raise unavailable(error) from error


async def _replace(log: Log, type: str, changes: Sequence[Written]) -> None:
    """Replace what is older; what is newer MongoDB refuses as a duplicate, rightly."""

    def replacing(change: Written, values: Values) -> ReplaceOne[Document]:
        guard = {"_id": change.stored.key.id, "number": {"$lt": change.stored.address.number}}
        return ReplaceOne(guard, resource_document(change, values), upsert=True)

    await write_fewer(log, type, [(change.stored.key, partial(replacing, change)) for change in changes])
