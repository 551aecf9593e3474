"""Reading beside the writer: a few connections, a thread each, one read transaction a snapshot."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry, Page, Query
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
from fhir_server.storage.sqlite.connection import connect
from fhir_server.storage.sqlite.planner import Planner
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.stored_entries import stored_entries
from fhir_server.storage.sqlite.view import read_all, references

T = TypeVar("T")
INLINE: Final = 16
"""So many reads by key cost less than handing them to a thread."""


class Reader:
    """One connection of the pool."""

    def __init__(self, path: Path) -> None:
        self.connection = connect(path)
        self.reading = Reading(self.connection)
        self.planner = Planner(self.reading)

    def begin(self) -> Head:
        """Begin a read transaction; the head is what it sees."""
        try:
            self.connection.execute("BEGIN")
            return self.reading.head()
        except sqlite3.Error as error:
            self.end()
            raise StoreUnavailable(f"the database cannot be read now: {error}") from error

    def end(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def run(self, work: Callable[[Reader], T], seconds: float) -> T:
        """Do something within a time limit."""
        with self.reading.meter.limit(seconds):
            return work(self)


class Readers:
    """At most ``count`` snapshots at once; further ones wait."""

    def __init__(self, path: Path, count: int, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._places = asyncio.Semaphore(count)
        self._free: list[Reader] = []
        self._all: list[Reader] = []
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sqlite-reader")

    async def take(self) -> Reader:
        await self._places.acquire()
        try:
            if self._free:
                return self._free.pop()
            reader = Reader(self._path)
        except BaseException:
            self._places.release()
            raise
        self._all.append(reader)
        return reader

    def give_back(self, reader: Reader) -> None:
        reader.end()
        self._free.append(reader)
        self._places.release()

    async def run(self, reader: Reader, work: Callable[[Reader], T], seconds: float | None = None) -> T:
        """Do something in a thread. A caller that is cancelled interrupts it, and leaves only when it has ended."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, reader.run, work, seconds or self._seconds)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            reader.connection.interrupt()
            await asyncio.wait([future])
            future.exception()
            raise

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        for reader in self._all:
            reader.connection.close()


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
        found = read_all(self._reader.reading, first)
        rest = list(wanted)
        if rest:
            found.update(await self._run(lambda reader: read_all(reader.reading, rest)))
        return found

    async def vread(self, key: Key, version: int) -> Stored | None:
        return self._reader.reading.vread(key, version)

    async def history(self, scope: Scope, page: HistoryPage) -> Versions:
        return await self._run(lambda reader: reader.reading.history(scope, page))

    async def search(self, query: Query, page: Page) -> Matches:
        return await self._run(lambda reader: reader.planner.search(query, page))

    async def count(self, query: Query, seconds: float | None = None) -> int:
        return await self._run(lambda reader: reader.planner.count(query), seconds)

    async def references(self, keys: Sequence[Key], parameter: str) -> Mapping[Key, tuple[str, ...]]:
        return await self._run(lambda reader: references(reader.reading, keys, parameter))

    async def entries(self, keys: Sequence[Key]) -> Mapping[Key, tuple[IndexEntry, ...]]:
        return await self._run(lambda reader: stored_entries(reader.reading, keys))
