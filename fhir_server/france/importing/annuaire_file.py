"""The source of an Annuaire Santé extraction: ``|`` after each field, a header, a row for each activity.

Columns and codes: ``mappings/imports/annuaire.yaml``. Both layouts are read by their header: the open one, and the
restricted one, which knows civil names, birth and the person's own address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from fhir_server.france.importing.activities import activity, resources_of_person, resources_of_structure
from fhir_server.france.importing.columns import Header, header
from fhir_server.france.importing.extraction import extraction
from fhir_server.france.importing.findings import Fault, FileRefused, Place, Refused, Remark
from fhir_server.france.importing.register import RegisterFile
from fhir_server.france.importing.rows import Rows
from fhir_server.france.importing.source import Wanted

SEPARATOR: Final = "|"


class AnnuaireFile(RegisterFile):
    """One extraction, perhaps only of some communes."""

    kind = "annuaire"

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
                try:
                    self._check_width(len(fields), found.width, number)
                    row = found.row(fields)
                    if self._communes is not None and row.get("commune") not in self._communes:
                        continue
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
