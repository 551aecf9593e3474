"""The subject of a certificate as text, and the list of those that are let in, each by its CN and its OU.

Spec: https://www.rfc-editor.org/rfc/rfc4514, and the escapes of RFC 2253 that nginx and Apache write
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

Pair = tuple[str, str]
"""The type of an attribute and its value: ``("CN", "sas.example.org")``."""

_TYPE: Final = re.compile(r"[ ]*([A-Za-z][A-Za-z0-9\-]*|[0-9]+(?:\.[0-9]+)*)[ ]*=[ ]*")
_VALUE: Final = re.compile(rb'(?:[^\\",+;<>\x00]|\\[0-9A-Fa-f]{2}|\\[ "#+,;<=>\\])*')
_QUOTED: Final = re.compile(rb'"((?:[^\\"\x00]|\\[0-9A-Fa-f]{2}|\\[ "#+,;<=>\\])*)"[ ]*')
_ESCAPE: Final = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)
_SPECIAL: Final = re.compile(r'[",+;<>\\\x00]|^[ #]|[ ]$')
_SHORT: Final = {
    "commonname": "CN",
    "2.5.4.3": "CN",
    "organizationalunitname": "OU",
    "2.5.4.11": "OU",
    "organizationname": "O",
    "countryname": "C",
    "localityname": "L",
    "stateorprovincename": "ST",
    "domaincomponent": "DC",
    "userid": "UID",
}


class Client(NamedTuple):
    """Who is let in."""

    cn: str
    ou: str
    """The national identifier of the structure: its prefix and its FINESS or SIRET."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate was made for."""

    cns: tuple[str, ...]
    ous: tuple[str, ...]

    def unlisted(self, clients: Iterable[Client]) -> str:
        """Return what keeps this subject out: ``wrong-cn`` or ``wrong-ou``; empty if it is on the list.

        Several OU are allowed, and one of them must be that of the list; several CN are not: which one names the
        service is not said. Both are compared letter by letter.
        """
        known = [client for client in clients if (client.cn,) == self.cns]
        if not known:
            return "wrong-cn"
        return "" if any(client.ou in self.ous for client in known) else "wrong-ou"


def read(text: str) -> Subject:
    """Return the subject that a distinguished name tells. Raises ``ValueError`` for what is none."""
    pairs = pairs_of(text)
    return Subject(
        tuple(value for type_, value in pairs if type_ == "CN"), tuple(value for type_, value in pairs if type_ == "OU")
    )


def pairs_of(text: str) -> list[Pair]:
    """Return the attributes of a distinguished name, in its order. Raises ``ValueError`` for what is none."""
    found: list[Pair] = []
    position = 0
    while position < len(text) or not found:
        match = _TYPE.match(text, position)
        if match is None:
            raise ValueError("it is not a list of attributes like CN=sas.example.org,OU=1259999068")
        value, position = _value(text, match.end())
        found.append((_SHORT.get(match[1].lower(), match[1].upper()), value))
        if position < len(text):
            if text[position] not in ",+":
                raise ValueError("what separates attributes is neither , nor +")
            position += 1
            if position == len(text):
                raise ValueError("it ends in the midst of an attribute")
    return found


def name_of(pairs: Iterable[Pair]) -> str:
    """Return a distinguished name that tells these attributes, which ``pairs_of`` reads back."""
    return ",".join(f"{_SHORT.get(type_.lower(), type_)}={_SPECIAL.sub(_escaped, value)}" for type_, value in pairs)


def listed(text: str) -> frozenset[Client]:
    """Return the clients of a list: subjects separated by ``;``, or ``@`` and a file with one on each line.

    In a file an empty line and one that begins with ``#`` say nothing. Raises ``ValueError``.
    """
    lines = _lines(Path(text[1:])) if text.startswith("@") else re.split(r"(?<!\\);", text)
    clients = frozenset(_client(line.strip()) for line in lines if line.strip() and not line.startswith("#"))
    if text and not clients:
        raise ValueError(f"{text!r} names no client")
    return clients


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} cannot be read as a list of clients") from error


def _client(text: str) -> Client:
    try:
        subject = read(text)
    except ValueError as reason:
        raise ValueError(f"{text!r} is not the subject of a client: {reason}") from None
    if len(subject.cns) != 1 or len(subject.ous) != 1 or not all((*subject.cns, *subject.ous)):
        raise ValueError(f"{text!r} has not one CN and one OU")
    return Client(subject.cns[0], subject.ous[0])


def _value(text: str, start: int) -> tuple[str, int]:
    """Return the value that begins at a position, and the position after it."""
    data = text[start:].encode("utf-8", "surrogatepass")
    if data.startswith(b"#"):
        raise ValueError("a value in hexadecimal is not understood")
    quoted = _QUOTED.match(data)
    if quoted is not None:
        raw, end = quoted[1], quoted.end()
    else:
        plain = _VALUE.match(data)
        assert plain is not None  # noqa: S101 it matches nothing too
        raw, end = _trimmed(plain[0]), plain.end()
    value = _ESCAPE.sub(_unescaped, raw)
    return value.decode("utf-8"), start + len(data[:end].decode("utf-8", "surrogatepass"))


def _trimmed(raw: bytes) -> bytes:
    """Return a value without the spaces around it; one that is escaped is part of it."""
    short = raw.rstrip(b" ")
    return short + b" " if short.endswith(b"\\") and len(short) < len(raw) and _is_open(short) else short


def _is_open(raw: bytes) -> bool:
    """Tell whether the backslash at the end escapes what comes next."""
    return (len(raw) - len(raw.rstrip(b"\\"))) % 2 == 1


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if len(match[1]) == 2 else match[1]


def _escaped(match: re.Match[str]) -> str:
    return "\\00" if match[0] == "\x00" else f"\\{match[0]}"
