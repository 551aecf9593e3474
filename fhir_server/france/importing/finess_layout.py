"""The two layouts of FINESS's open files: sections whose columns are known by position, and columns named by a header.

Both give the fields of a row by the names of ``mappings/imports/finess.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, Protocol

from fhir_server.france.importing.columns import Header, columns, header
from fhir_server.france.importing.findings import Fault, FileRefused, Place
from fhir_server.france.importing.vocabulary import folded, load

SECTION: Final = "section"
STRUCTURE: Final = "structureet"
"""The section of a site; the other one has its coordinates."""
_COORDINATES: Final = "geolocalisation"

_FIRST: Final = ["finess", "etalab"]
_REMEDY: Final = "donnez le fichier etalab-cs1100507-stock, ou celui dont la première ligne nomme les colonnes"


class Layout(Protocol):
    """How the lines of one file are read."""

    def width(self, fields: Sequence[str]) -> int:
        """Return how many fields a line must have. Raises ``Fault`` where that cannot be told."""
        ...

    def row(self, fields: Sequence[str]) -> dict[str, str]:
        """Return the fields of a line that are not empty, by name, and its section."""
        ...


class Sections:
    """The first word of a line says its section, and so what stands where."""

    def width(self, fields: Sequence[str]) -> int:
        """Return how many fields a line of its section has."""
        if fields[0] not in {STRUCTURE, _COORDINATES}:
            raise Fault(f"a une section inconnue, « {fields[0][:30]} »", _REMEDY)
        return len(_mapping()[fields[0]])

    def row(self, fields: Sequence[str]) -> dict[str, str]:
        """Return the fields by the names of their positions."""
        return {name: field for name, field in zip(_mapping()[fields[0]], fields, strict=True) if field}


class Named:
    """A header names the columns; each line is a site, its coordinates beside it."""

    def __init__(self, found: Header) -> None:
        self._header = found

    def width(self, fields: Sequence[str]) -> int:
        """Return how many fields the header has."""
        return self._header.width

    def row(self, fields: Sequence[str]) -> dict[str, str]:
        """Return the fields by the names of their columns."""
        return {SECTION: STRUCTURE, **self._header.row(fields)}


def layout(fields: Sequence[str], name: str) -> Layout:
    """Return the layout of a file by its first line. Raises ``FileRefused``, naming columns that are missing."""
    if list(fields[:2]) == _FIRST:
        return Sections()
    if "nofinesset" in map(folded, fields):
        return Named(header(fields, columns(_mapping()["colonnes"]), name, 1))
    told = "ne commence ni par « finess;etalab; » ni par les noms des colonnes"
    raise FileRefused(Place(name, 1), told, _REMEDY)


@cache
def _mapping() -> Mapping[str, Any]:
    found: Mapping[str, Any] = load("finess.yaml", "positions.schema.json")
    return found
