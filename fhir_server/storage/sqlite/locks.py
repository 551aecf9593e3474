"""Turns among the processes that write one file: SQLite alone gives them to whoever is quickest to ask.

Two lock files: a writer queues on *next*, then waits for *write*, and gives up *next* as soon as it has *write*. So the
process that has just written queues behind those already waiting.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from fhir_server.storage.protocol import StoreUnavailable
from fhir_server.storage.sqlite.filesystem import cannot_open

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        raise cannot_open(path, error) from error


class Turns:
    """The turns of one process; used by one thread at a time.

    Where the system has no ``flock``, one process holds the file for as long as it is open, and a second is refused.
    """

    def __init__(self, database: Path) -> None:
        self._next = _open(database.with_name(database.name + "-next"))
        try:
            self._write = _open(database.with_name(database.name + "-write"))
        except BaseException:
            os.close(self._next)
            raise
        if sys.platform == "win32":
            try:
                msvcrt.locking(self._write, msvcrt.LK_NBLCK, 1)
            except OSError as error:
                self.close()
                raise StoreUnavailable(
                    f"another process has {database} open; on this system one process alone can use it"
                ) from error

    def close(self) -> None:
        for descriptor in (self._next, self._write):
            with suppress(OSError):
                os.close(descriptor)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for this process's turn to write; keep it for the block."""
        if sys.platform == "win32":
            yield
            return
        fcntl.flock(self._next, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._write, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._write, fcntl.LOCK_UN)


@asynccontextmanager
async def alone(database: Path, task: str) -> AsyncIterator[bool]:
    """Enter with True for one at a time: the lock is its process's, and ends with it."""
    if sys.platform == "win32":  # one process alone has the file
        yield True
        return
    descriptor = _open(database.with_name(f"{database.name}-{task}"))
    try:
        yield _is_free(descriptor)
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """Take a lock if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
