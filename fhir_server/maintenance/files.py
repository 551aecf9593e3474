"""Files that are there whole or not at all, readable by their owner alone: they hold personal data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fhir_server.maintenance.progress import CommandFailed


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write; it takes its name, and the place of a file that had it, at the end of the block.

    An exception leaves what was there before. Raises ``CommandFailed`` where the file cannot be written.
    """
    with unnamed(path) as stream:
        yield stream
    take_name(path)


@contextmanager
def unnamed(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write that is safe on the disk at the end of the block, and waits to take its name."""
    part = _part(path)
    if path.is_dir():
        raise CommandFailed(f"{path} is a folder; give the name of a file.")
    try:
        stream = os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def take_name(path: Path) -> None:
    """Give a file that was written by ``unnamed`` its name."""
    _part(path).replace(path)
    sync_folder(path.parent)


def drop(path: Path) -> None:
    """Remove a file that was written by ``unnamed`` and shall not take its name."""
    _part(path).unlink(missing_ok=True)


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


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
