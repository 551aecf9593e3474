"""Elements of profiles: cardinality, types, values, bindings, invariants, content references."""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.profiles.defining import BASE, Told, issues, profile, sparse, told

SLOT: dict[str, Any] = {
    "resourceType": "Slot",
    "identifier": [{"system": "urn:a", "value": "1"}],
    "serviceType": [{"coding": [{"system": "urn:s", "code": "red"}], "text": "a"}],
    "schedule": {"reference": "Schedule/1"},
    "status": "free",
    "start": "2024-06-12T16:40:00Z",
    "end": "2024-06-12T17:00:00Z",
    "comment": "abcde",
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "a"},
    "valueQuantity": {"value": 5, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
}
QUESTIONS: dict[str, Any] = {
    "resourceType": "Questionnaire",
    "status": "draft",
    "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "group", "text": "b"}]}],
}


def key(expression: str, severity: str = "error") -> dict[str, Any]:
    return {"key": "own-1", "severity": severity, "human": "a", "expression": expression}


CASES: list[tuple[str, dict[str, Any], list[dict[str, Any]], Told]] = [
    ("mandatory, there", SLOT, [{"path": "comment", "min": 1}], []),
    ("mandatory, missing", SLOT, [{"path": "specialty", "min": 1}], [("profile-min", "Slot.specialty")]),
    ("mandatory below what is missing", SLOT, [{"path": "appointmentType.text", "min": 1}], []),
    ("mandatory below", SLOT, [{"path": "schedule.display", "min": 1}], [("profile-min", "Slot.schedule.display")]),
    (
        "mandatory in an array",
        SLOT,
        [{"path": "identifier", "max": "1"}, {"path": "identifier.use", "min": 1}],
        [("profile-min", "Slot.identifier[0].use")],
    ),
    ("forbidden, missing", SLOT, [{"path": "specialty", "max": "0"}], []),
    ("forbidden, there", SLOT, [{"path": "comment", "max": "0"}], [("profile-max", "Slot.comment")]),
    ("at most two", SLOT, [{"path": "identifier", "max": "2"}], []),
    (
        "value that is an extension alone is there",
        {**SLOT, "comment": None, "_comment": {"extension": [{"url": "urn:e", "valueString": "a"}]}},
        [{"path": "comment", "min": 1}],
        [],
    ),
    ("type of a choice", OBSERVATION, [{"path": "value[x]", "type": [{"code": "Quantity"}]}], []),
    (
        "type of a choice, another",
        OBSERVATION,
        [{"path": "value[x]", "type": [{"code": "string"}, {"code": "boolean"}]}],
        [("profile-type", "Observation.value.ofType(Quantity)")],
    ),
    (
        "short for the type of a choice",
        OBSERVATION,
        [{"path": "valueQuantity", "min": 1}, {"path": "valueQuantity.comparator", "min": 1}],
        [("profile-min", "Observation.value.ofType(Quantity).comparator")],
    ),
    ("fixed", SLOT, [{"path": "status", "fixedCode": "free"}], []),
    ("fixed, another", SLOT, [{"path": "status", "fixedCode": "busy"}], [("profile-fixed", "Slot.status")]),
    (
        "fixed, more than that",
        SLOT,
        [{"path": "serviceType", "fixedCodeableConcept": {"text": "a"}}],
        [("profile-fixed", "Slot.serviceType[0]")],
    ),
    ("pattern", SLOT, [{"path": "serviceType", "patternCodeableConcept": {"coding": [{"code": "red"}]}}], []),
    (
        "pattern, another",
        SLOT,
        [{"path": "serviceType", "patternCodeableConcept": {"coding": [{"code": "red", "system": "urn:t"}]}}],
        [("profile-pattern", "Slot.serviceType[0]")],
    ),
    ("length", SLOT, [{"path": "comment", "maxLength": 5}], []),
    ("length, passed", SLOT, [{"path": "comment", "maxLength": 4}], [("profile-length", "Slot.comment")]),
    ("minimum", SLOT, [{"path": "start", "minValueInstant": "2024-06-12T18:40:00+02:00"}], []),
    (
        "minimum, below",
        SLOT,
        [{"path": "start", "minValueInstant": "2025-01-01T00:00:00Z"}],
        [("profile-bound", "Slot.start")],
    ),
    (
        "maximum of a quantity",
        OBSERVATION,
        [{"path": "value[x]", "maxValueQuantity": {"value": 5, "system": "http://unitsofmeasure.org", "code": "kg"}}],
        [],
    ),
    (
        "maximum of a quantity, above",
        OBSERVATION,
        [{"path": "value[x]", "maxValueQuantity": {"value": 4.5, "system": "http://unitsofmeasure.org", "code": "kg"}}],
        [("profile-bound", "Observation.value.ofType(Quantity)")],
    ),
    (
        "R4's own profile of Quantity",
        {**OBSERVATION, "valueQuantity": {"value": 5, "comparator": "<"}},
        [
            {
                "path": "value[x]",
                "type": [
                    {"code": "Quantity", "profile": ["http://hl7.org/fhir/StructureDefinition/SimpleQuantity|4.0.1"]}
                ],
            }
        ],
        [("profile-max", "Observation.value.ofType(Quantity).comparator")],
    ),
    ("bound", SLOT, [{"path": "serviceType", "binding": {"strength": "required", "valueSet": BASE + "colours"}}], []),
    (
        "bound, another",
        {**SLOT, "serviceType": [{"coding": [{"system": "urn:s", "code": "blue"}]}, {"text": "a"}]},
        [{"path": "serviceType", "binding": {"strength": "required", "valueSet": BASE + "colours|1.0"}}],
        [("profile-code", "Slot.serviceType[0]"), ("profile-code", "Slot.serviceType[1]")],
    ),
    (
        "bound as advice",
        SLOT,
        [{"path": "status", "binding": {"strength": "preferred", "valueSet": BASE + "colours"}}],
        [],
    ),
    (
        "bound to what is not loaded, told once",
        {**SLOT, "serviceType": [{"coding": [{"code": "a"}]}, {"coding": [{"code": "b"}]}]},
        [{"path": "serviceType", "binding": {"strength": "required", "valueSet": "urn:vs"}}],
        [("value-set-not-checked", "Slot")],
    ),
    (
        "bound again to what R4 binds",
        SLOT,
        [
            {
                "path": "status",
                "binding": {"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/slotstatus|4.0.1"},
            }
        ],
        [],
    ),
    ("invariant", SLOT, [{"path": "", "constraint": [key("start <= end")]}], []),
    ("invariant, broken", SLOT, [{"path": "", "constraint": [key("comment.empty()")]}], [("invariant-own-1", "Slot")]),
    (
        "invariant of an element",
        SLOT,
        [{"path": "identifier", "constraint": [key("type.exists() and %resource.status = 'free'")]}],
        [("invariant-own-1", "Slot.identifier[0]")],
    ),
    (
        "invariant that cannot be run",
        SLOT,
        [{"path": "", "constraint": [key("comment.nonsense()")]}],
        [("invariant-not-checked", "Slot")],
    ),
    (
        "invariant about a value set",
        SLOT,
        [{"path": "", "constraint": [key(f"serviceType.memberOf('{BASE}colours')")]}],
        [],
    ),
    (
        "invariant about a value set, broken",
        SLOT,
        [{"path": "", "constraint": [key(f"status.memberOf('{BASE}colours')")]}],
        [("invariant-own-1", "Slot")],
    ),
    (
        "invariant about a profile of R4",
        SLOT,
        [{"path": "identifier", "constraint": [key("conformsTo('http://hl7.org/fhir/StructureDefinition/Coding')")]}],
        [("invariant-own-1", "Slot.identifier[0]")],
    ),
    (
        "invariant about what is not loaded",
        SLOT,
        [{"path": "", "constraint": [key("status.memberOf('urn:vs') and conformsTo('urn:p')")]}],
        [("value-set-not-checked", "Slot"), ("invariant-not-checked", "Slot")],
    ),
    (
        "invariant that R4 has already",
        SLOT,
        [{"path": "", "constraint": [{"key": "dom-6", "severity": "error", "human": "a", "expression": "false"}]}],
        [],
    ),
    (
        "content reference",
        QUESTIONS,
        [
            {"path": "item"},
            {"path": "item.text", "min": 1},
            {"path": "item.item", "contentReference": "#Questionnaire.item"},
        ],
        [("profile-min", "Questionnaire.item[0].text")],
    ),
    (
        "content reference, below",
        {**QUESTIONS, "item": [{"text": "a", "item": [{"text": "b", "item": [{"linkId": "3"}]}]}]},
        [
            {"path": "item"},
            {"path": "item.text", "min": 1},
            {"path": "item.item", "contentReference": "#Questionnaire.item"},
        ],
        [("profile-min", "Questionnaire.item[0].item[0].item[0].text")],
    ),
    ("element that R4 does not have", SLOT, [{"path": "colour", "min": 1}], [("element-not-checked", "Slot")]),
    ("profile of another type", {**OBSERVATION}, [], [("profile-type", "Observation")]),
]


