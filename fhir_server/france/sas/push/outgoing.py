"""What leaves of an appointment: built from a list of what may, so that nothing of a patient does.

Identifier, state, times, who receives the patient, who booked, and the orientation; pure.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (FrAppointmentSAS, sas-sos-appointment)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fhir_server.france import vocabulary
from fhir_server.france.aliases import spelling
from fhir_server.france.identifiers import BY_SYSTEM, IDNPS_SYSTEM, KINDS
from fhir_server.france.regulators import ACCOUNT_SYSTEM, ACCOUNTS
from fhir_server.france.sas import profiles
from fhir_server.france.sas.appointments import ACCEPTED, STATES, is_operator, is_sos, operators
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.received import is_received
from fhir_server.france.sas.rendering import Related, national_number
from fhir_server.france.vocabulary import Json
from fhir_server.model.formats import Resource
from fhir_server.model.reference import type_named

STATUS: Final[Mapping[str, str]] = {
    **{state: state for state in STATES},
    "arrived": "booked",
    "checked-in": "booked",
    "entered-in-error": "cancelled",
}
"""What the platform is told of a status. The others come before booked, and are not told."""

_PROFESSIONALS: Final = frozenset({"Practitioner", "PractitionerRole"})
_PATIENTS: Final = frozenset({"PI", "PT", "MR", "NH", "SS", "NI", "PN"})
"""Types of identifiers that are a person's, as are those that begin with INS."""

_PUBLISHERS: Final = ("https://interop.esante.gouv.fr/", "https://mos.esante.gouv.fr/")


class Unsendable(Exception):
    """The appointment cannot be told as it is; the text says why, without personal data."""


def is_for_sas(appointment: Resource) -> bool:
    """Tell whether an Appointment, valid R4, was made for the SAS: it claims one of the guide's profiles, or a
    professional booked it, whichever way that is written. Those that we have received are not ours to tell."""
    if is_received(appointment):
        return False
    claimed = (str(one).partition("|")[0] for one in appointment.get("meta", {}).get("profile", ()))
    if any(one in profiles.APPOINTMENTS for one in claimed):
        return True
    return any(_is_professional(reference) for _, reference in operators(appointment))


def wanted(appointment: Resource) -> Iterator[str]:
    """Yield the texts of references that have to be followed, to a Practitioner or a Location in the end."""
    actors = [one.get("actor", {}) for one in appointment.get("participant", ())]
    for reference in (*actors, *(reference for _, reference in operators(appointment))):
        text = reference.get("reference", "")
        if type_named(text) in {*_PROFESSIONALS, "Location"} or text.startswith("#"):
            yield text


def cancelled(last: Resource | None) -> Resource | None:
    """Return what the platform is told of an appointment that is no longer there; None: nothing, since it was never
    told of it, or it has ended there."""
    return {**last, "status": "cancelled"} if last is not None and last["status"] == STATES[0] else None


def outgoing(
    appointment: Resource, version: Version, related: Related, last: Resource | None, spare: Json
) -> Resource | None:
    """Return what the platform is told of an Appointment, valid R4; None: nothing.

    ``related``: the resources that ``wanted`` texts lead to. ``last``: what it was told before. ``spare``: the
    identifier of an appointment that has none. Raises ``Unsendable``.
    """
    status = STATUS.get(appointment.get("status", ""))
    if status is None:
        return None
    if status == "cancelled":  # nothing else is new to the platform, and what it never heard of is not cancelled
        return None if last is None else {**last, "status": status}
    people = list(_professionals(appointment, related))
    places = list(_places(appointment, related))
    sos = is_sos(appointment) or (not people and bool(places))
    told: Json = {
        "resourceType": "Appointment",
        "meta": {"profile": [profiles.SOS_APPOINTMENT if sos else profiles.APPOINTMENT]},
        "extension": [_operator(appointment, related)],
        "identifier": last["identifier"] if last is not None else [_identifier(appointment, spare)],
        "status": status,
    }
    if version is Version.V1_2 and not sos:
        told["extension"] += _orientation(appointment)
    told |= _times(appointment, last)
    accepted = ACCEPTED[Version.V1_2 if sos else version]
    named = people + places if sos else people
    told["participant"] = list(_participants(named, accepted))
    if not told["participant"]:
        raise Unsendable("no participant has a national number: IDNPS, RPPS or ADELI (for SOS: a place's identifier)")
    return told


def _times(appointment: Resource, last: Resource | None) -> Json:
    times = {name: appointment.get(name, (last or {}).get(name)) for name in ("created", "start", "end")}
    for name in ("start", "end"):
        if times[name] is None:
            raise Unsendable(f"Appointment.{name} is missing")
    return {name: value for name, value in times.items() if value is not None}


