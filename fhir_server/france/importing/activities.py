"""A row of the Annuaire Santé, and the resources that all rows of one person or structure become.

Spec: https://hl7.org/fhir/R4/practitioner.html, https://hl7.org/fhir/R4/practitionerrole.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from fhir_server.france.identifiers import IDNST_SYSTEM, parse
from fhir_server.france.importing import elements
from fhir_server.france.importing.addresses import address, id_of, routing
from fhir_server.france.importing.extraction import extraction
from fhir_server.france.importing.findings import Fault
from fhir_server.france.vocabulary import IDENTIFIER_TYPES, ORGANIZATION_TYPES, Json, concept, idnps, idnst, reference

Fields = Mapping[str, str]

NUMBERS: Final = {"siret": "SIRET", "siren": "SIREN", "finess": "FINEG", "finess-ej": "FINEJ"}
"""Columns of a structure's numbers and their kinds."""
TYPES: Final = {"8": "RPPS", "0": "ADELI"}
"""Kinds of a person's own number, by the column that says so; others are known by the prefixed number alone."""


class Activity(NamedTuple):
    """Who and where: the ids of the Practitioner and of the Organization, None where a row has no structure."""

    person: str
    structure: str | None


def activity(row: Fields) -> Activity:
    """Return what a row is about. Raises ``Fault`` if a number or a code of it is impossible."""
    national = _number("IDNPS", row, "idnps")
    if row.get("type") in TYPES:
        own = _number(TYPES[row["type"]], row, "numero")
        if national != row["type"] + own:
            told = f"a un numéro {own} et un identifiant national {national} qui ne vont pas ensemble"
            raise Fault(told, "signalez-le au registre")
    for key, code in NUMBERS.items():
        if key in row:
            _number(code, row, key)
    for element in ("Practitioner.qualification.code", "PractitionerRole.code", "Organization.type"):
        try:
            extraction().codings(element, row)
        except ValueError as error:
            told = f"a un code inconnu pour {element}, « {error.args[0][:20]} »"
            raise Fault(told, "ajoutez son système dans mappings/imports/annuaire.yaml") from None
    return Activity(id_of(elements.practitioner_id(national, row.get("profession"))), _structure(row))


def _number(code: str, row: Fields, key: str) -> str:
    text = row.get(key, "")
    try:
        return parse(code, text)
    except ValueError:
        told = f"a un numéro {code} impossible, « {text[:30]} »" if text else f"n'a pas de numéro {code}"
        raise Fault(told, "signalez-le au registre, ou laissez-la de côté avec --partial") from None


def _structure(row: Fields) -> str | None:
    """Return the id of a structure: by FINESS, else SIRET, else what the register calls it."""
    for key in ("finess", "siret", "idnst", "technique"):
        if key in row:
            return id_of(f"{'structure' if key in {'idnst', 'technique'} else key}-{''.join(row[key].split())}")
    return None


# --- a structure -----------------------------------------------------------------------------------------------------


def resources_of_structure(id_: str, row: Fields) -> Iterator[tuple[Json, int, bool]]:
    """Yield a structure, its place, and its legal entity; each with its level and whether little is known of it."""
    parent = f"finess-{parse('FINEJ', row['finess-ej'])}" if "finess-ej" in row else None
    if parent == id_:
        parent = None
    if parent:
        yield legal_entity(parent, row["finess-ej"]), 0, True
    where = _address(row)
    yield (
        elements.made(
            "Organization",
            id_,
            identifier=_identifiers(row),
            active=True,
            type=[{"coding": [one]} for one in extraction().codings("Organization.type", row)],
            name=row.get("raison-sociale") or row.get("enseigne"),
            alias=[row["enseigne"]] if row.get("enseigne") not in {None, row.get("raison-sociale")} else None,
            address=[where] if where else None,
            partOf=reference("Organization", parent) if parent else None,
        ),
        int(parent is not None),
        False,
    )
    if where:
        yield place(id_, row.get("raison-sociale"), where), 0, False


def legal_entity(id_: str, finess: str) -> Json:
    """Return the legal entity of a site, of which a register's row tells only the number."""
    kind = concept(ORGANIZATION_TYPES, "LEGAL-ENTITY")
    number = elements.identifier("FINEJ", parse("FINEJ", finess))
    return elements.made("Organization", id_, identifier=[number], active=True, type=[kind])


def place(organization: str, name: str | None, where: Json, position: Json | None = None) -> Json:
    """Return the place of a structure."""
    return elements.made(
        "Location",
        organization,
        status="active",
        name=name,
        mode="instance",
        address=where,
        position=position,
        managingOrganization=reference("Organization", organization),
    )


