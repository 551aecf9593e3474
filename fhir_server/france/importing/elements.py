"""Resources and elements that several sources write: people, structures, places, affiliations.

Forms are those of FR Core 2. Spec: https://hl7.org/fhir/R4/practitioner.html, https://hl7.org/fhir/R4/organization.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fhir_server.france import telecom, vocabulary
from fhir_server.france.identifiers import KINDS, add_prefix
from fhir_server.france.importing.vocabulary import Word, words
from fhir_server.france.vocabulary import (
    CANONICAL,
    IDENTIFIER_TYPES,
    LOINC,
    PHYSICAL_TYPE,
    Json,
    coding,
    concept,
    idnps,
    idnst,
    own,
    reference,
    tre,
)

TERRITORY: Final = f"{CANONICAL}/StructureDefinition/cpts-territory"
DESCRIPTION: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Organization.description"
POPULATION: Final = f"{CANONICAL}/StructureDefinition/population"
ACI: Final = f"{CANONICAL}/StructureDefinition/cpts-aci"
DESCRIBED: Final = f"{CANONICAL}/sid/cpts"
TEAMS: Final = f"{CANONICAL}/sid/cpts-team"
PROFESSION: Final = concept(own("cpts-characteristic"), "profession")
CIVILIAN: Final = coding(tre("TRE_R09-CategorieProfessionnelle"), "C")
ORDINAL: Final = coding(tre("TRE_R04-TypeSavoirFaire"), "S")
CATEGORIES: Final = tre("TRE_R66-CategorieEtablissement")
SECTORS: Final = tre("TRE_R02-SecteurActivite")
AREA: Final = concept(PHYSICAL_TYPE, "area")


def made(type_: str, id_: str, **elements: Any) -> Json:
    """Return a resource of the elements that say something; ``for_`` writes ``for``."""
    found = {name.rstrip("_"): value for name, value in elements.items() if value not in (None, [], {}, "")}
    return {"resourceType": type_, "id": id_, **found}


def identifier(code: str, value: str) -> Json:
    """Return a national identifier of a kind of the table, without prefix."""
    return {"type": concept(IDENTIFIER_TYPES, code), "system": KINDS[code].system, "value": value}


def person_identifiers(national: str, rpps: str | None) -> list[Json]:
    """Return the IDNPS of a professional, and the RPPS inside it."""
    return [idnps(national, IDENTIFIER_TYPES), *([identifier("RPPS", rpps)] if rpps else [])]


def structure_identifiers(
    *, finess: str | None = None, siret: str | None = None, siren: str | None = None
) -> list[Json]:
    """Return the IDNST of a structure (of its FINESS, else of its SIRET), and the numbers inside it."""
    found = []
    if finess:
        found.append(identifier("FINEG", finess))
    if siret:
        found.append(identifier("SIRET", siret))
    if siren:
        found.append(identifier("SIREN", siren))
    source = ("FINEG", finess) if finess else ("SIRET", siret)
    if source[1]:
        found.insert(0, {"use": "official", **idnst(add_prefix(source[0], source[1]), IDENTIFIER_TYPES)})
    return found


def period(start: str | None, end: str | None) -> Json | None:
    """Return a period, None without either end."""
    found = {name: value for name, value in (("start", start), ("end", end)) if value}
    return found or None


def phone(value: str | None) -> list[Json]:
    """Return the ContactPoint of a telephone, if there is one."""
    return [vocabulary.phone(value)] if value else []


def email(value: str | None) -> list[Json]:
    """Return the ContactPoint of an e-mail address, if there is one."""
    return [vocabulary.email(value)] if value else []


def secure_email(value: str | None) -> list[Json]:
    """Return the ContactPoint of an address of the MSSanté space, typed as such, if there is one."""
    return [telecom.email_point(value, secure=True)] if value else []


def called(system: str, text: str | None) -> list[Json]:
    """Return the ContactPoint of a register's number, in international form, if it is one; ``system``: phone or fax."""
    number = telecom.phone(text) if text else None
    return [{"system": system, "value": number}] if number else []


def mail(text: str | None) -> list[Json]:
    """Return the ContactPoint of an address as a register writes it, typed if its domain is of MSSanté's."""
    return [telecom.email_point(text)] if text and "@" in text else []


def structure_types(category: str | None, sector: str | None) -> list[Json]:
    """Return the types of a structure: its FINESS category, its sector of activity."""
    found = [concept(CATEGORIES, category)] if category else []
    return [*found, *([concept(SECTORS, sector)] if sector else [])]


def practitioner_id(national: str, profession: str | None) -> str:
    """Return the id of a professional: one of each profession of one number."""
    return "-".join(("ps", national.replace("/", "-"), *([profession] if profession else [])))


def qualifications(word: Word) -> list[Json]:
    """Return the profession, as a civilian, and the ordinal speciality if there is one."""
    found = [{"code": {"coding": [CIVILIAN, coding(word.system, word.code)]}}]
    return [*found, *({"code": {"coding": [ORDINAL, *concept["coding"]]}} for concept in word.specialties)]


def member_practitioner(
    id_: str, national: str | None, rpps: str | None, name: tuple[str, str], word: Word | None
) -> Json:
    """Return a professional as a CPTS knows it: ``name`` is family and given."""
    return made(
        "Practitioner",
        id_,
        identifier=person_identifiers(national, rpps) if national else None,
        active=True,
        name=[{"family": name[0], "given": [name[1]]}],
        qualification=qualifications(word) if word else None,
    )


def membership(
    id_: str,
    practitioner: str,
    cpts: str,
    roles: Sequence[str],
    word: Word | None,
    more: Json,
    function: str | None = None,
) -> Json:
    """Return the role of a person in a CPTS; the profession stands here too, so that one search finds who does what."""
    codes = [words("roles")[role].concept for role in roles]
    codes += [word.concept] if word else []
    codes += [words("fonctions")[function].concept] if function else []
    return made(
        "PractitionerRole",
        id_,
        active=True,
        period=more.get("period"),
        practitioner=reference("Practitioner", practitioner),
        organization=reference("Organization", cpts),
        code=codes,
        specialty=word.specialties if word else None,
        telecom=more.get("telecom"),
    )


def team_categories(kind: str, pathway: str | None = None) -> list[Json]:
    """Return the categories of a team: LOINC's where it has one, ours, the pathway."""
    word = words("equipes")[kind]
    loinc = [concept(LOINC, word.loinc)] if word.loinc else []
    return [*loinc, word.concept, *([words("parcours")[pathway].concept] if pathway else [])]
