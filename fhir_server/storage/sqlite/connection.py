"""Connections to the file, all set up alike. https://www.sqlite.org/pragma.html"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fhir_server.search.query import RECORD_SEPARATOR
from fhir_server.search.sphere import metres
from fhir_server.storage.protocol import QueryTimeout, QueryTooCostly, StoreError, StoreUnavailable

BUSY_MILLISECONDS: Final = 5_000
CACHE_KIBIBYTES: Final = 32_768
READ_KIBIBYTES: Final = 8_192
MAPPED_BYTES: Final = 1 << 31
"""Readers map the file: pages are the system's, shared and not copied (a search of 1 M slots: 3.4 ms, read 7.3)."""
CHECKPOINT_PAGES: Final = 4_000
JOURNAL_BYTES: Final = 64_000_000
STEPS_BETWEEN_CHECKS: Final = 20_000
"""Instructions of SQLite's machine between two looks at the clock: a fraction of a millisecond."""


def connect(path: Path, *, writes: bool = False) -> sqlite3.Connection:
    """Open a connection for one thread at a time.

    ``synchronous`` is FULL: what is acknowledged survives a power cut.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS:d}")
        connection.execute(f"PRAGMA cache_size = {-(CACHE_KIBIBYTES if writes else READ_KIBIBYTES):d}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA case_sensitive_like = ON")
        if writes:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = FAST")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES:d}")
            connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES:d}")
        else:
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES:d}")
        connection.create_function("metres", 4, metres, deterministic=True)
        connection.create_function("part", 2, part, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def part(key: str, index: int) -> str | None:
    """Return one part of a compound's key."""
    parts = key.split(RECORD_SEPARATOR)
    return parts[index] if index < len(parts) else None


class Impatient(Exception):
    """A way to the answer that was tried has cost too much: there is another."""


class Meter:
    """Limits what runs on a connection: by time, and by steps where a way is only tried."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._deadline = math.inf
        self._checks: int | None = None

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Interrupt what runs in the block once the seconds have passed, or those of a block around it.

        Raises ``QueryTimeout`` then; at once for no seconds at all.
        """
        if seconds <= 0:
            raise _late(seconds)
        around, self._deadline = self._deadline, min(self._deadline, time.monotonic() + seconds)
        if around == math.inf:
            self._connection.set_progress_handler(self._look, STEPS_BETWEEN_CHECKS)
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not is_trouble(error):
                raise
            raise query_error(error, seconds) from error
        finally:
            self._deadline = around
            if around == math.inf:
                self._connection.set_progress_handler(None, 0)

    @contextmanager
    def patience(self, checks: int) -> Iterator[None]:
        """Raise ``Impatient`` once what runs in the block has taken so many times ``STEPS_BETWEEN_CHECKS`` steps, or
        what a block around it may take."""
        around = self._checks
        self._checks = start = checks if around is None else min(checks, around)
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT and self._checks is not None and self._checks < 0:
                raise Impatient from error
            raise
        finally:
            self._checks = None if around is None else around - start + self._checks

    def _look(self) -> int:
        if self._checks is not None:
            self._checks -= 1
            if self._checks < 0:
                return 1
        return int(time.monotonic() > self._deadline)


def code(error: sqlite3.Error) -> int:
    """Return SQLite's primary code; 0 for what Python's module says itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_trouble(error: sqlite3.Error) -> bool:
    """Tell what the file, the disk or the system does from a bug of ours. A damaged file is the base class."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def is_damage(error: sqlite3.Error) -> bool:
    return code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def unreadable(error: sqlite3.Error) -> StoreUnavailable:
    return StoreUnavailable(f"the database cannot be read now: {error}")


def query_error(error: sqlite3.DatabaseError, seconds: float) -> StoreError:
    """Say why a read failed."""
    if code(error) == sqlite3.SQLITE_INTERRUPT:
        return _late(seconds)
    if "parser stack overflow" in str(error) or "too large" in str(error):
        return QueryTooCostly("the query is nested too deeply")
    return unreadable(error)


def _late(seconds: float) -> QueryTimeout:
    return QueryTimeout(f"the query was stopped after {seconds:g} seconds")
