"""The professionals of the demonstration: who they are, their membership, their practices and agendas.

A professional with an agenda is written in the form of the SAS profiles (FR Core 1, one identifier), for the
national platform reads them; the others in that of FR Core 2.

Spec: https://hl7.org/fhir/R4/practitioner.html, https://hl7.org/fhir/R4/practitionerrole.html
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from fhir_server.france.demo.facts import Cpts, Member
from fhir_server.france.demo.resources import LOCATION_SYSTEM, national, tagged
from fhir_server.france.demo.structures import address, position
from fhir_server.france.identifiers import RPPS_SYSTEM, add_prefix
from fhir_server.france.sas import profiles
from fhir_server.france.vocabulary import (
    IDENTIFIER_TYPES,
    IDENTIFIER_TYPES_OLD,
    PLACE_IDENTIFIER_TYPES_OLD,
    Json,
    coding,
    concept,
    email,
    idnps,
    idnst,
    own,
    phone,
    reference,
    tre,
)


def people(cpts: Cpts) -> Iterator[Json]:
    """Every member, then the coordinator of the CPTS."""
    for member in cpts.members:
        yield _practitioner(member)
        yield _membership(member, cpts)
        for place in range(1, max(1, len(member.places)) + 1):
            yield _practice(member, place)
        for place in range(1, len(member.places) + 1):
            yield _schedule(member, place)
    yield from _coordinator(cpts)


def membership_id(member_id: str) -> str:
    """The id of a member's role in the CPTS: what teams refer to."""
    return f"{member_id}-adherent"


def _practitioner(member: Member) -> Json:
    rpps = {"type": concept(IDENTIFIER_TYPES, "RPPS"), "system": RPPS_SYSTEM, "value": member.rpps}
    sas = bool(member.places)
    title = member.trade.get("civilite")
    return tagged(
        "Practitioner",
        member.id,
        profiles.PRACTITIONER if sas else None,
        identifier=[idnps(member.national_id, IDENTIFIER_TYPES_OLD)]
        if sas
        else [idnps(member.national_id, IDENTIFIER_TYPES), rpps],
        active=True,
        name=[{"family": member.family, "given": [member.given], **({"suffix": [title]} if title else {})}],
        qualification=_qualifications(member),
    )


def _qualifications(member: Member) -> list[Json]:
    """The profession with its category (civilian), then the speciality with its type (ordinal speciality)."""
    system, code = member.trade["profession"]
    civilian = coding(tre("TRE_R09-CategorieProfessionnelle"), "C")
    found = [{"code": {"coding": [civilian, coding(tre(system), code)]}}]
    if member.specialty:
        ordinal = coding(tre("TRE_R04-TypeSavoirFaire"), "S")
        system, code = member.specialty
        found.append({"code": {"coding": [ordinal, coding(tre(system), code)]}})
    return found


def _membership(member: Member, cpts: Cpts) -> Json:
    """The role in the CPTS: profession and speciality stand here too, so that one search finds who does what."""
    return tagged(
        "PractitionerRole",
        membership_id(member.id),
        active=True,
        period={"start": member.since},
        practitioner=reference("Practitioner", member.id),
        organization=reference("Organization", cpts.id),
        code=[
            concept(own("cpts-role"), "adherent"),
            national(member.trade["profession"]),
            concept(tre("TRE_R21-Fonction"), member.function),
        ],
        specialty=_specialties(member),
        telecom=[phone(f"+3363998{member.number:04d}"), email(_address_of(member))],
    )


def _practice(member: Member, place: int) -> Json:
    """The role at one place of consultation, with that place inside it and the practice by its number alone."""
    id_ = member.practice_id(place)
    sas = bool(member.places)
    inner = {
        "resourceType": "Location",
        "id": "lieu",
        **({"meta": {"profile": [profiles.LOCATION]}} if sas else {}),
        "identifier": [{"type": concept(PLACE_IDENTIFIER_TYPES_OLD, "INTRN"), "system": LOCATION_SYSTEM, "value": id_}],
        "address": address(member.commune, member.street if place == 1 else f"{place} bis, {member.street}"),
        "position": position(member.commune),
    }
    practice = add_prefix("RPPSRG", f"{member.rpps}{place:03d}")
    return tagged(
        "PractitionerRole",
        id_,
        profiles.PRACTITIONER_ROLE if sas else None,
        contained=[inner],
        active=True,
        practitioner=reference("Practitioner", member.id),
        organization={"identifier": idnst(practice, IDENTIFIER_TYPES_OLD)},
        code=[
            concept(tre("TRE_R23-ModeExercice"), "L"),
            concept(tre("TRE_R21-Fonction"), member.function),
        ],
        specialty=_specialties(member),
        location=[{"reference": "#lieu"}],
        telecom=_practice_phone(member, place),
    )


def _practice_phone(member: Member, place: int) -> list[Json]:
    """One practice in seven gives no phone: the platform must then find no ``telecom`` at all."""
    return [] if member.number % 7 == 0 else [phone(f"+3335301{place - 1}{member.number:03d}")]


def _schedule(member: Member, place: int) -> Json:
    id_ = member.practice_id(place)
    return tagged(
        "Schedule",
        id_,
        profiles.SCHEDULE,
        active=True,
        specialty=_specialties(member),
        actor=[reference("Practitioner", member.id), reference("PractitionerRole", id_)],
    )


def _coordinator(cpts: Cpts) -> Iterator[Json]:
    """Who runs the CPTS day by day: not a health professional, so without a national number."""
    id_, name = f"{cpts.key}-coordination", cpts.facts["coordination"]
    yield tagged("Practitioner", id_, active=True, name=[{"family": name["nom"], "given": [name["prenom"]]}])
    yield tagged(
        "PractitionerRole",
        id_,
        active=True,
        practitioner=reference("Practitioner", id_),
        organization=reference("Organization", cpts.id),
        code=[
            concept(own("cpts-role"), "coordinateur"),
            concept(tre("TRE_R22-GenreActivite"), "GENR08"),
        ],
        telecom=[email(f"coordination@{cpts.key}.example.org")],
    )


def _specialties(member: Member) -> list[Json]:
    return [national(member.specialty)] if member.specialty else []


def _address_of(member: Member) -> str:
    """Return an e-mail address in plain letters, under a domain reserved for examples."""
    plain = unicodedata.normalize("NFKD", f"{member.given}.{member.family}").encode("ascii", "ignore").decode()
    return f"{plain.lower().replace(chr(39), '-').replace(' ', '-')}@pro.example.org"
