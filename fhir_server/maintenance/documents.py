"""What load reads: the JSON texts of files and folders, one at a time, each with its place.

``.json`` holds one text, ``.ndjson`` one a line, and either may be compressed (``.gz``).
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fhir_server.maintenance.progress import CommandFailed

KINDS: Final = (".json", ".ndjson", ".json.gz", ".ndjson.gz")

LINES_BETWEEN_LOOKS: Final = 100
"""How often it is asked how far a file was read."""


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...

    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON text. ``place`` is ``file`` or ``file:line``; ``read`` counts the bytes of all files up to here.

    Where there is no text to load, ``fault`` says why.
    """

    place: str
    data: bytes
    read: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """The files to be read. ``skipped``: how many files in folders are of other kinds."""

    files: tuple[Path, ...]
    bytes: int
    skipped: int


def sources(paths: Iterable[Path]) -> Sources:
    """Return the files that paths name: themselves, and those in folders at any depth, in the order of their names.

    Links to folders are not followed, and counted as skipped. Raises ``CommandFailed`` for a path that is not there, or
    is a file of another kind, and for a folder that cannot be read.
    """
    files: list[Path] = []
    skipped = 0
    for path in paths:
        if path.is_dir():
            for file in _inside(path):
                if file.name.lower().endswith(KINDS) and not file.is_dir():
                    files.append(file)
                else:
                    skipped += 1
        elif not path.exists():
            raise CommandFailed(f"There is no {path}.")
        elif not path.name.lower().endswith(KINDS):
            raise CommandFailed(f"{path} cannot be loaded: its name ends in none of {', '.join(KINDS)}.")
        else:
            files.append(path)
    files = list(dict.fromkeys(files))
    return Sources(tuple(files), sum(map(_size, files)), skipped)


def documents(given: Sources, limit: int) -> Iterator[Document]:
    """Yield the JSON texts of the files. One of more than ``limit`` bytes is a fault, and never read whole."""
    before = 0
    for file in given.files:
        size = _size(file)
        try:
            if not file.is_file():  # a pipe would wait for ever
                yield Document(str(file), b"", before, "it is no file, or a link to none")
                continue
            with ExitStack() as stack:
                raw = stack.enter_context(file.open("rb"))
                stream: Readable = raw
                if file.name.lower().endswith(".gz"):
                    stream = stack.enter_context(gzip.GzipFile(fileobj=raw))
                lines = ".ndjson" in Path(file.name.lower()).suffixes
                yield from (_lines if lines else _whole)(str(file), stream, raw, before, limit)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield Document(str(file), b"", before + size, "the compressed file is cut or damaged from here on")
        except OSError as error:
            yield Document(str(file), b"", before + size, f"it cannot be read: {error.strerror}")
        before += size


def _inside(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder at any depth, and the links to folders, which are not followed."""
    for parent, folders, names in os.walk(folder, onerror=_refuse_folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in sorted([*names, *links]) if not name.startswith("."))


def _refuse_folder(error: OSError) -> None:
    raise CommandFailed(f"The folder {error.filename} cannot be read: {error.strerror}.") from None


def _size(file: Path) -> int:
    """Return the bytes of a file as it lies on the disk; 0 where there is none."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _whole(place: str, stream: Readable, raw: Readable, before: int, limit: int) -> Iterator[Document]:
    data = stream.read(limit + 1)
    if len(data) > limit:
        yield Document(place, b"", before + raw.tell(), _too_long(limit))
    else:
        yield Document(place, data, before + raw.tell())


def _lines(place: str, stream: Readable, raw: Readable, before: int, limit: int) -> Iterator[Document]:
    number = 0
    read = before
    while line := stream.readline(limit + 2):
        number += 1
        if number % LINES_BETWEEN_LOOKS == 0:
            read = before + raw.tell()
        if len(line.rstrip(b"\r\n")) > limit:
            while line and not line.endswith(b"\n"):
                line = stream.readline(limit)
            yield Document(f"{place}:{number}", b"", read, _too_long(limit))
        elif line.strip():
            yield Document(f"{place}:{number}", line, read)


def _too_long(limit: int) -> str:
    return f"it has more than {limit} bytes, the limit of one text (FHIR_BODY_BYTES)"
