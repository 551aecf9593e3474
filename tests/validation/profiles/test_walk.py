"""What stands in a resource: extensions against their definitions, other resources against the profiles they claim."""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.profiles.defining import BASE, COLOURS, VALIDATOR, Library, Told, profile

AT_SLOT = [{"type": "element", "expression": "Slot"}]


def extension(*contexts: tuple[str, str], **more: Any) -> dict[str, Any]:
    listed = [{"type": type_, "expression": expression} for type_, expression in contexts]
    return profile(
        "colour",
        "Extension",
        {"path": "url", "fixedUri": BASE + "colour"},
        {"path": "value[x]", "min": 1, "type": [{"code": "code"}]},
        context=listed,
        **more,
    )


RED = {"url": BASE + "colour", "valueCode": "red"}
WRONG = {"url": BASE + "colour", "valueString": "red"}


def said(resource: dict[str, Any], *definitions: dict[str, Any]) -> Told:
    found = VALIDATOR.validate(resource, Library(*definitions), COLOURS)
    return [(issue.id, issue.expression[0]) for issue in found]


def slot(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Slot", "status": "free", **more}


PLACES: list[tuple[str, dict[str, Any], str]] = [
    ("Slot", slot(extension=[RED]), "Slot.extension[0]"),
    ("DomainResource", slot(extension=[RED]), "Slot.extension[0]"),
    ("Slot.comment", slot(_comment={"extension": [RED]}), "Slot.comment.extension[0]"),
    ("string", slot(_comment={"extension": [RED]}), "Slot.comment.extension[0]"),
    ("Slot.serviceType", slot(serviceType=[{"extension": [RED]}]), "Slot.serviceType[0].extension[0]"),
    ("CodeableConcept", slot(serviceType=[{"extension": [RED]}]), "Slot.serviceType[0].extension[0]"),
    ("Element", slot(serviceType=[{"extension": [RED]}]), "Slot.serviceType[0].extension[0]"),
    (
        "CodeableConcept.coding",
        slot(serviceType=[{"coding": [{"extension": [RED]}]}]),
        "Slot.serviceType[0].coding[0].extension[0]",
    ),
    (
        "Slot.serviceType.coding",
        slot(serviceType=[{"coding": [{"extension": [RED]}]}]),
        "Slot.serviceType[0].coding[0].extension[0]",
    ),
    (
        "Appointment.participant",
        {"resourceType": "Appointment", "participant": [{"extension": [RED]}]},
        "Appointment.participant[0].extension[0]",
    ),
    (
        "Observation.value[x]",
        {"resourceType": "Observation", "valueQuantity": {"extension": [RED]}},
        "Observation.value.ofType(Quantity).extension[0]",
    ),
]


@pytest.mark.parametrize(("expression", "resource", "path"), PLACES)
def test_extension_stands_where_its_definition_says(expression: str, resource: dict[str, Any], path: str) -> None:
    assert said(resource, extension(("element", expression))) == []
    assert said(resource, extension(("element", "Patient"), ("element", "HumanName"))) == [("extension-context", path)]


def test_extension_is_checked_against_its_definition_wherever_it_stands() -> None:
    definition = extension(("element", "Element"), ("element", "Slot"))
    assert said(slot(extension=[WRONG]), definition) == [("profile-type", "Slot.extension[0].value.ofType(string)")]
    assert said(slot(identifier=[{"use": "usual", "_value": {"extension": [WRONG]}}]), definition) == [
        ("profile-type", "Slot.identifier[0].value.extension[0].value.ofType(string)")
    ]
    assert said(slot(extension=[{"url": BASE + "colour"}]), definition) == [("profile-min", "Slot.extension[0].value")]


def test_extension_of_an_extension_and_of_what_an_expression_finds() -> None:
    inside = slot(extension=[{"url": "urn:outer", "extension": [RED]}])
    assert said(inside, extension(("extension", "urn:outer"))) == []
    assert said(inside, extension(("extension", "urn:inner"))) == [
        ("extension-context", "Slot.extension[0].extension[0]")
    ]
    timed = slot(identifier=[{"use": "official"}, {"extension": [RED]}])
    assert said(timed, extension(("fhirpath", "Slot.identifier.where(use.empty())"))) == []
    assert said(timed, extension(("fhirpath", "Slot.identifier.where(use.exists())"))) == [
        ("extension-context", "Slot.identifier[1].extension[0]")
    ]
    assert said(timed, extension(("fhirpath", "nonsense()"))) == [("invariant-not-checked", "Slot")]


RULES = [
    ("status = 'free'", slot(extension=[RED], status="free"), []),
    ("status = 'free'", slot(extension=[RED], status="busy"), [("extension-context", "Slot.extension[0]")]),
    ("use.exists()", slot(identifier=[{"use": "old", "extension": [RED]}]), []),
    (
        "use.exists()",
        slot(identifier=[{"value": "1", "extension": [RED]}]),
        [("extension-context", "Slot.identifier[0].extension[0]")],
    ),
    ("nonsense()", slot(extension=[RED]), [("invariant-not-checked", "Slot")]),
    ("length() > 2", slot(_comment={"extension": [RED]}), [("invariant-not-checked", "Slot")]),
]


@pytest.mark.parametrize(("rule", "resource", "wanted"), RULES)
def test_rules_of_an_extension_hold_on_the_element_that_it_stands_on(
    rule: str, resource: dict[str, Any], wanted: Any
) -> None:
    assert said(resource, extension(("element", "Element"), ("element", "Slot"), contextInvariant=[rule])) == wanted


def test_unknown_extension_is_accepted_and_unknown_modifier_told_once() -> None:
    unknown = {"url": "urn:x:unknown", "valueCode": "red"}
    assert said(slot(extension=[unknown])) == []
    assert said(slot(modifierExtension=[unknown, unknown])) == [("extension-not-checked", "Slot")]


def test_modifier_extension_stands_where_modifiers_do() -> None:
    modifier = profile("colour", "Extension", {"path": "", "isModifier": True}, context=AT_SLOT)
    assert said(slot(modifierExtension=[RED]), modifier) == []
    assert said(slot(extension=[RED]), modifier) == [("extension-context", "Slot.extension[0]")]
    assert said(slot(modifierExtension=[RED]), extension(("element", "Slot"))) == [
        ("extension-context", "Slot.modifierExtension[0]")
    ]


BUSY = {"meta": {"profile": [BASE + "free"]}, "resourceType": "Slot", "status": "busy"}
FREE = profile("free", "Slot", {"path": "status", "patternCode": "free"})


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (BUSY, "Slot.status"),
        ({"resourceType": "Schedule", "contained": [BUSY]}, "Schedule.contained[0].status"),
        ({"resourceType": "Bundle", "entry": [{}, {"resource": BUSY}]}, "Bundle.entry[1].resource.status"),
        (
            {"resourceType": "Parameters", "parameter": [{"part": [{"resource": BUSY}]}]},
            "Parameters.parameter[0].part[0].resource.status",
        ),
    ],
)
def test_profiles_that_resources_claim_are_checked_wherever_they_stand(resource: dict[str, Any], path: str) -> None:
    assert said(resource, FREE) == [("profile-pattern", path)]
    assert VALIDATOR.validate(resource, Library(FREE), COLOURS, claimed=False) == []


def test_invariant_sees_the_resource_that_contains() -> None:
    rule = {
        "key": "own-1",
        "severity": "error",
        "expression": "%rootResource.status = 'booked' and %resource.name = 'a'",
    }
    named = profile("named", "Location", {"path": "", "constraint": [rule]})
    location = {"resourceType": "Location", "id": "l", "name": "a", "meta": {"profile": [BASE + "named"]}}
    assert said({"resourceType": "Appointment", "status": "booked", "contained": [location]}, named) == []
    assert said({"resourceType": "Appointment", "status": "noshow", "contained": [location]}, named) == [
        ("invariant-own-1", "Appointment.contained[0]")
    ]
