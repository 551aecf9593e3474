"""The source of an Annuaire Santé extraction: ``|`` after each field, a header, a row for each activity.

Columns and codes: ``mappings/imports/annuaire.yaml``. Both layouts are read by their header: the open one, and the
restricted one, which knows civil names, birth and the person's own address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from fhir_server.france.importing.activities import Fault, activity, resources_of_person, resources_of_structure
from fhir_server.france.importing.columns import Header, header
from fhir_server.france.importing.extraction import extraction
from fhir_server.france.importing.findings import FileRefused, Place, Refused, Remark
from fhir_server.france.importing.lines import Lines
from fhir_server.france.importing.rows import Rows
from fhir_server.france.importing.source import Owner, Wanted

SEPARATOR: Final = "|"


class AnnuaireFile:
    """One extraction, perhaps only of some communes."""

    each_line = False

    def __init__(self, path: Path, scope: str, communes: frozenset[str] | None) -> None:
        """``communes``: INSEE codes of the structures wanted, None for all. Raises ``FileRefused``."""
        self.owner = Owner("annuaire", scope)
        self._communes = communes
        self._lines = Lines(path, "iso-8859-1")

    @property
    def position(self) -> tuple[int, int]:
        """Bytes read, and bytes there are."""
        return self._lines.read, self._lines.size

    def __iter__(self) -> Iterator[Wanted | Refused | Remark]:
        with closing(Rows()) as people, closing(Rows()) as structures:
            yield from self._read(people, structures)
            yield from self._wanted(structures, people)

    def _read(self, people: Rows, structures: Rows) -> Iterator[Refused]:
        """Keep each row that is wanted; yield those that cannot be."""
        found: Header | None = None
        for number, text in self._lines:
            fields = text.split(SEPARATOR)
            if found is None:
                found = self._header(fields, number)
            elif text.strip():
                if len(fields) != found.width:
                    yield self._refuse_width(fields, found, number)
                    continue
                row = found.row(fields)
                if self._communes is not None and row.get("commune") not in self._communes:
                    continue
                try:
                    known = activity(row)
                except Fault as fault:
                    yield Refused(Place(self._lines.name, number), fault.reason, fault.remedy)
                    continue
                people.add(known.person, known.structure or "", number, row)
                if known.structure:
                    structures.add(known.structure, row.get("raison-sociale", ""), number, row)
        if found is None:
            raise FileRefused(Place(self._lines.name), "est vide", "donnez une extraction avec son en-tête")

    def _wanted(self, structures: Rows, people: Rows) -> Iterator[Wanted]:
        name = self._lines.name
        for key, rows in structures.groups():
            for resource, level, weak in resources_of_structure(key, rows[0].fields):
                yield Wanted(resource, Place(name, rows[0].line), level, weak)
        for key, rows in people.groups():
            for resource in resources_of_person(key, [row.fields for row in rows]):
                yield Wanted(resource, Place(name, rows[0].line))

    def _header(self, fields: list[str], number: int) -> Header:
        return header(fields, extraction().columns, self._lines.name, number)

    def _refuse_width(self, fields: list[str], found: Header, number: int) -> Refused:
        told = f"a {len(fields)} champs au lieu de {found.width}"
        if self._lines.is_cut:
            place = Place(self._lines.name, number)
            raise FileRefused(place, f"{told}, et le fichier s'arrête là", "téléchargez-le de nouveau")
        return Refused(Place(self._lines.name, number), told, "téléchargez le fichier de nouveau")
