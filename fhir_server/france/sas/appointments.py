"""What the platform must be told of an appointment (INT_R03), and what it must not: of patients, nothing.

A check of one Appointment as FrAppointmentSAS or sas-sos-appointment have it, by the version of the guide.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (the two appointment profiles)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from fhir_server.france import vocabulary
from fhir_server.france.aliases import spelling
from fhir_server.france.identifiers import IDNPS_SYSTEM, KINDS
from fhir_server.france.regulators import ACCOUNT_SYSTEM
from fhir_server.france.sas import profiles
from fhir_server.france.sas.base import Version
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue, IssueType
from fhir_server.scheduling.slots import time_of

Json: TypeAlias = dict[str, Any]

STATES: Final = ("booked", "fulfilled", "noshow", "cancelled")
"""The life cycle: booked, then one of the others for good."""

ACCEPTED: Final[Mapping[Version, tuple[str, ...]]] = {
    Version.V1_1: ("accepted",),
    Version.V1_2: ("accepted", "needs-action"),
}
"""``participant.status`` by version; for SOS both, in either."""

_FORBIDDEN: Final[Mapping[str, str]] = {
    "slot": "the slot",
    "reasonCode": "the reason",
    "reasonReference": "the reason",
    "cancelationReason": "the reason",
    "basedOn": "the request",
    "supportingInformation": "medical information",
    "comment": "a comment",
    "description": "a description",
    "patientInstruction": "an instruction for the patient",
    "text": "a narrative",
    "contained": "contained resources",
    "modifierExtension": "extensions of one's own",
}
"""What an appointment may have in R4 and the platform does not want to know."""


def is_sos(appointment: Resource) -> bool:
    """Tell whether an Appointment claims to be one of SOS Médecins."""
    return any(
        isinstance(one, str) and one.partition("|")[0] == profiles.SOS_APPOINTMENT
        for one in appointment.get("meta", {}).get("profile", ())
    )


def is_operator(participant: Json) -> bool:
    """Tell whether a participant is who booked, as FR Core has it since 2.3."""
    codings = [coding for kind in participant.get("type", ()) for coding in kind.get("coding", ())]
    return any((coding.get("system"), coding.get("code")) == profiles.OPERATOR_ROLE for coding in codings)


def operators(appointment: Resource) -> list[tuple[str, Json]]:
    """Return the references to who booked, in whichever way each is written, with their paths."""
    found = [
        (f"Appointment.extension[{place}].value", one.get("valueReference", {}))
        for place, one in enumerate(appointment.get("extension", ()))
        if one.get("url") in profiles.OPERATORS
    ]
    found += [
        (f"Appointment.participant[{place}].actor", one.get("actor", {}))
        for place, one in enumerate(appointment.get("participant", ()))
        if is_operator(one)
    ]
    return found


def check(appointment: Resource, version: Version) -> Iterator[Issue]:
    """Yield what is missing, contradicts itself or must not be there; the Appointment is valid R4."""
    yield from _minimal(appointment)
    yield from _identifier(appointment.get("identifier", ()))
    yield from _state_and_time(appointment)
    yield from _extensions(appointment)
    yield from _operator(appointment)
    yield from _participants(appointment, version)


def _minimal(appointment: Resource) -> Iterator[Issue]:
    for name, what in _FORBIDDEN.items():
        if name in appointment or f"_{name}" in appointment:
            yield _too_much(name, f"the platform is not told {what} of an appointment; leave {name} out")


def _identifier(identifiers: Sequence[Json]) -> Iterator[Issue]:
    if len(identifiers) != 1:
        yield _field("identifier", f"an appointment has one identifier, the editor's; received are {len(identifiers)}")
    for place, one in enumerate(identifiers):
        for part in ("system", "value"):
            if part not in one:
                yield _field(f"identifier[{place}].{part}", f"the identifier of an appointment has a {part}")


def _state_and_time(appointment: Resource) -> Iterator[Issue]:
    status = appointment.get("status")
    if status not in STATES:
        yield _field("status", f"the platform knows the states {', '.join(STATES)}; received is {status}")
    for name in ("start", "end"):
        if name not in appointment:
            yield _field(name, f"an appointment has its {name}")
    start, end = time_of(appointment.get("start")), time_of(appointment.get("end"))
    if start is not None and end is not None and end <= start:
        yield _field("end", "an appointment ends after its start")


def _extensions(appointment: Resource) -> Iterator[Issue]:
    allowed = profiles.OPERATORS if is_sos(appointment) else {*profiles.OPERATORS, profiles.ORIENTATION}
    for place, one in enumerate(appointment.get("extension", ())):
        path = f"extension[{place}]"
        if one.get("url") not in allowed or "extension" in one:
            named = "the operator" if is_sos(appointment) else "the operator and the orientation"
            yield _too_much(path, f"the platform is told no extension but {named}")
        elif one["url"] == profiles.ORIENTATION and not _is_orientation(one):
            expected = ", ".join(sorted(profiles.ORIENTATIONS))
            yield _field(path, f"the orientation is a valueCodeableConcept with one code of {expected}")


def _is_orientation(extension: Json) -> bool:
    codings = extension.get("valueCodeableConcept", {}).get("coding", ())
    return len(codings) == 1 and codings[0].get("code") in profiles.ORIENTATIONS


def _operator(appointment: Resource) -> Iterator[Issue]:
    found = operators(appointment)
    if len(found) != 1:
        told = f"an appointment names who booked it, once, by the extension {profiles.OPERATOR}"
        yield _field("extension", f"{told}; received are {len(found)}")
    for path, reference in found:
        if "reference" in reference:
            yield _too_much(path, "the operator is named by an identifier, not by a reference")
        codes = ("IDNPS", "INTRN")
        yield from _identified(reference.get("identifier", {}), f"{path}.identifier", codes, "an operator")


def _participants(appointment: Resource, version: Version) -> Iterator[Issue]:
    sos = is_sos(appointment)
    accepted = ACCEPTED[Version.V1_2 if sos else version]
    everyone = appointment.get("participant", ())
    named = [(place, one) for place, one in enumerate(everyone) if not is_operator(one)]
    if not named:
        yield _field("participant", "an appointment names who receives the patient")
    for place, one in named:
        path = f"Appointment.participant[{place}]"
        if one.get("status") not in accepted:
            told = f"the status of a participant is {' or '.join(accepted)}; received is {one.get('status')}"
            yield _field(f"participant[{place}].status", told)
        actor = one.get("actor", {})
        if "reference" in actor or "extension" in one or actor.get("type") in {"Patient", "RelatedPerson"}:
            told = "a participant is who receives the patient, named by a national identifier, not by a reference"
            yield _too_much(f"participant[{place}].actor", told)
        elif not sos:
            yield from _identified(actor.get("identifier", {}), f"{path}.actor.identifier", ("IDNPS",), "a participant")
        elif not {"system", "value"} <= actor.get("identifier", {}).keys():
            yield _field(f"participant[{place}].actor.identifier", "a participant has an identifier, system and value")


_SYSTEMS: Final = {"IDNPS": IDNPS_SYSTEM, "INTRN": ACCOUNT_SYSTEM}


def _identified(identifier: Json, path: str, codes: tuple[str, ...], who: str) -> Iterator[Issue]:
    """Yield what an identifier has wrong of a type, the system that goes with it, and a value."""
    place = path.removeprefix("Appointment.")
    types = identifier.get("type", {}).get("coding", ())
    code = types[0].get("code") if len(types) == 1 else None
    if code not in codes or spelling()(types[0].get("system", "")) != vocabulary.IDENTIFIER_TYPES:
        told = f"the identifier of {who} has one type, {' or '.join(codes)} of {vocabulary.IDENTIFIER_TYPES_OLD}"
        yield _field(f"{place}.type", told)
        return
    if spelling()(identifier.get("system", "")) != _SYSTEMS[code]:
        yield _field(f"{place}.system", f"the system of the type {code} is {_SYSTEMS[code]}")
    elif "value" not in identifier:
        yield _field(f"{place}.value", f"the identifier of {who} has a value")
    elif code == "IDNPS" and not KINDS["IDNPS"].matches(identifier["value"]):
        yield _field(f"{place}.value", f"this is no IDNPS; expected is {KINDS['IDNPS'].words}")


def _field(element: str, told: str) -> Issue:
    return Issue(IssueType.BUSINESS_RULE, told, (f"Appointment.{element}",), id="sas-appointment-field")


def _too_much(element: str, told: str) -> Issue:
    path = element if element.startswith("Appointment.") else f"Appointment.{element}"
    return Issue(IssueType.BUSINESS_RULE, told, (path,), id="sas-appointment-minimal")
