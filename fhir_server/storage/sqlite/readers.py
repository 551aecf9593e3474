"""Reading beside the writer: a few connections, a thread each, one read transaction a snapshot."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry, Page, Query
from fhir_server.storage.plans import READS_WAITED
from fhir_server.storage.protocol import (
    Head,
    HistoryPage,
    Matches,
    Scope,
    Snapshot,
    Stored,
    StoreUnavailable,
    Versions,
)
from fhir_server.storage.sqlite.awaiting import finished
from fhir_server.storage.sqlite.connection import connect, unreadable
from fhir_server.storage.sqlite.counting import Counts
from fhir_server.storage.sqlite.identity import Identity
from fhir_server.storage.sqlite.outdated import outdated
from fhir_server.storage.sqlite.planner import Planner
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.stored_entries import stored_entries
from fhir_server.storage.sqlite.view import SqliteReads, read_all, references, targets

T = TypeVar("T")
INLINE: Final = 16
"""So many reads by key cost less than handing them to a thread."""
WAIT_SECONDS: Final = 5.0
"""The longest wait for a reader, or as long as a query may take if that is less: later, the client has given up."""
INTERRUPT_SECONDS: Final = 0.05
"""Between two interruptions of what nobody waits for: it may not have begun yet, and then it hears none."""


class Reader:
    """One connection of the pool."""

    def __init__(self, path: Path, counts: Counts | None = None) -> None:
        self.connection = connect(path)
        self.reading = Reading(self.connection)
        self.planner = Planner(self.reading, counts)

    def begin(self) -> Head:
        """Begin a read transaction; the head is what it sees."""
        try:
            self.connection.execute("BEGIN")
            head = self.reading.head()
        except sqlite3.Error as error:
            raise unreadable(error) from error
        self.planner.begin(head.number)
        return head

    def end(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def run(self, work: Callable[[Reader], T], seconds: float) -> T:
        """Do something within a time limit."""
        with self.reading.meter.limit(seconds):
            return work(self)

    def run_here(self, work: Callable[[Reading], T]) -> T:
        """Read a few rows by key: without a thread, without a limit."""
        try:
            return work(self.reading)
        except sqlite3.Error as error:
            raise unreadable(error) from error


class Readers:
    """At most ``count`` snapshots at once; further ones wait, for a while."""

    def __init__(self, path: Path, identity: Identity, count: int, seconds: float) -> None:
        self._path = path
        self._identity = identity
        self._seconds = seconds
        self._counts = Counts()
        self._places = asyncio.Semaphore(count)
        self._free: list[Reader] = []
        self._all: set[Reader] = set()
        self._closed = False
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sqlite-reader")

    async def take(self) -> Reader:
        """Wait for a reader. Raises ``StoreUnavailable`` if there is none in time, or no more of them can be made."""
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        try:
            return self._free.pop() if self._free else self._make()
        except BaseException:
            self._places.release()
            raise

    async def _wait(self) -> None:
        wait = min(self._seconds, WAIT_SECONDS)
        try:
            async with asyncio.timeout(wait):
                await self._places.acquire()
        except TimeoutError as error:
            raise StoreUnavailable(f"all readers were busy for {wait:g} seconds") from error

    def _make(self) -> Reader:
        """Open one more connection, to the very file the others have open."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        self._identity.check()
        try:
            reader = Reader(self._path, self._counts)
        except sqlite3.Error as error:
            raise unreadable(error) from error
        self._all.add(reader)
        return reader

    def give_back(self, reader: Reader) -> None:
        """End the reader's transaction; one that cannot end it is of no more use, but its place is."""
        try:
            reader.end()
        except sqlite3.Error:
            self._all.discard(reader)
            with suppress(sqlite3.Error):
                reader.connection.close()
        else:
            self._free.append(reader)
        finally:
            self._places.release()

    async def run(self, reader: Reader, work: Callable[[Reader], T], seconds: float | None = None) -> T:
        """Do something in a thread. A caller that is cancelled interrupts it, and leaves only when it has ended."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        limit = self._seconds if seconds is None else seconds
        future = asyncio.get_running_loop().run_in_executor(self._threads, reader.run, work, limit)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                reader.connection.interrupt()
                with suppress(asyncio.CancelledError):  # once is enough
                    await asyncio.wait([future], timeout=INTERRUPT_SECONDS)
            future.exception()
            raise

    def close(self) -> None:
        self._closed = True
        self._threads.shutdown(wait=True)
        while self._all:  # the event loop goes on meanwhile, and may drop one
            self._all.pop().connection.close()


class SqliteSnapshot:
    """One read transaction."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._taken: Reader | None = None
        self._head: Head | None = None

    async def __aenter__(self) -> Snapshot:
        reader = await self._readers.take()
        try:
            self._head = reader.begin()
        except BaseException:
            self._readers.give_back(reader)
            raise
        self._taken = reader
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reader, self._taken = self._taken, None
        if reader is not None:
            self._readers.give_back(reader)

    @property
    def _reader(self) -> Reader:
        if self._taken is None:
            raise RuntimeError("this snapshot is closed")
        return self._taken

    async def _run(self, work: Callable[[Reader], T], seconds: float | None = None) -> T:
        return await self._readers.run(self._reader, work, seconds)

    @property
    def head(self) -> Head:
        if self._head is None:
            raise RuntimeError("this snapshot was never opened")
        return self._head

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, Stored]:
        wanted = iter(keys)
        first = list(islice(wanted, INLINE))
        found = self._reader.run_here(lambda reading: read_all(reading, first))
        rest = list(wanted)
        if rest:
            found.update(await self._run(lambda reader: read_all(reader.reading, rest)))
        return found

    async def vread(self, key: Key, version: int) -> Stored | None:
        return self._reader.run_here(lambda reading: reading.vread(key, version))

    async def deletions(self, versions: Sequence[tuple[Key, int]]) -> frozenset[tuple[Key, int]]:
        return await self._run(lambda reader: reader.reading.deletions(versions))

    async def history(self, scope: Scope, page: HistoryPage) -> Versions:
        return await self._run(lambda reader: reader.reading.history(scope, page))

    async def search(self, query: Query, page: Page) -> Matches:
        return await self._run(lambda reader: reader.planner.search(query, page))

    async def count(self, query: Query, seconds: float | None = None) -> int:
        return await self._run(lambda reader: reader.planner.count(query), seconds)

    async def references(self, keys: Sequence[Key], parameter: str) -> Mapping[Key, tuple[str, ...]]:
        return await self._run(lambda reader: references(reader.reading, keys, parameter))

    async def targets(self, keys: Sequence[Key], parameter: str) -> tuple[str, ...]:
        return await self._run(lambda it: targets(it.reading, keys, parameter, it.planner.ordinals))

    async def entries(self, keys: Sequence[Key]) -> Mapping[Key, tuple[IndexEntry, ...]]:
        return await self._run(lambda reader: stored_entries(reader.reading, keys))

    async def outdated(self, type: str, generation: int, limit: int) -> tuple[Stored, ...]:
        return self._reader.run_here(lambda reading: outdated(reading, type, generation, limit))

    async def together(self, reads: Callable[[Snapshot], Awaitable[T]]) -> T:
        """One job for all: each hand-over to a thread and back waits for both to have their turn."""
        head = self.head
        return await self._run(lambda it: finished(reads(SqliteReads(it.reading, it.planner, head)), READS_WAITED))
