"""Commits appended verbatim, from a backup or another store, into a log that no plan has written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from secrets import token_hex
from typing import TypeAlias

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.following import WRITTEN, another_log, check_commit, check_version
from fhir_server.storage.mongo.appending import Appender
from fhir_server.storage.mongo.connection import told
from fhir_server.storage.mongo.documents import Written, commit_document
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.opening import become
from fhir_server.storage.mongo.reading import Reading
from fhir_server.storage.protocol import ENDED, POSITIONS, SCHEMA, Commit, Head, StoreError

Copied: TypeAlias = tuple[Commit, Sequence[tuple[IndexEntry, ...]]]


async def copy(log: Log, appender: Appender, commits: Iterable[Copied], log_id: str) -> Iterator[Copied] | None:
    """Append commits. An empty store takes the identity of the first ones' log: then it must be opened again, and the
    commits are returned unwritten."""
    rest = iter(commits)
    first = next(rest, None)
    if first is None:
        return None
    head = await appender.heal()
    last = await log.last()
    if last is not None and not last.get("copied") and last.get("successor") != log_id:
        raise StoreError(WRITTEN)
    if log_id != log.identity:
        if head.number:
            raise another_log(log.identity, log_id)
        await _leave(log, appender, first[0], log_id)
        return chain([first], rest)
    for commit, entries in chain([first], rest):
        check_commit(commit, head)
        head = await _append(log, appender, commit, entries)
    return None


async def _leave(log: Log, appender: Appender, first: Commit, log_id: str) -> None:
    """End the empty log, so that no other process ever writes to it, and let the database hold the other."""
    check_commit(first, Head(log_id, 0, 0, 0, SCHEMA))
    if (await log.state()).head.schema != ENDED and not await appender.end(log_id):
        raise StoreError(WRITTEN)
    with told():
        await become(log.database, log.identity, log_id)


async def _append(log: Log, appender: Appender, commit: Commit, entries: Sequence[tuple[IndexEntry, ...]]) -> Head:
    changes = await _written(log, commit, entries)
    with told():
        if not await log.insert(commit_document(commit, changes, token_hex(8), copied=True)):
            raise StoreError(WRITTEN)
    head = Head(log.identity, commit.number, commit.instant, commit.generation, commit.schema)
    await appender.apply(changes, head)
    return head


async def _written(log: Log, commit: Commit, entries: Sequence[tuple[IndexEntry, ...]]) -> list[Written]:
    """Return the changes with their places in the order of creation."""
    current = await Reading(log).current([change.key for change in commit.changes])
    known: dict[Key, tuple[int, int]] = {key: (stored.version, place) for key, (stored, place) in current.items()}
    found = []
    for change, own in zip(commit.changes, entries, strict=True):
        place = change.address.number * POSITIONS + change.address.position
        before, ordinal = known.get(change.key, (0, place))
        check_version(change.key, change.version, before)
        known[change.key] = change.version, ordinal
        found.append(Written(change, ordinal, () if change.is_deleted else own))
    return found
