"""Every search parameter of R4 compiles, and the less simple expressions find what they should."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.definitions.registry import Registry
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Environment, Item, compile_path

REGISTRY = Registry.load()
STRUCTURES: Structures = REGISTRY.structures


@pytest.mark.parametrize("type_", sorted(STRUCTURES.resource_types))
def test_parameters_compile(type_: str) -> None:
    for parameter in REGISTRY.parameters(type_).values():
        path = compile_path(parameter.expression, type_, STRUCTURES)
        assert path.types, f"{parameter.code}: what it gives is not known beforehand"
        for _, expression in parameter.components:
            for context in path.types:
                compile_path(expression, context, STRUCTURES)


SLOT: dict[str, Any] = {
    "resourceType": "Slot",
    "id": "s",
    "meta": {"lastUpdated": "2026-01-05T07:00:00Z", "profile": ["http://p"], "tag": [{"code": "demo"}], "source": "u"},
    "schedule": {"reference": "Schedule/1"},
    "serviceType": [{"coding": [{"code": "a"}]}, {"coding": [{"code": "b"}]}],
    "status": "free",
    "start": "2026-01-05T08:00:00Z",
    "end": "2026-01-05T08:15:00Z",
}
APPOINTMENT: dict[str, Any] = {
    "resourceType": "Appointment",
    "participant": [
        {"actor": {"reference": "Practitioner/1"}, "status": "accepted"},
        {"actor": {"reference": "Patient/2"}, "status": "tentative"},
        {"actor": {"reference": "urn:uuid:1", "type": "Location"}},
        {"actor": {"display": "A"}, "status": "declined"},
    ],
}
PRACTITIONER: dict[str, Any] = {
    "resourceType": "Practitioner",
    "telecom": [{"system": "email", "value": "a@b"}, {"system": "phone", "value": "1"}],
    "qualification": [{"code": {"text": "q"}, "identifier": [{"value": "x"}]}],
}
VALUE_SET: dict[str, Any] = {
    "resourceType": "ValueSet",
    "useContext": [
        {"code": {"code": "focus"}, "valueCodeableConcept": {"text": "a"}},
        {"code": {"code": "age"}, "valueQuantity": {"value": 3}},
        {"code": {"code": "age"}, "valueRange": {"low": {"value": 3}}},
    ],
    "expansion": {"identifier": "urn:a", "contains": [{"code": "a", "contains": [{"code": "b"}]}]},
    "compose": {"include": [{"concept": [{"code": "c"}]}]},
}
CONCEPT_MAP: dict[str, Any] = {"resourceType": "ConceptMap", "sourceUri": "http://u", "targetCanonical": "http://c"}
FOUND: list[tuple[dict[str, Any], str, list[Any]]] = [
    (SLOT, "_id", ["s"]),
    (SLOT, "_lastUpdated", ["2026-01-05T07:00:00Z"]),
    (SLOT, "_profile", ["http://p"]),
    (SLOT, "_tag", [{"code": "demo"}]),
    (SLOT, "_source", ["u"]),
    (SLOT, "_security", []),
    (SLOT, "schedule", [{"reference": "Schedule/1"}]),
    (SLOT, "service-type", SLOT["serviceType"]),
    (SLOT, "status", ["free"]),
    (SLOT, "start", ["2026-01-05T08:00:00Z"]),
    (SLOT, "end", ["2026-01-05T08:15:00Z"]),
    (SLOT, "appointment-type", []),
    (APPOINTMENT, "actor", [each["actor"] for each in APPOINTMENT["participant"]]),
    (APPOINTMENT, "practitioner", [{"reference": "Practitioner/1"}]),
    (APPOINTMENT, "patient", [{"reference": "Patient/2"}]),
    (APPOINTMENT, "location", [{"reference": "urn:uuid:1", "type": "Location"}]),
    (APPOINTMENT, "part-status", ["accepted", "tentative", "declined"]),
    (PRACTITIONER, "email", [{"system": "email", "value": "a@b"}]),
    (PRACTITIONER, "phone", [{"system": "phone", "value": "1"}]),
    (PRACTITIONER, "telecom", PRACTITIONER["telecom"]),
    (VALUE_SET, "context", [{"text": "a"}]),
    (VALUE_SET, "context-quantity", [{"value": 3}, {"low": {"value": 3}}]),
    (VALUE_SET, "context-type", [{"code": "focus"}, {"code": "age"}, {"code": "age"}]),
    (VALUE_SET, "code", ["a", "c"]),
    (CONCEPT_MAP, "source", []),
    (CONCEPT_MAP, "source-uri", ["http://u"]),
    (CONCEPT_MAP, "target", ["http://c"]),
    (CONCEPT_MAP, "target-uri", []),
    ({"resourceType": "Patient", "deceasedBoolean": False}, "deceased", [False]),
    ({"resourceType": "Patient", "deceasedDateTime": "2026"}, "deceased", [True]),
    ({"resourceType": "Patient"}, "deceased", [False]),
    (
        {"resourceType": "Group", "characteristic": [{"valueBoolean": True}, {"valueCodeableConcept": {"text": "a"}}]},
        "value",
        [{"text": "a"}, True],
    ),
]


@pytest.mark.parametrize(("resource", "code", "expected"), FOUND)
def test_parameter_finds(resource: dict[str, Any], code: str, expected: list[Any]) -> None:
    type_ = resource["resourceType"]
    path = compile_path(REGISTRY.parameters(type_)[code].expression, type_, STRUCTURES)
    item = Item(resource, type_)
    assert [found.value for found in path(item, Environment(item, item))] == expected


def test_items_carry_their_types_and_extras() -> None:
    beside = {"extension": [{"url": "http://e", "valueCode": "a"}]}
    resource = {"resourceType": "Slot", "status": "free", "_status": beside, "schedule": {"reference": "Schedule/1"}}
    item = Item(resource, "Slot")
    found = [
        compile_path(expression, "Slot", STRUCTURES)(item, Environment(item, item))
        for expression in ("status", "schedule", "status.extension.value")
    ]
    assert found == [
        [Item("free", "code", beside)],
        [Item({"reference": "Schedule/1"}, "Reference")],
        [Item("a", "code")],
    ]


def test_a_choice_with_extras_is_one_item() -> None:
    beside = {"id": "a"}
    item = Item({"url": "http://e", "valueCode": "a", "_valueCode": beside}, "Extension")
    path = compile_path("value", "Extension", STRUCTURES)
    assert path(item, Environment(item, item)) == [Item("a", "code", beside)]


@pytest.mark.parametrize(
    ("type_", "code", "types"),
    [
        ("Slot", "start", {"instant"}),
        ("Slot", "schedule", {"Reference"}),
        ("Slot", "service-type", {"CodeableConcept"}),
        ("Patient", "deceased", {"boolean"}),
        ("Patient", "_id", {"id"}),
        ("ValueSet", "context-quantity", {"Quantity", "Range"}),
        ("Location", "near", {"Location.position"}),
        ("Task", "period", {"Period"}),
    ],
)
def test_types_are_known_beforehand(type_: str, code: str, types: set[str]) -> None:
    assert compile_path(REGISTRY.parameters(type_)[code].expression, type_, STRUCTURES).types == frozenset(types)
