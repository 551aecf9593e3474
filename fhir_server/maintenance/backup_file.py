"""The file of a backup: the log in order, readable with ``zcat`` and a few lines of any language.

A gzip stream of lines of JSON; a resource's bytes stand between two lines, as they are stored::

    {"format":"fhir-server-backup","version":1,"log":…,"commits":2,"generation":0,"schema":1,"created":…,"software":…}
    {"commit":1,"instant":…,"generation":0,"schema":1,"changes":1}
    {"type":"Slot","id":"a","version":1,"interaction":"create","instant":…,"bytes":28}
    {"resourceType":"Slot", … }
    {"checksum":"…"}
    {"commit":2,"instant":…,"generation":0,"schema":1,"changes":1}
    {"type":"Slot","id":"a","version":2,"interaction":"delete","instant":…,"bytes":null}
    {"checksum":"…"}
    {"end":true,"commits":2,"changes":2}
    {"checksum":"…"}

A checksum is the SHA-256 of all bytes before its line but for earlier checksum lines: a record that is lost, moved or
changed breaks all that follow, and a file without its end is known to be cut. Instants are microseconds since 1970.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from gzip import BadGzipFile
from hashlib import sha256
from typing import Any, Final, Protocol

from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Address, Commit, Stored

FORMAT: Final = "fhir-server-backup"
VERSION: Final = 1
"""The format that is written; one that is newer is refused."""

_LINE_BYTES: Final = 65_536
_BODY_BYTES: Final = 1 << 26
"""No resource is larger, whatever the settings of the server were; more is not read into memory."""
_LARGEST: Final = (1 << 63) - 1
"""What a store can hold as a number."""


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    """A binary stream."""

    def write(self, data: bytes, /) -> int: ...


class Damaged(Exception):
    """The file is no backup, or not whole; the text says how."""


class TooNew(Exception):
    """The file was written by a newer program; the text says so."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the file says of itself: the identity of its log, and how many commits it holds."""

    log_id: str
    commits: int
    generation: int
    schema: int
    created: int
    software: str


class BackupWriter:
    """Writes one file, in order."""

    def __init__(self, stream: Writable, header: Header) -> None:
        self._stream = stream
        self._hash = sha256()
        self.commits = 0
        self.changes = 0
        self._write(
            {
                "format": FORMAT,
                "version": VERSION,
                "log": header.log_id,
                "commits": header.commits,
                "generation": header.generation,
                "schema": header.schema,
                "created": header.created,
                "software": header.software,
            }
        )

    def add(self, commit: Commit) -> None:
        """Write one commit."""
        record = {"commit": commit.number, "instant": commit.instant, "generation": commit.generation}
        self._write({**record, "schema": commit.schema, "changes": len(commit.changes)})
        for change in commit.changes:
            self._write(
                {
                    "type": change.key.type,
                    "id": change.key.id,
                    "version": change.version,
                    "interaction": change.interaction.value,
                    "instant": change.instant,
                    "bytes": None if change.body is None else len(change.body),
                },
                b"" if change.body is None else change.body + b"\n",
            )
        self._sum_up()
        self.commits += 1
        self.changes += len(commit.changes)

    def end(self) -> None:
        """Write the end, without which the file counts for nothing."""
        self._write({"end": True, "commits": self.commits, "changes": self.changes})
        self._sum_up()

    def _write(self, record: dict[str, Any], body: bytes = b"") -> None:
        data = _line(record) + body
        self._hash.update(data)
        self._stream.write(data)

    def _sum_up(self) -> None:
        self._stream.write(_line({"checksum": self._hash.hexdigest()}))


class BackupReader:
    """Reads one file. The header is read at once; everything is checked on the way. Raises ``Damaged``, ``TooNew``."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._hash = sha256()
        self.changes = 0
        record = self._first()
        if record.get("format") != FORMAT:
            raise Damaged("it is no backup of this server")
        version = record.get("version")
        if not isinstance(version, int) or not 1 <= version <= VERSION:
            raise TooNew(f"it has format {version}, and this program knows formats up to {VERSION}")
        try:
            self.header = Header(
                _text(record, "log"),
                _number(record, "commits"),
                _number(record, "generation"),
                _number(record, "schema"),
                _number(record, "created"),
                _text(record, "software"),
            )
        except ValueError as error:
            raise Damaged(f"its header cannot be read: {error}") from None

    def commits(self) -> Iterator[Commit]:
        """Yield the commits in order; each has been compared with its checksum, and the last with the totals."""
        for number in range(1, self.header.commits + 1):
            yield self._commit(number)
        where = "at its end"
        record = self._record(where)
        self._check_sum(where)
        totals = {"end": True, "commits": self.header.commits, "changes": self.changes}
        if record != totals:
            raise Damaged(f"its totals are {record}, what it holds is {totals}")
        if self._read(1):
            raise Damaged("something follows its end")

    def _commit(self, number: int) -> Commit:
        where = f"in commit {number} of {self.header.commits}"
        record = self._record(where)
        try:
            if _number(record, "commit") != number:
                raise ValueError(f"commit {number} is expected")
            count = _number(record, "changes")
            changes = [self._change(Address(number, position), where) for position in range(count)]
            self._check_sum(where)
            self.changes += len(changes)
            return Commit(
                number,
                _number(record, "instant"),
                _number(record, "generation"),
                _number(record, "schema"),
                tuple(changes),
            )
        except ValueError as error:
            raise Damaged(f"{where}: {error}") from None

    def _change(self, address: Address, where: str) -> Stored:
        record = self._record(where)
        body = None
        if record.get("bytes") is not None:
            size = _number(record, "bytes")
            if size > _BODY_BYTES:
                raise ValueError(f"a resource of {size} bytes cannot be")
            data = self._read(size + 1)
            if len(data) != size + 1 or data[-1:] != b"\n":
                raise Damaged(f"it is cut or changed {where}")
            self._hash.update(data)
            body = data[:-1]
        return Stored(
            Key(_text(record, "type"), _text(record, "id")),
            _number(record, "version"),
            _number(record, "instant"),
            Interaction(_text(record, "interaction")),
            body,
            address,
        )

    def _first(self) -> dict[str, Any]:
        try:
            return self._record("in its header")
        except Damaged:
            raise Damaged("it is no backup of this server") from None

    def _record(self, where: str) -> dict[str, Any]:
        line = self._line(where)
        self._hash.update(line)
        return _record(line, where)

    def _check_sum(self, where: str) -> None:
        if _record(self._line(where), where) != {"checksum": self._hash.hexdigest()}:
            raise Damaged(f"its checksum is not that of what it holds {where}")

    def _line(self, where: str) -> bytes:
        try:
            line = self._stream.readline(_LINE_BYTES)
        except _UNREADABLE as error:
            raise _damaged(error) from None
        if not line.endswith(b"\n"):
            raise Damaged(f"it is cut or changed {where}")
        return line

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except _UNREADABLE as error:
            raise _damaged(error) from None


_UNREADABLE: Final = (EOFError, BadGzipFile, zlib.error)


def _damaged(error: Exception) -> Damaged:
    if isinstance(error, EOFError):
        return Damaged("it is cut: its compressed stream has no end")
    return Damaged("its compressed stream cannot be read")


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _record(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise Damaged(f"it is changed {where}: a record is expected")
    return record


def _number(record: dict[str, Any], name: str) -> int:
    value = record.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise ValueError(f"{name} is no number that can be")
    return value


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value
