"""Files that are there whole or not at all, readable by their owner alone: they hold personal data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fhir_server.maintenance.progress import CommandFailed

if sys.platform != "win32":
    import fcntl


class Unnamed:
    """A file that is being written beside the name it will take. ``stream`` is what is written to."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(f".{path.name}.part")
        self.stream: BinaryIO = os.fdopen(_claimed(path, self._part), "wb")
        self._is_named = False

    def finish(self) -> None:
        """Bring to the disk what was written."""
        self.stream.flush()
        os.fsync(self.stream.fileno())

    def take_name(self) -> None:
        """Take the name, and the place of a file that had it. To be called after ``finish``."""
        self._part.replace(self._path)
        self._is_named = True
        sync_folder(self._path.parent)

    def close(self) -> None:
        """Let the file go; without its name, nothing of it stays."""
        if not self._is_named:
            self._part.unlink(missing_ok=True)
        with suppress(OSError):  # a full disk was told when it was written to; after finish nothing is left to write
            self.stream.close()


@contextmanager
def unnamed(path: Path) -> Iterator[Unnamed]:
    """Give a file to write, which is gone at the end of the block unless it took its name.

    Raises ``CommandFailed`` where the file cannot be written, or another command is writing it.
    """
    if path.is_dir():
        raise CommandFailed(f"{path} is a folder; give the name of a file.")
    try:
        file = Unnamed(path)
        try:
            yield file
        finally:
            file.close()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror or error}.") from None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write; it takes its name, and the place of a file that had it, at the end of the block.

    An exception leaves what was there before. Raises ``CommandFailed`` as ``unnamed`` does.
    """
    with unnamed(path) as file:
        yield file.stream
        file.finish()
        file.take_name()


def make_folder(folder: Path) -> None:
    """Make a folder unless it is there. Raises ``CommandFailed``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"The folder {folder} cannot be made: {error.strerror}.") from None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claimed(path: Path, part: Path) -> int:
    """Return a descriptor of the part, empty, ours alone until it is closed; what a killed command left is taken over.

    Raises ``CommandFailed`` if another command has it.
    """
    while True:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            _lock(descriptor, path)
            if _is_still(descriptor, part):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the other command named or removed it before it let it go


def _lock(descriptor: int, path: Path) -> None:
    if sys.platform == "win32":
        return  # a file that is open cannot be renamed there
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandFailed(f"{path} is being written by another command.") from None
    except OSError:
        return  # a file system without locks


def _is_still(descriptor: int, part: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), part.stat())
    except FileNotFoundError:
        return False
