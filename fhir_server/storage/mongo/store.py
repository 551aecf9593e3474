"""The engine on MongoDB: one log in one database, written by any number of processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from pymongo import UpdateOne
from pymongo.errors import PyMongoError

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.beside import beside
from fhir_server.storage.following import check_cursor, check_writable
from fhir_server.storage.health import warnings
from fhir_server.storage.mongo.appending import Appender
from fhir_server.storage.mongo.committing import Committer
from fhir_server.storage.mongo.connection import connect, database, told
from fhir_server.storage.mongo.copying import copy
from fhir_server.storage.mongo.documents import Values
from fhir_server.storage.mongo.gathering import Gathered
from fhir_server.storage.mongo.indexes import LIVE
from fhir_server.storage.mongo.leases import Leases
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.opening import explained, is_linearizable, log_identity
from fhir_server.storage.mongo.reading import Reading
from fhir_server.storage.mongo.refused import Write, refused, write_fewer
from fhir_server.storage.mongo.searching import Searching
from fhir_server.storage.mongo.snapshot import MongoSnapshot
from fhir_server.storage.mongo.values import FIELDS
from fhir_server.storage.protocol import (
    Clock,
    Commit,
    Committed,
    Head,
    Plan,
    Reindexed,
    Snapshot,
    Stored,
    StoreError,
    StoreLimits,
    StoreUnavailable,
)

T = TypeVar("T")
LOG: Final = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """What a store has while it is open."""

    log: Log
    heads: Gathered[None, Head]
    reading: Reading
    searching: Searching
    appender: Appender
    committer: Committer
    leases: Leases
    closing: AsyncExitStack


class MongoStore:
    """See ``fhir_server.storage.protocol.Store``. ``uri`` names the database; ``definition_types`` the types whose
    changes begin a generation; ``listeners`` hear every command (tests)."""

    def __init__(
        self,
        uri: str,
        *,
        clock: Clock,
        limits: StoreLimits = StoreLimits(),  # noqa: B008 - frozen
        definition_types: frozenset[str] = frozenset(),
        listeners: Sequence[Any] = (),
    ) -> None:
        self._uri = uri
        self._clock = clock
        self._limits = limits
        self._definition_types = definition_types
        self._listeners = tuple(listeners)
        self._opened: Parts | None = None

    async def open(self) -> None:
        """Connect, make the log if there is none, finish what was left unfinished. Raises ``StoreUnavailable``."""
        async with AsyncExitStack() as closing:
            with explained(self._uri):
                client = connect(self._uri, self._limits.query_seconds, self._listeners)
                closing.callback(client.close)
                base = database(client)
                linearizable = await is_linearizable(client)
                log = Log(base, await log_identity(base), linearizable=linearizable)
                await log.create()
            self._opened = await self._parts(log, closing)

    async def _parts(self, log: Log, closing: AsyncExitStack) -> Parts:
        reading, searching = Reading(log), Searching(log, self._limits.query_seconds)
        appender = Appender(log)
        await appender.heal()
        committer = Committer(log, appender, reading, searching, self._clock, self._limits, self._definition_types)
        committer.start()
        await closing.enter_async_context(beside(_tick(committer)))
        closing.push_async_callback(committer.finish)

        async def heads(_: Sequence[None]) -> dict[None, Head]:
            return {None: (await log.state()).head}

        return Parts(log, Gathered(heads), reading, searching, appender, committer, Leases(log), closing.pop_all())

    async def close(self) -> None:
        """Write what is queued, then disconnect. A store that is not open stays so."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.closing.aclose()

    @property
    def parts(self) -> Parts:
        """What an open store has. Raises ``StoreUnavailable`` if it is not open."""
        if self._opened is None:
            raise StoreUnavailable("the store is closed")
        return self._opened

    # --- reading -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Return what the log says now, a context manager. Raises ``StoreUnavailable``."""
        parts = self.parts
        return MongoSnapshot(parts.heads, parts.reading, parts.searching)

    async def read(self, key: Key) -> Stored | None:
        return await self.parts.reading.read(key)

    async def head(self) -> Head:
        """Return the last commit known applied."""
        head = await self.parts.heads.get(None)
        if head is None:
            raise StoreUnavailable("the log has been removed from the database")
        return head

    async def log(self, after: int) -> AsyncIterator[Commit]:
        log = self.parts.log
        head = await self.head()
        check_cursor(after, head)
        async for commit in log.between(after, head.number):
            yield commit

    # --- writing -----------------------------------------------------------------------------------------------------

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        answer: Committed[T] = await self.parts.committer.submit(plan)
        return answer

    async def append(self, commits: Iterable[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]], log_id: str) -> None:
        parts = self.parts
        other = await copy(parts.log, parts.appender, commits, log_id)
        if other is not None:
            await self.close()
            await self.open()
            parts = self.parts
            await copy(parts.log, parts.appender, other, log_id)

    async def end(self) -> None:
        """Mark the end of the log."""
        check_writable(await self.head())
        await self.parts.appender.end()

    async def reindex(self, entries: Sequence[Reindexed], *, again: bool = False) -> int:
        """Replace the index values of what is still current and was indexed under an older generation."""
        writes: dict[str, list[Write]] = {}
        for one in entries:
            writes.setdefault(one[0].type, []).append((one[0], partial(_reindexing, one, again)))
        with told():
            return sum([await write_fewer(self.parts.log, type_, own) for type_, own in writes.items()])

    def alone(self, task: str) -> AbstractAsyncContextManager[bool]:
        """Enter with True for one at a time of all who enter with a task's name; the others with False."""
        return self.parts.leases.alone(task)

    # --- health ------------------------------------------------------------------------------------------------------

    async def healthy(self) -> Sequence[str]:
        """Return warnings; raise ``StoreUnavailable`` if MongoDB does not answer, or nothing more will be written."""
        parts = self.parts
        if not parts.committer.is_alive:
            raise StoreUnavailable("the store is closed")
        head = (await parts.log.state()).head
        told = list(warnings(parts.committer.failure, head, self._clock()))
        found_by_less = await refused(parts.log)
        if found_by_less:
            names = ", ".join(map(str, found_by_less[:SHOWN]))
            told.append(f"{len(found_by_less)} resources are not found by all their values; reindex: {names}")
        return told


def _reindexing(entries: Reindexed, again: bool, values: Values) -> UpdateOne:
    """Return what writes index values anew."""
    key, version, generation, own = entries
    where = {"_id": key.id, "version": version, "generation": {"$lt": generation + again}, **LIVE}
    if own is None:
        return UpdateOne(where, {"$set": {"generation": generation}})
    found = values(own)
    gone = {name: "" for name in (*FIELDS, "refused") if name not in found}
    return UpdateOne(where, {"$set": {**found, "generation": generation}, "$unset": gone})


async def _tick(committer: Committer) -> None:
    """Finish, once a second, what a process that died has left unfinished."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        try:
            await committer.tick()
        except (StoreError, PyMongoError) as error:
            LOG.warning("the log could not be looked after: %s", type(error).__name__)