def _identifiers(row: Fields) -> list[Json]:
    """The number that the register gives the structure, where it is a national one; and those inside it."""
    numbers = {key: parse(code, row[key]) for key, code in NUMBERS.items() if key in row and key != "finess-ej"}
    found = elements.structure_identifiers(**numbers)
    if "idnst" in row and not any(one["system"] == IDNST_SYSTEM for one in found):
        with suppress(ValueError):  # what the register writes for a structure without number is kept out
            found.insert(0, {"use": "official", **idnst(parse("IDNST", row["idnst"]), IDENTIFIER_TYPES)})
    return found


def _address(row: Fields) -> Json | None:
    post, town = routing(row.get("cedex"))
    street = " ".join(row[key] for key in ("voie-numero", "voie-indice", *_street_type(row), "voie") if key in row)
    lines = [row.get("destinataire", ""), row.get("point-geographique", ""), street, row.get("distribution", "")]
    return address(
        lines, row.get("code-postal", post), row.get("commune-nom", town), row.get("commune"), row.get("pays")
    )


def _street_type(row: Fields) -> tuple[str, ...]:
    """The label of the kind of street, else its code; the restricted layout has it in the street's own label."""
    return ("voie-type",) if "voie-type" in row else ()


# --- a person --------------------------------------------------------------------------------------------------------


def resources_of_person(id_: str, rows: Sequence[Fields]) -> Iterator[Json]:
    """Yield a professional with all that the rows tell of them, then a role for each structure."""
    yield _practitioner(id_, rows)
    by_structure: dict[str, list[Fields]] = {}
    for row in rows:
        if (structure := _structure(row)) is not None:
            by_structure.setdefault(structure, []).append(row)
    for structure, own in by_structure.items():
        yield _role(id_, structure, own)


def _practitioner(id_: str, rows: Sequence[Fields]) -> Json:
    row = rows[0]
    own = (
        [elements.identifier(TYPES[row["type"]], parse(TYPES[row["type"]], row["numero"]))]
        if row["type"] in TYPES
        else []
    )
    return elements.made(
        "Practitioner",
        id_,
        identifier=[idnps(parse("IDNPS", row["idnps"]), IDENTIFIER_TYPES), *own],
        active=True,
        name=_names(row),
        telecom=[
            *elements.called("phone", row.get("telephone-personne")),
            *elements.mail(row.get("courriel-personne")),
        ],
        gender={"M": "male", "F": "female"}.get(row.get("sexe", "")),
        birthDate=_day(row.get("naissance")),
        qualification=_qualifications(rows),
    )


def _names(row: Fields) -> list[Json]:
    """The name a professional practises under, and the civil one, which only the restricted layout has."""
    titles = {"prefix": row.get("civilite"), "suffix": row.get("civilite-exercice")}
    practised = _name("usual", row.get("nom"), [row["prenom"]] if "prenom" in row else [], titles)
    civil = _name("official", row.get("nom-famille"), [part for part in row.get("prenoms", "").split("'") if part], {})
    return [name for name in (practised, civil) if name]


def _name(use: str, family: str | None, given: list[str], titles: Mapping[str, str | None]) -> Json:
    if not family and not given:
        return {}
    found: Json = {"use": use}
    if family:
        found["family"] = family
    if given:
        found["given"] = given
    return found | {name: [value] for name, value in titles.items() if value}


def _qualifications(rows: Sequence[Fields]) -> list[Json]:
    """The profession with its category, once; then each competence with its type."""
    found: list[Json] = []
    for row in rows:
        for first, second in (("categorie", "profession"), ("type-savoir-faire", "savoir-faire")):
            if second in row:
                codings = [extraction().codes[key].coding(row) for key in (first, second)]
                code = {"code": {"coding": [one for one in codings if one is not None]}}
                if code not in found:
                    found.append(code)
    return found


def _role(person: str, structure: str, rows: Sequence[Fields]) -> Json:
    codes: list[Json] = []
    telecom: list[Json] = []
    for row in rows:
        _merge(codes, [{"coding": [one]} for one in extraction().codings("PractitionerRole.code", row)])
        _merge(telecom, _telecom(row))
    return elements.made(
        "PractitionerRole",
        id_of(f"{person}-{structure}"),
        active=True,
        practitioner=reference("Practitioner", person),
        organization=reference("Organization", structure),
        code=codes,
        location=[reference("Location", structure)] if _address(rows[0]) else None,
        telecom=telecom,
    )


def _telecom(row: Fields) -> list[Json]:
    phones = [*elements.called("phone", row.get("telephone")), *elements.called("phone", row.get("telephone-2"))]
    return [*phones, *elements.called("fax", row.get("telecopie")), *elements.mail(row.get("courriel"))]


def _merge(found: list[Json], more: list[Any]) -> None:
    found.extend(one for one in more if one not in found)


def _day(text: str | None) -> str | None:
    match = re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", text or "")
    return f"{match[3]}-{match[2]}-{match[1]}" if match else None
