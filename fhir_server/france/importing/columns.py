"""Columns found by their header, as ``mappings/imports/`` describes them; order and spelling may differ.

A header is compared without accents, capitals and punctuation, and each column may have several names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.france.importing.findings import FileRefused, MappingsRefused, Place
from fhir_server.france.importing.vocabulary import folded


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the key by which the code knows it, the headers it may have."""

    key: str
    names: tuple[str, ...]
    required: bool


@dataclass(frozen=True, slots=True)
class Header:
    """Where each column of one file is; ``width`` is the number of its fields, ``ignored`` what nobody knows."""

    places: Mapping[str, int]
    width: int
    ignored: tuple[str, ...] = ()

    def row(self, fields: Sequence[str]) -> dict[str, str]:
        """Return the fields that are not empty by the key of their column, no-break spaces and edges cleaned."""
        found = {}
        for key, place in self.places.items():
            text = " ".join(fields[place].split())
            if text:
                found[key] = text
        return found


def columns(rows: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Return the columns that a file of mappings describes. Raises ``MappingsRefused`` where two share a name."""
    found = tuple(Column(row["cle"], tuple(row["noms"]), row.get("obligatoire", False)) for row in rows)
    names = [folded(name) for column in found for name in column.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MappingsRefused(f"mappings/imports : deux colonnes ont le nom « {twice[0]} »")
    return found


def header(fields: Sequence[str], known: Sequence[Column], name: str, number: int) -> Header:
    """Return where the columns are. Raises ``FileRefused`` naming those missing, and what is there in their stead."""
    by_name = {folded(text): column.key for column in known for text in column.names}
    places: dict[str, int] = {}
    strange = []
    for place, field in enumerate(fields):
        key = by_name.get(folded(field))
        if key is None and field.strip():
            strange.append(field.strip()[:40])
        elif key in places:
            raise FileRefused(Place(name, number, place + 1), f"a deux fois la colonne « {field} »", "gardez-en une")
        elif key is not None:
            places[key] = place
    missing = [column.names[0] for column in known if column.required and column.key not in places]
    if missing:
        named = "la colonne" if len(missing) == 1 else "les colonnes"
        told = f"n'a pas {named} « {' », « '.join(missing)} »"
        there = f" ; colonnes inconnues : {', '.join(strange)}" if strange else ""
        remedy = f"écrivez les noms des colonnes en première ligne, comme dans docs/imports.md{there}"
        raise FileRefused(Place(name, number), told, remedy)
    return Header(places, len(fields), tuple(strange))
