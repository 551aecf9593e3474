"""What an import says of its files: a line that is refused, a file that is refused whole. Texts are French.

A text names columns, lines and what was expected; it repeats an identifier, never what a person is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.reference import Key

_UNREADABLE: Final = (
    (FileNotFoundError, "n'existe pas"),
    (IsADirectoryError, "est un dossier"),
    (PermissionError, "ne peut pas être lu avec vos droits"),
)


class Place(NamedTuple):
    """Where something stands: a file, and in it a line and a column from 1; 0 where there is none to tell."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.file, *(str(number) for number in (self.line, self.column) if number)]
        return ":".join(parts)


@dataclass(frozen=True, slots=True)
class Refused:
    """One line that cannot be imported, why, and what to do about it.

    ``keys``: what the line would have written, as far as it can be told; empty if that is unknown.
    """

    place: Place
    reason: str
    remedy: str
    keys: tuple[Key, ...] = ()

    def __str__(self) -> str:
        return f"{self.place} : {self.reason}. Remède : {self.remedy}."


class Fault(Exception):
    """Why a line cannot be imported, and what to do: raised where the line is read, told as ``Refused``."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


class FileRefused(CommandFailed):
    """A file of which nothing is imported; nothing was written."""

    def __init__(self, place: Place, reason: str, remedy: str) -> None:
        super().__init__(f"{place} : {reason}. Remède : {remedy}. Rien n'a été écrit.")
        self.place, self.reason, self.remedy = place, reason, remedy


class MappingsRefused(CommandFailed):
    """A file of ``mappings/`` that was edited into something that cannot be used: all that is wrong, a line each."""


def unreadable(path: Path, error: OSError) -> FileRefused:
    """Return what is said of a file that the system does not let us read."""
    told = next((told for kind, told in _UNREADABLE if isinstance(error, kind)), "ne peut pas être lu")
    return FileRefused(Place(str(path)), told, "donnez le chemin d'un fichier lisible")


@dataclass(frozen=True, slots=True)
class Remark:
    """What is strange and imported all the same."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place} : remarque : {self.text}."
