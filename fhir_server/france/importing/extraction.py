"""How the columns of the Annuaire Santé become codes: ``mappings/imports/annuaire.yaml``, checked when it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from fhir_server.france.importing.columns import Column, columns
from fhir_server.france.importing.findings import MappingsRefused
from fhir_server.france.importing.vocabulary import load, system
from fhir_server.france.vocabulary import Json, coding

ELEMENTS: Final = frozenset(("Practitioner.qualification.code", "PractitionerRole.code", "Organization.type"))
"""The elements that take codes of columns."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of codes: the element they go to, and the systems (URL and pattern), the first that fits counts."""

    key: str
    element: str
    systems: tuple[tuple[str, re.Pattern[str]], ...]

    def coding(self, row: Mapping[str, str]) -> Json | None:
        """Return the Coding of a row, None where the column is empty. Raises ``ValueError`` for a code of no system."""
        code = row.get(self.key)
        if code is None:
            return None
        for url, pattern in self.systems:
            if pattern.fullmatch(code):
                return coding(url, code)
        raise ValueError(code)


@dataclass(frozen=True, slots=True)
class Extraction:
    """The columns of the extraction, and those of codes by their key."""

    columns: tuple[Column, ...]
    codes: Mapping[str, Coded]

    def codings(self, element: str, row: Mapping[str, str]) -> list[Json]:
        """Return the Codings of a row for an element."""
        found = (coded.coding(row) for coded in self.codes.values() if coded.element == element)
        return [one for one in found if one is not None]


@cache
def extraction() -> Extraction:
    """Return what the file of mappings says. Raises ``MappingsRefused``."""
    document = load("annuaire.yaml", "colonnes.schema.json")
    known = columns(document["colonnes"])
    codes = {row["colonne"]: _coded(row) for row in document.get("codes", ())}
    for key, coded in codes.items():
        if key not in {column.key for column in known}:
            raise MappingsRefused(f"annuaire.yaml : la colonne « {key} » n'est pas décrite")
        if coded.element not in ELEMENTS:
            raise MappingsRefused(
                f"annuaire.yaml : « {coded.element} » ne reçoit pas de codes ; {', '.join(sorted(ELEMENTS))}"
            )
    return Extraction(known, codes)


def _coded(row: Mapping[str, Any]) -> Coded:
    systems = tuple((system(one["systeme"]), re.compile(one.get("codes", r"\S+"))) for one in row["systemes"])
    return Coded(row["colonne"], row["element"], systems)
