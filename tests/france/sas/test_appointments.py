"""What the platform demands of an appointment, by version and profile: each missing or inconsistent field by itself."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.france import vocabulary
from fhir_server.france.sas import profiles
from fhir_server.france.sas.appointments import check
from fhir_server.france.sas.base import Version
from tests.france.sas.telling import (
    ACCOUNTS,
    CENTRE,
    IDNPS,
    SOS,
    Json,
    identifier,
    operator,
    orientation,
    participant,
    told,
)

BOTH = tuple(Version)
NEW = (Version.V1_2,)
INTRN: Json = {"identifier": identifier("1ef1c748-01a3-6180-b098-73283ce4e5b1", "INTRN", ACCOUNTS)}
ENT = {"type": [{"coding": [{"system": profiles.OPERATOR_ROLE[0], "code": "ENT"}]}], **participant(**INTRN)}
NEW_CODING: Json = {"system": vocabulary.IDENTIFIER_TYPES, "code": "IDNPS"}
NEW_TYPE: Json = {"identifier": {**identifier(), "type": {"coding": [NEW_CODING]}}}

GOOD = [
    (told(), BOTH),
    (told(created="2026-01-05T10:00:00+01:00"), BOTH),
    (told("cancelled"), BOTH),
    (told(meta=None), BOTH),
    (told(extension=[operator(**INTRN)]), BOTH),
    (told(extension=[operator(sorted(profiles.OPERATORS)[1])]), BOTH),
    (told(extension=None, participant=[participant(), ENT]), BOTH),
    (told(extension=[operator(), orientation("604")]), BOTH),
    (told(participant=[participant("needs-action")]), NEW),
    (told(participant=[participant(**NEW_TYPE)]), BOTH),
    (told(meta=SOS, participant=[CENTRE]), BOTH),
    (told(meta=SOS, participant=[{**CENTRE, "status": "needs-action"}]), BOTH),
]


@pytest.mark.parametrize(("appointment", "versions"), GOOD)
def test_what_the_profiles_ask_for_is_enough(appointment: Json, versions: tuple[Version, ...]) -> None:
    for version in versions:
        assert list(check(appointment, version)) == []


def without(one: Json, *path: str) -> Json:
    """Return an object without the element at the end of a path."""
    name, *rest = path
    return {k: v for k, v in one.items() if k != name} if not rest else {**one, name: without(one[name], *rest)}


def on_actor(**changes: Any) -> Json:
    return told(participant=[participant(identifier={**identifier(), **changes})])


def on_operator(**changes: Any) -> Json:
    return told(extension=[operator(identifier={**identifier(), **changes})])


TYPE = {"coding": [{"system": vocabulary.IDENTIFIER_TYPES_OLD, "code": "RPPS"}]}
FIELDS = [
    (told(identifier=None), "identifier"),
    (told(identifier=[{"system": "urn:x", "value": "1"}] * 2), "identifier"),
    (told(identifier=[{"value": "1"}]), "identifier[0].system"),
    (told(identifier=[{"system": "urn:x"}]), "identifier[0].value"),
    (told("pending"), "status"),
    (told("entered-in-error"), "status"),
    (told("cancelled", start=None), "start"),
    (told("cancelled", end=None), "end"),
    (told(end="2026-01-06T14:00:00+01:00"), "end"),
    (told(extension=None), "extension"),
    (told(extension=[operator(), operator()]), "extension"),
    (told(participant=[participant(), ENT]), "extension"),
    (told(extension=[operator(), orientation("999")]), "extension[1]"),
    (told(extension=[operator(display="x")]), "extension[0].value.identifier.type"),
    (on_operator(type=TYPE), "extension[0].value.identifier.type"),
    (on_operator(type={"coding": [*identifier()["type"]["coding"]] * 2}), "extension[0].value.identifier.type"),
    (on_operator(system=ACCOUNTS), "extension[0].value.identifier.system"),
    (on_operator(value="12"), "extension[0].value.identifier.value"),
    (told(extension=[operator(identifier=identifier(code="INTRN"))]), "extension[0].value.identifier.system"),
    (told(participant=[participant("tentative")]), "participant[0].status"),
    (told(participant=[participant(display="x")]), "participant[0].actor.identifier.type"),
    (on_actor(type=TYPE), "participant[0].actor.identifier.type"),
    (on_actor(system="urn:x"), "participant[0].actor.identifier.system"),
    (on_actor(value="99700990015"), "participant[0].actor.identifier.value"),
    (
        told(participant=[participant(identifier=without(identifier(), "value"))]),
        "participant[0].actor.identifier.value",
    ),
    (told(extension=None, participant=[ENT]), "participant"),
    (told(meta=SOS, participant=[participant(identifier={"value": "1"})]), "participant[0].actor.identifier"),
]


@pytest.mark.parametrize(("appointment", "path"), FIELDS, ids=lambda one: one if isinstance(one, str) else "")
def test_what_is_missing_or_inconsistent_is_told_alone(appointment: Json, path: str) -> None:
    for version in BOTH:
        (issue,) = check(appointment, version)
        assert (issue.id, issue.expression) == ("sas-appointment-field", (f"Appointment.{path}",))


def test_facts_9_row_19_status_of_a_participant_depends_on_the_version() -> None:
    (issue,) = check(told(participant=[participant("needs-action")]), Version.V1_1)
    assert issue.diagnostics == "the status of a participant is accepted; received is needs-action"


REASON = [{"text": "x"}]
PATIENT: Json = {"identifier": {"system": IDNPS, "value": "1"}, "type": "Patient"}
TOO_MUCH = [
    (told(slot=[{"reference": "Slot/1"}]), "slot"),
    (told(reasonCode=REASON), "reasonCode"),
    (told(reasonReference=[{"reference": "Condition/1"}]), "reasonReference"),
    (told("cancelled", cancelationReason=REASON[0]), "cancelationReason"),
    (told(comment="x"), "comment"),
    (told(_comment={"extension": []}), "comment"),
    (told(description="x"), "description"),
    (told(patientInstruction="x"), "patientInstruction"),
    (told(supportingInformation=[{"reference": "Patient/1"}]), "supportingInformation"),
    (told(text={"status": "generated", "div": "<div/>"}), "text"),
    (told(contained=[{"resourceType": "Patient"}]), "contained"),
    (told(extension=[operator(), {"url": "urn:x", "valueString": "x"}]), "extension[1]"),
    (told(extension=[{**operator(), "extension": [{"url": "urn:x"}]}]), "extension[0]"),
    (told(meta=SOS, extension=[operator(), orientation()]), "extension[1]"),
    (told(participant=[participant(reference="Patient/1")]), "participant[0].actor"),
    (told(participant=[participant(**PATIENT)]), "participant[0].actor"),
    (told(meta=SOS, participant=[participant(reference="Location/1")]), "participant[0].actor"),
    (told(extension=[operator(reference="Practitioner/1", identifier=identifier())]), "extension[0].value"),
]


@pytest.mark.parametrize(("appointment", "path"), TOO_MUCH, ids=lambda one: one if isinstance(one, str) else "")
def test_what_the_platform_must_not_know_is_refused(appointment: Json, path: str) -> None:
    for version in BOTH:
        (issue,) = check(appointment, version)
        assert (issue.id, issue.expression) == ("sas-appointment-minimal", (f"Appointment.{path}",))
