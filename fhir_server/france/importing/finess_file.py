"""The source of FINESS's open files: structures with their coordinates, which become WGS 84.

Columns: ``mappings/imports/finess.yaml``; how they are found: ``finess_layout``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Final

from fhir_server.france.identifiers import parse
from fhir_server.france.importing import elements
from fhir_server.france.importing.activities import legal_entity, place
from fhir_server.france.importing.addresses import address, commune, routing
from fhir_server.france.importing.findings import Fault, FileRefused, Place, Refused, Remark
from fhir_server.france.importing.finess_layout import SECTION, STRUCTURE, Layout, layout
from fhir_server.france.importing.projections import PROJECTIONS
from fhir_server.france.importing.register import RegisterFile
from fhir_server.france.importing.rows import Row, Rows
from fhir_server.france.importing.source import Wanted
from fhir_server.france.vocabulary import ORGANIZATION_PERIOD, Json, reference

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
        found: Layout | None = None
        for number, text in self._lines:
            fields = [" ".join(field.split()) for field in text.split(";")]
            if found is None:
                found = layout(fields, self._lines.name)
            elif text.strip():
                try:
                    self._check_width(len(fields), found.width(fields), number)
                    row = _checked(found.row(fields))
                except Fault as fault:
                    yield Refused(Place(self._lines.name, number), fault.reason, fault.remedy)
                else:
                    rows.add(row["nofinesset"], "1" if row[SECTION] == STRUCTURE else "2", number, row)
        if found is None:
            raise FileRefused(Place(self._lines.name), "est vide", "donnez le fichier tel qu'il a été téléchargé")

    def _wanted(self, finess: str, rows: Sequence[Row]) -> Iterator[Wanted | Remark]:
        """Yield the resources of one site; its coordinates come after it, if there are some."""
        line, row = rows[0]
        insee = row.get("cog") or commune(row.get("departement", ""), row.get("commune", ""))
        if row[SECTION] != STRUCTURE or (self._communes is not None and insee not in self._communes):
            return
        where, position = Place(self._lines.name, line), None
        for other in rows:
            if other is not rows[0] and other.fields[SECTION] == STRUCTURE:
                yield Remark(Place(self._lines.name, other.line), f"répète l'établissement de la ligne {line}")
            elif _is_placed(other.fields) and (position := _position(other.fields)) is None:
                yield Remark(Place(self._lines.name, other.line), "a des coordonnées que l'on ne sait pas convertir")
        parent = f"finess-{row['nofinessej']}" if row.get("nofinessej", finess) != finess else None
        if parent:
            yield Wanted(legal_entity(parent, row["nofinessej"]), where, weak=True)
        postal = _address(row, insee)
        yield Wanted(_organization(finess, row, parent, postal), where, int(parent is not None))
        if postal:
            yield Wanted(place(f"finess-{finess}", row.get("rslongue", row.get("rs")), postal, position), where)


def _checked(row: dict[str, str]) -> dict[str, str]:
    """Return a row with its numbers as they are written. Raises ``Fault`` for one that cannot be."""
    for name, kind in (("nofinesset", "FINEG"), ("nofinessej", "FINEJ"), ("siret", "SIRET")):
        try:
            if name in row or name == "nofinesset":
                row[name] = parse(kind, row.get(name, ""))
        except ValueError:
            told = f"a un numéro {kind} impossible, « {row.get(name, '')[:20]} »"
            raise Fault(told, "signalez-le au registre, ou laissez-la de côté avec --partial") from None
    return row


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
    post, town = post or row.get("codepostal"), town or row.get("libelle-routage")
    street = " ".join(row[name] for name in ("numvoie", "typvoie", "voie", "compvoie") if name in row)
    lines = [row.get("compldistrib", ""), street, row.get("lieuditbp", "")]
    return address(lines, post, town, insee)


def _is_placed(row: Mapping[str, str]) -> bool:
    """Tell whether a row is meant to say where a site is."""
    return row[SECTION] != STRUCTURE or "coordxet" in row


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
