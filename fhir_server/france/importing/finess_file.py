"""The source of FINESS's open file: ``;``, no header, rows of structures and rows of their coordinates.

Columns: ``mappings/imports/finess.yaml``. Coordinates become WGS 84.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Final

from fhir_server.france.identifiers import parse
from fhir_server.france.importing import elements
from fhir_server.france.importing.activities import legal_entity, place
from fhir_server.france.importing.addresses import address, commune, routing
from fhir_server.france.importing.findings import Fault, FileRefused, Place, Refused, Remark
from fhir_server.france.importing.projections import PROJECTIONS
from fhir_server.france.importing.register import RegisterFile
from fhir_server.france.importing.rows import Row, Rows
from fhir_server.france.importing.source import Wanted
from fhir_server.france.importing.vocabulary import load
from fhir_server.france.vocabulary import ORGANIZATION_PERIOD, Json, reference

STRUCTURE: Final = "structureet"
"""The section of a site; the other one has its coordinates."""
FARTHEST: Final = 10_000_000
"""Metres: no coordinate of these projections is larger, and none is negative."""
DIGITS: Final = 6
"""Decimals of a degree: a tenth of a metre."""

_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)|(\d\d)/(\d\d)/(\d{4})")


class FinessFile(RegisterFile):
    """One file, perhaps only of some communes."""

    kind = "finess"

    def __iter__(self) -> Iterator[Wanted | Refused | Remark]:
        with closing(Rows()) as rows:
            yield from self._read(rows)
            for finess, own in rows.groups():
                yield from self._wanted(finess, own)

    def _read(self, rows: Rows) -> Iterator[Refused]:
        for number, text in self._lines:
            fields = [" ".join(field.split()) for field in text.split(";")]
            if number == 1:
                if fields[:2] != ["finess", "etalab"]:
                    told = "ne commence pas par « finess;etalab; »"
                    raise FileRefused(Place(self._lines.name, 1), told, "donnez le fichier etalab-cs1100507-stock")
            elif text.strip():
                try:
                    key, row = self._row(fields, number)
                except Fault as fault:
                    yield Refused(Place(self._lines.name, number), fault.reason, fault.remedy)
                else:
                    rows.add(key, "1" if row["section"] == STRUCTURE else "2", number, row)

    def _row(self, fields: Sequence[str], number: int) -> tuple[str, dict[str, str]]:
        """Return the number and the fields of a row. Raises ``Fault``, or ``FileRefused`` where the file is cut."""
        names = _positions().get(fields[0])
        if names is None:
            raise Fault(f"a une section inconnue, « {fields[0][:30]} »", "donnez le fichier etalab-cs1100507-stock")
        self._check_width(len(fields), len(names), number)
        row = {name: field for name, field in zip(names, fields, strict=True) if field}
        for name, kind in (("nofinesset", "FINEG"), ("nofinessej", "FINEJ"), ("siret", "SIRET")):
            try:
                if name in row or name == "nofinesset":
                    row[name] = parse(kind, row.get(name, ""))
            except ValueError:
                told = f"a un numéro {kind} impossible, « {row.get(name, '')[:20]} »"
                raise Fault(told, "signalez-le au registre, ou laissez-la de côté avec --partial") from None
        return row["nofinesset"], row

    def _wanted(self, finess: str, rows: Sequence[Row]) -> Iterator[Wanted | Remark]:
        """Yield the resources of one site; its coordinates come after it, if there are some."""
        line, row = rows[0]
        insee = commune(row.get("departement", ""), row.get("commune", ""))
        if row["section"] != STRUCTURE or (self._communes is not None and insee not in self._communes):
            return
        where, position = Place(self._lines.name, line), None
        for other in rows[1:]:
            if other.fields["section"] == STRUCTURE:
                yield Remark(Place(self._lines.name, other.line), f"répète l'établissement de la ligne {line}")
            elif (position := _position(other.fields)) is None:
                yield Remark(Place(self._lines.name, other.line), "a des coordonnées que l'on ne sait pas convertir")
        parent = f"finess-{row['nofinessej']}" if row.get("nofinessej", finess) != finess else None
        if parent:
            yield Wanted(legal_entity(parent, row["nofinessej"]), where, weak=True)
        postal = _address(row, insee)
        yield Wanted(_organization(finess, row, parent, postal), where, int(parent is not None))
        if postal:
            yield Wanted(place(f"finess-{finess}", row.get("rslongue", row.get("rs")), postal, position), where)


@cache
def _positions() -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = load("finess.yaml", "positions.schema.json")
    return found


def _organization(finess: str, row: Mapping[str, str], parent: str | None, postal: Json | None) -> Json:
    names = [row[name] for name in ("rslongue", "rs", "complrs") if name in row]
    since = _day(row.get("dateouv"))
    return elements.made(
        "Organization",
        f"finess-{finess}",
        extension=[{"url": ORGANIZATION_PERIOD, "valuePeriod": {"start": since}}] if since else None,
        identifier=elements.structure_identifiers(finess=finess, siret=row.get("siret")),
        active=True,
        type=elements.structure_types(row.get("categetab"), None),
        name=names[0] if names else None,
        alias=names[1:],
        telecom=[*elements.called("phone", row.get("telephone")), *elements.called("fax", row.get("telecopie"))],
        address=[postal] if postal else None,
        partOf=reference("Organization", parent) if parent else None,
    )


def _address(row: Mapping[str, str], insee: str) -> Json | None:
    post, town = routing(row.get("ligneacheminement"))
    street = " ".join(row[name] for name in ("numvoie", "typvoie", "voie", "compvoie") if name in row)
    lines = [row.get("compldistrib", ""), street, row.get("lieuditbp", "")]
    return address(lines, post, town, insee)


def _position(row: Mapping[str, str]) -> Json | None:
    """Return the coordinates in WGS 84; None where the projection is not known or a number is none."""
    inverse = PROJECTIONS.get(row.get("sourcecoordet", "").rpartition(",")[2])
    try:
        easting, northing = float(row["coordxet"]), float(row["coordyet"])
    except (KeyError, ValueError):
        return None
    if inverse is None or not (0 <= easting < FARTHEST and 0 <= northing < FARTHEST):
        return None
    found = inverse(easting, northing)
    return {"longitude": round(found.longitude, DIGITS), "latitude": round(found.latitude, DIGITS)}


def _day(text: str | None) -> str | None:
    match = _DATE.fullmatch(text or "")
    if match is None:
        return None
    return text if match[1] else f"{match[6]}-{match[5]}-{match[4]}"
