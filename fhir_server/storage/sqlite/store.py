"""The embedded engine: one file, one writer thread a process, readers beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.following import check_cursor
from fhir_server.storage.health import warnings
from fhir_server.storage.protocol import (
    ENDED,
    Clock,
    Commit,
    Committed,
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
from fhir_server.storage.sqlite.committing import Committer
from fhir_server.storage.sqlite.connection import connect, unreadable
from fhir_server.storage.sqlite.identity import Identity, log_of
from fhir_server.storage.sqlite.locks import Turns, alone
from fhir_server.storage.sqlite.migrations import migrate
from fhir_server.storage.sqlite.readers import Readers, SqliteSnapshot
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.reindexing import reindex
from fhir_server.storage.sqlite.writer import Writer

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)

FEED_CHANGES: Final = 500
FEED_BYTES: Final = 4_000_000
"""Changes of the feed read in one transaction, and about what their bodies have."""
COPIED_CHANGES: Final = 2_000
"""Changes of other logs' commits appended in one transaction."""
WAL_BYTES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a store has while it is open."""

    connection: sqlite3.Connection
    """The writer's."""
    inline: Reading
    """On a connection of its own, for the event loop."""
    identity: Identity
    readers: Readers
    writer: Writer
    closing: ExitStack


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
        self._opened: Parts | None = None

    async def open(self) -> None:
        """Open the file, or make it; bring its layout up to date. Raises ``StoreUnavailable``, ``SchemaTooNew``."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._warning = filesystem.check(self._path)
        except OSError as error:
            raise filesystem.cannot_open(self._path, error) from error
        if self._warning is not None:
            _LOG.warning(self._warning)
        try:
            self._opened = await asyncio.to_thread(self._open)
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StoreUnavailable(f"{self._path} cannot be opened: {reason}") from error

    def _open(self) -> Parts:
        with ExitStack() as closing:
            turns = Turns(self._path)
            closing.callback(turns.close)
            with turns.turn():
                connection = self._connect(closing)
                inline = Reading(connect(self._path))
                closing.callback(inline.connection.close)
                inline.head()
                identity = Identity(self._path)
            readers = Readers(self._path, identity, self._limits.readers, self._limits.query_seconds)
            closing.callback(readers.close)
            committer = Committer(connection, self._clock, self._limits, self._definition_types)
            writer = Writer(self._path, identity, committer, turns, self._limits)
            writer.start()
            closing.callback(writer.finish)
            return Parts(connection, inline, identity, readers, writer, closing.pop_all())

    def _connect(self, closing: ExitStack) -> sqlite3.Connection:
        """Return the writer's connection to a file that is there, ours, up to date and can be written."""
        # The store holds personal data: it is its owner's alone; SQLite gives the files beside it the same mode.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = connect(self._path, writes=True)
        closing.callback(connection.close)
        self._refuse_foreign(connection)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreUnavailable(f"{self._path}: SQLite cannot keep a write-ahead log here (it says {mode!r})")
        migrate(connection)
        connection.execute("BEGIN IMMEDIATE").execute("ROLLBACK")  # says now if the file cannot be written
        return connection

    def _refuse_foreign(self, connection: sqlite3.Connection) -> None:
        """Raise ``StoreUnavailable`` for a database that another program has made."""
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not {"meta", "commits", "version"} <= tables:
            raise StoreUnavailable(f"{self._path} is the database of another program; give a file of its own")

    async def close(self) -> None:
        """Finish what is queued, then close. A store that is not open stays so."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await asyncio.to_thread(opened.closing.close)

    @property
    def parts(self) -> Parts:
        """What an open store has. Raises ``StoreUnavailable`` if it is not open."""
        if self._opened is None:
            raise StoreUnavailable("the store is closed")
        return self._opened

    # --- reading -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Return one state of the log to read, a context manager. Raises ``StoreUnavailable``."""
        return SqliteSnapshot(self.parts.readers)

    async def read(self, key: Key) -> Stored | None:
        """One statement on a connection of its own, here: handing it to a thread costs more than it does."""
        inline = self.parts.inline
        try:
            return inline.read(key)
        except sqlite3.Error as error:
            raise unreadable(error) from error

    async def head(self) -> Head:
        """Return the end of the log, read here as ``read`` does."""
        inline = self.parts.inline
        try:
            return inline.head()
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
        readers = self.parts.readers
        reader = await readers.take()
        try:
            head = reader.begin()
            check_cursor(after, head)
            commits = await readers.run(reader, lambda it: it.reading.commits(after, FEED_CHANGES, FEED_BYTES))
        finally:
            readers.give_back(reader)
        end = head.number if until is None else until
        return [commit for commit in commits if commit.number <= end], end

    # --- writing -----------------------------------------------------------------------------------------------------

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        """Run the plan at the head, in the writer's thread, and append its changes."""
        answer: Committed[T] = await self.parts.writer.commit(plan)
        return answer

    async def append(self, commits: Iterable[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]], log_id: str) -> None:
        """Append commits verbatim, some thousand changes in one transaction."""
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

        await self._perform(work)

    async def end(self) -> None:
        """Mark the end of the log, in a transaction of its own: a row of no commit takes the next number."""

        def work(reading: Reading) -> None:
            head = reading.head()
            row = (head.number + 1, head.instant, head.generation, ENDED)
            reading.connection.execute("INSERT INTO commits VALUES (?, ?, ?, ?)", row)

        await self._perform(work)

    async def reindex(self, entries: Sequence[Reindexed], *, again: bool = False) -> int:
        """Write index entries anew, in a transaction of its own; return of how many resources."""

        def work(reading: Reading) -> int:
            return reindex(reading, entries, again=again)

        return await self._perform(work)

    def alone(self, task: str) -> AbstractAsyncContextManager[bool]:
        """Enter with True for one at a time, by a lock file beside the database."""
        return alone(self._path, task)

    async def _perform(self, work: Callable[[Reading], T]) -> T:
        answer: T = await self.parts.writer.perform(work)
        return answer

    # --- health ------------------------------------------------------------------------------------------------------

    async def healthy(self) -> Sequence[str]:
        """Return warnings; raise ``StoreUnavailable`` if nothing can be read, or nothing more will be written."""
        parts = self.parts
        parts.identity.check()
        told = [] if self._warning is None else [self._warning]
        told += warnings(parts.writer.failure(), await self.head(), self._clock())
        wal = log_of(self._path)
        if wal.exists() and wal.stat().st_size > WAL_BYTES:
            told.append(f"{wal} has grown to {wal.stat().st_size} bytes: a reader keeps it from being emptied")
        return told
