"""Lines of a text file, whatever its size: the encoding found out first, no line longer than memory allows.

A file is UTF-8 (with or without a byte order mark) if all of it is; else it is in the one older encoding of its format.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from fhir_server.france.importing.findings import FileRefused, Place, unreadable

MAX_LINE: Final = 65_536
"""Bytes of a line."""
_BLOCK: Final = 1_000_000
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Characters of no text: in a file that was taken for another encoding, or that is no text at all."""


class Lines:
    """The lines of a file, each with its number; ``read`` counts its bytes as they are taken."""

    def __init__(self, path: Path, fallback: str) -> None:
        """``fallback``: the encoding of a file that is not UTF-8. Raises ``FileRefused``."""
        self.path, self.name, self.read = path, path.name, 0
        self.is_cut = False
        """Whether the last line was without its end."""
        try:
            self.size = path.stat().st_size
            self.encoding = "utf-8-sig" if _is_utf8(path) else fallback
        except OSError as error:
            raise unreadable(path, error) from None
        self._fallback = fallback

    def __iter__(self) -> Iterator[tuple[int, str]]:
        with self.path.open("rb") as stream:
            for number, data in enumerate(_raw(stream, self.name), 1):
                self.read += len(data)
                self.is_cut = not data.endswith((b"\n", b"\r"))
                yield number, self._text(data, number).rstrip("\r\n")

    def _text(self, data: bytes, number: int) -> str:
        try:
            text = data.decode(self.encoding if number == 1 else self.encoding.removesuffix("-sig"))
        except UnicodeDecodeError as error:
            told = f"n'est ni de l'UTF-8 ni du {self._fallback}"
            raise FileRefused(Place(self.name, number, error.start + 1), told, "enregistrez-le en UTF-8") from None
        if self.encoding == self._fallback and not data.isascii() and _decodes(data):
            told = f"mélange l'UTF-8 et le {self._fallback}"
            raise FileRefused(Place(self.name, number), told, "enregistrez tout en UTF-8")
        if found := _CONTROLS.search(text):
            told = f"contient le caractère U+{ord(found[0]):04X}, qui n'est pas du texte"
            remedy = "enregistrez-le en UTF-8, sans le compresser"
            raise FileRefused(Place(self.name, number, found.start() + 1), told, remedy)
        return text


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        try:
            while block := stream.read(_BLOCK):
                if b"\x00" in block:  # no text: it is refused at its line, however long the rest
                    return True
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _decodes(data: bytes) -> bool:
    """Tell whether a line is UTF-8: text in an older encoding never is, unless it is plain ASCII."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _raw(stream: BinaryIO, name: str) -> Iterator[bytes]:
    number = 0
    while data := stream.readline(MAX_LINE + 1):
        number += 1
        if len(data) > MAX_LINE:
            told = f"a une ligne de plus de {MAX_LINE} octets"
            raise FileRefused(Place(name, number), told, "donnez le fichier tel qu'il a été téléchargé ou exporté")
        yield data