def _participants(named: Sequence[tuple[str, Json | None]], accepted: Sequence[str]) -> Iterator[Json]:
    """Yield each of who receives the patient once, if it has an identifier."""
    seen: list[Json] = []
    for status, identifier in named:
        if identifier is not None and identifier not in seen:
            seen.append(identifier)
            yield {
                "actor": {"identifier": identifier},
                "status": status if status in accepted else accepted[0],
            }


def _professionals(appointment: Resource, related: Related) -> Iterator[tuple[str, Json | None]]:
    """Yield the status and the IDNPS of the professionals who take part; None: of one who has no number."""
    for one in _present(appointment):
        actor = one.get("actor", {})
        found = related.get(actor.get("reference", ""))
        if found is not None and (found["resourceType"] != "Practitioner" or ACCOUNTS.has(found)):
            continue
        if _is_professional(actor) or found is not None:
            yield one.get("status", ""), _idnps(actor, found)


def _places(appointment: Resource, related: Related) -> Iterator[tuple[str, Json | None]]:
    """Yield the status and the identifier of the places that take part: those of SOS Médecins."""
    for one in _present(appointment):
        found = related.get(one.get("actor", {}).get("reference", ""), {})
        for number in found.get("identifier", ())[:1] if found.get("resourceType") == "Location" else ():
            if "system" in number and "value" in number:
                yield one.get("status", ""), _typed("INTRN", number["system"], number["value"], is_place=True)


def _present(appointment: Resource) -> Iterator[Json]:
    for one in appointment.get("participant", ()):
        if not is_operator(one) and one.get("status") != "declined":
            yield one


def _is_professional(reference: Json) -> bool:
    """Tell whether a reference is to a professional, by its text, its type or its identifier."""
    if type_named(reference.get("reference", "")) in _PROFESSIONALS:
        return True
    if "reference" in reference or reference.get("type", "Practitioner") not in _PROFESSIONALS:
        return False
    return _numbered([reference.get("identifier", {})]) is not None


def _idnps(actor: Json, found: Resource | None) -> Json | None:
    numbers = [*found.get("identifier", ())] if found is not None else []
    named = _numbered([actor["identifier"]] if "identifier" in actor else []) or _numbered(numbers)
    return named if named is not None and named["system"] == IDNPS_SYSTEM else None


def _operator(appointment: Resource, related: Related) -> Json:
    for _, reference in operators(appointment):
        found = related.get(reference.get("reference", ""), {})
        known = found.get("identifier", ()) if found.get("resourceType") == "Practitioner" else ()
        own = [reference["identifier"]] if "identifier" in reference and _is_person(reference) else []
        identifier = _numbered([*own, *known])
        if identifier is not None:
            return {"url": profiles.OPERATOR, "valueReference": {"identifier": identifier}}
    raise Unsendable("nobody who booked it is named by an IDNPS or the identifier of an account of the platform")


def _is_person(reference: Json) -> bool:
    """Tell whether a reference with an identifier may be to a professional: nothing says that it is to another."""
    type_ = reference.get("type") or type_named(reference.get("reference", "")) or "Practitioner"
    return type_ in _PROFESSIONALS


def _numbered(identifiers: Sequence[Json]) -> Json | None:
    """Return the identifier that the platform knows a professional or a regulator by."""
    number = national_number({"identifier": identifiers}, IDNPS_SYSTEM)
    if number is not None and KINDS["IDNPS"].matches(number):
        return _typed("IDNPS", IDNPS_SYSTEM, number)
    accounts = (one["value"] for one in identifiers if one.get("system") == ACCOUNT_SYSTEM and "value" in one)
    value = next(accounts, None)
    return None if value is None else _typed("INTRN", ACCOUNT_SYSTEM, value)


def _identifier(appointment: Resource, spare: Json) -> Json:
    """Return the first identifier that is the appointment's own, and no person's."""
    for one in appointment.get("identifier", ()):
        codes = [str(coding.get("code")) for coding in one.get("type", {}).get("coding", ())]
        is_person = any(code in _PATIENTS or code.startswith("INS") for code in codes)
        if "system" in one and "value" in one and not is_person and spelling()(one["system"]) not in BY_SYSTEM:
            return {"system": one["system"], "value": one["value"]}
    return spare


def _orientation(appointment: Resource) -> list[Json]:
    for one in appointment.get("extension", ()):
        if one.get("url") == profiles.ORIENTATION:
            for coding in one.get("valueCodeableConcept", {}).get("coding", ()):
                if coding.get("code") in profiles.ORIENTATIONS and coding.get("system", "").startswith(_PUBLISHERS):
                    kept = {"system": coding["system"], "code": coding["code"]}
                    return [{"url": profiles.ORIENTATION, "valueCodeableConcept": {"coding": [kept]}}]
    return []


def _typed(code: str, system: str, value: Any, *, is_place: bool = False) -> Json:
    types = vocabulary.PLACE_IDENTIFIER_TYPES_OLD if is_place else vocabulary.IDENTIFIER_TYPES_OLD
    return {"type": {"coding": [{"system": types, "code": code}]}, "system": system, "value": value}
