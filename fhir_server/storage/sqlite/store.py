"""The embedded engine: one file, one writer thread a process, readers beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeVar

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.protocol import (
    ENDED,
    Clock,
    Commit,
    Committed,
    CursorGone,
    Head,
    Plan,
    Reindexed,
    Snapshot,
    Stored,
    StoreLimits,
    StoreUnavailable,
)
from fhir_server.storage.sqlite import filesystem
from fhir_server.storage.sqlite.appending import Appender
from fhir_server.storage.sqlite.connection import connect, unreadable
from fhir_server.storage.sqlite.identity import Identity, log_of
from fhir_server.storage.sqlite.locks import Turns, alone
from fhir_server.storage.sqlite.migrations import migrate
from fhir_server.storage.sqlite.readers import Readers, SqliteSnapshot
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.reindexing import reindex
from fhir_server.storage.sqlite.writer import Writer

T = TypeVar("T")
LOG: Final = logging.getLogger(__name__)

FEED_CHANGES: Final = 500
"""Changes of the feed read in one transaction."""
COPIED_CHANGES: Final = 2_000
"""Changes of other logs' commits appended in one transaction."""
AHEAD_MICROSECONDS: Final = 5_000_000
WAL_BYTES: Final = 1_000_000_000


class SqliteStore:
    """See ``fhir_server.storage.protocol.Store``. ``definition_types``: the types whose changes begin a generation."""

    def __init__(
        self,
        path: Path | str,
        *,
        clock: Clock,
        limits: StoreLimits = StoreLimits(),  # noqa: B008 - frozen
        definition_types: frozenset[str] = frozenset(),
    ) -> None:
        self._path = Path(path).absolute()
        self._clock = clock
        self._limits = limits
        self._definition_types = definition_types
        self._warning: str | None = None
        self._turns: Turns | None = None
        self._identity: Identity | None = None
        self._connection: sqlite3.Connection | None = None
        self._inline: Reading | None = None
        self._writer: Writer | None = None
        self._readers: Readers | None = None

    async def open(self) -> None:
        """Open the file, or make it; bring its layout up to date. Raises ``StoreUnavailable``, ``SchemaTooNew``."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._warning = filesystem.check(self._path)
        except OSError as error:
            raise filesystem.cannot_open(self._path, error) from error
        if self._warning is not None:
            LOG.warning(self._warning)
        try:
            await asyncio.to_thread(self._open)
        except (sqlite3.Error, OSError) as error:
            await self.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise StoreUnavailable(f"{self._path} cannot be opened: {reason}") from error
        except BaseException:
            await self.close()
            raise
        assert self._connection is not None  # noqa: S101
        assert self._turns is not None  # noqa: S101
        assert self._identity is not None  # noqa: S101
        self._readers = Readers(self._path, self._identity, self._limits.readers, self._limits.query_seconds)
        self._writer = Writer(
            self._path, self._identity, self._connection, self._turns, self._clock, self._limits, self._definition_types
        )
        self._writer.start()

    def _open(self) -> None:
        self._turns = Turns(self._path)
        with self._turns.turn():
            # The store holds personal data: it is its owner's alone; SQLite gives the files beside it the same mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = connect(self._path, writes=True)
            self._refuse_foreign(self._connection)
            (mode,) = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreUnavailable(f"{self._path}: SQLite cannot keep a write-ahead log here (it says {mode!r})")
            migrate(self._connection)
            self._connection.execute("BEGIN IMMEDIATE").execute("ROLLBACK")  # says now if the file cannot be written
            self._inline = Reading(connect(self._path))
            self._inline.head()
            self._identity = Identity(self._path)

    def _refuse_foreign(self, connection: sqlite3.Connection) -> None:
        """Raise ``StoreUnavailable`` for a database that another program has made."""
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not {"meta", "commits", "version"} <= tables:
            raise StoreUnavailable(f"{self._path} is the database of another program; give a file of its own")

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, None
        if writer is not None:
            await asyncio.to_thread(writer.finish)
        if readers is not None:
            await asyncio.to_thread(readers.close)
        if self._inline is not None:
            self._inline.connection.close()
            self._inline = None
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)
            self._connection = None
        if self._turns is not None:
            self._turns.close()
            self._turns = None

    # --- reading -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        if self._readers is None:
            raise StoreUnavailable("the store is closed")
        return SqliteSnapshot(self._readers)

    async def read(self, key: Key) -> Stored | None:
        """One statement on a connection of its own, here: handing it to a thread costs more than it does."""
        if self._inline is None:
            raise StoreUnavailable("the store is closed")
        try:
            return self._inline.read(key)
        except sqlite3.Error as error:
            raise unreadable(error) from error

    async def head(self) -> Head:
        """Return the end of the log, read here as ``read`` does."""
        if self._inline is None:
            raise StoreUnavailable("the store is closed")
        try:
            return self._inline.head()
        except sqlite3.Error as error:
            raise unreadable(error) from error

    async def log(self, after: int) -> AsyncIterator[Commit]:
        """Yield the commits after a number, page by page: a slow reader holds no transaction open."""
        until: int | None = None
        while until is None or after < until:
            commits, until = await self._page_of_log(after, until)
            for commit in commits:
                yield commit
                after = commit.number
            if not commits:
                return

    async def _page_of_log(self, after: int, until: int | None) -> tuple[list[Commit], int]:
        if self._readers is None:
            raise StoreUnavailable("the store is closed")
        readers = self._readers
        reader = await readers.take()
        try:
            head = reader.begin()
            if after > head.number or after < 0:
                raise CursorGone(f"the log ends at {head.number}; {after} is not a place in it")
            commits = await readers.run(reader, lambda it: it.reading.commits(after, FEED_CHANGES))
        finally:
            readers.give_back(reader)
        end = head.number if until is None else until
        return [commit for commit in commits if commit.number <= end], end

    # --- writing -----------------------------------------------------------------------------------------------------

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        answer: Committed[T] = await self._the_writer.submit(plan)
        return answer

    async def append(self, commits: Iterable[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]], log_id: str) -> None:
        batch: list[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]] = []
        changes = 0
        for commit, entries in commits:
            batch.append((commit, entries))
            changes += len(commit.changes)
            if changes >= COPIED_CHANGES:
                await self._copy(batch, log_id)
                batch, changes = [], 0
        if batch:
            await self._copy(batch, log_id)

    async def _copy(self, batch: list[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]], log_id: str) -> None:
        def work(reading: Reading) -> None:
            Appender(reading, self._definition_types).copy(batch, log_id)

        await self._work(work)

    async def end(self) -> None:
        """Mark the end of the log, in a transaction of its own: a row of no commit takes the next number."""

        def work(reading: Reading) -> None:
            head = reading.head()
            row = (head.number + 1, head.instant, head.generation, ENDED)
            reading.connection.execute("INSERT INTO commits VALUES (?, ?, ?, ?)", row)

        await self._work(work)

    async def reindex(self, entries: Sequence[Reindexed], *, again: bool = False) -> int:
        def work(reading: Reading) -> int:
            return reindex(reading, entries, again=again)

        written: int = await self._work(work)
        return written

    def alone(self, task: str) -> AbstractAsyncContextManager[bool]:
        """Enter with True for one at a time, by a lock file beside the database."""
        return alone(self._path, task)

    async def _work(self, work: Any) -> Any:
        return await self._the_writer.submit(None, work)

    @property
    def _the_writer(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailable("the store is closed")
        return self._writer

    # --- health ------------------------------------------------------------------------------------------------------

    async def healthy(self) -> Sequence[str]:
        if self._inline is None or self._identity is None or self._writer is None or not self._writer.is_alive:
            raise StoreUnavailable("the store is closed")
        self._identity.check()
        warnings = [] if self._warning is None else [self._warning]
        failure = self._writer.failure()
        if failure is not None:
            warnings.append(f"the last write failed: {failure}")
        try:
            head = self._inline.head()
        except sqlite3.Error as error:
            raise unreadable(error) from error
        ahead = head.instant - self._clock()
        if ahead > AHEAD_MICROSECONDS:
            warnings.append(f"the last commit is {ahead / 1e6:.1f} s ahead of this machine's clock")
        wal = log_of(self._path)
        if wal.exists() and wal.stat().st_size > WAL_BYTES:
            warnings.append(f"{wal} has grown to {wal.stat().st_size} bytes: a reader keeps it from being emptied")
        return warnings