@pytest.mark.parametrize(
    ("resource", "elements", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_element(resource: dict[str, Any], elements: list[dict[str, Any]], expected: Told) -> None:
    type_ = resource["resourceType"] if elements else "Slot"
    assert told(resource, profile("own", type_, *elements)) == expected
    assert told(resource, sparse("own", type_, *elements)) == expected


def test_extensible_binding_and_invariant_of_severity_warning_only_warn() -> None:
    binding = {"strength": "extensible", "valueSet": BASE + "colours"}
    own = profile(
        "own",
        "Slot",
        {"path": "", "constraint": [key("false", "warning")]},
        {"path": "serviceType", "binding": binding},
    )
    found = issues({**SLOT, "serviceType": [{"coding": [{"code": "blue"}]}]}, own)
    assert [(one.id, one.severity) for one in found] == [("invariant-own-1", "warning"), ("profile-code", "warning")]


def test_profile_that_is_not_loaded_is_one_warning() -> None:
    types = [{"code": "Identifier", "profile": [BASE + "missing"]}]
    own = profile("own", "Slot", {"path": "identifier", "type": types})
    slot = {**SLOT, "identifier": [{"value": "1"}, {"value": "2"}], "meta": {"profile": [BASE + "missing"]}}
    assert told(slot, own) == [("profile-not-checked", "Slot")]
    assert told(SLOT, own, against=BASE + "other") == [("profile-not-checked", "Slot")]


def test_value_conforms_to_one_of_the_profiles_of_its_type() -> None:
    one = profile("one", "Identifier", {"path": "system", "fixedUri": "urn:one"})
    two = profile("two", "Identifier", {"path": "system", "fixedUri": "urn:two"})
    only = profile("own", "Slot", {"path": "identifier", "type": [{"code": "Identifier", "profile": [one["url"]]}]})
    both = profile(
        "own", "Slot", {"path": "identifier", "type": [{"code": "Identifier", "profile": [one["url"], two["url"]]}]}
    )
    slot = {**SLOT, "identifier": [{"system": "urn:two"}, {"system": "urn:three"}]}
    assert told(slot, only, one, two) == [
        ("profile-fixed", "Slot.identifier[0].system"),
        ("profile-fixed", "Slot.identifier[1].system"),
    ]
    assert told(slot, both, one, two) == [("profile-none", "Slot.identifier[1]")]
    assert told(slot, both, one) == [("profile-not-checked", "Slot")]


def test_profile_without_snapshot_adds_to_its_base() -> None:
    base = profile("base", "Slot", {"path": "comment", "maxLength": 3}, {"path": "identifier", "max": "1"})
    own = sparse("own", "Slot", {"path": "comment", "min": 1}, baseDefinition=base["url"])
    assert told({**SLOT, "identifier": [{}, {}]}, own, base) == [
        ("profile-length", "Slot.comment"),
        ("profile-max", "Slot.identifier"),
    ]
    assert told({**SLOT, "comment": None}, own) == [("profile-min", "Slot.comment"), ("profile-not-checked", "Slot")]


def test_issue_names_the_profile_and_what_was_expected() -> None:
    (found,) = issues({**SLOT, "status": "busy"}, profile("own", "Slot", {"path": "status", "patternCode": "free"}))
    assert found.diagnostics == (f"Slot.status: the value does not have the pattern: expected free (profile {BASE}own)")


def test_definition_that_is_replaced_is_compiled_again() -> None:
    assert told(SLOT, profile("own", "Slot", {"path": "comment", "max": "0"})) == [("profile-max", "Slot.comment")]
    assert told(SLOT, profile("own", "Slot", {"path": "comment", "min": 1})) == []
