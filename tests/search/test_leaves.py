"""What expressions lead to, and the algebra of nodes."""

from __future__ import annotations

import pytest

from fhir_server.definitions.registry import Registry
from fhir_server.search.leaves import codes_of, is_instant, is_single, leaves
from fhir_server.search.logic import all_of, is_negative, one_of
from fhir_server.search.query import EVERYTHING, NOTHING, And, Not, Or, Present

ROWS = [
    ("Slot", "status", "code", True),
    ("Slot", "start", "instant", True),
    ("Slot", "schedule", "Reference", True),
    ("Slot", "service-type", "CodeableConcept", False),
    ("Practitioner", "family", "string", False),
    ("Practitioner", "active", "boolean", True),
    ("Practitioner", "phone", "ContactPoint", False),
    ("Patient", "deceased", "boolean", True),
    ("Patient", "death-date", "dateTime", True),
    ("Patient", "patient", "", False),
    ("Organization", "name", "string", False),
    ("Appointment", "patient", "Reference", False),
    ("Location", "near", "Location.position", True),
    ("Group", "value", "CodeableConcept boolean", False),
    ("Slot", "_tag", "Coding", False),
    ("Slot", "_source", "uri", True),
    ("ServiceRequest", "occurrence", "Period Timing dateTime", True),
    ("RiskAssessment", "probability", "Range decimal", False),
]


@pytest.mark.parametrize(("type_", "code", "types", "single"), ROWS)
def test_types_of_values(registry: Registry, type_: str, code: str, types: str, single: bool) -> None:
    parameter = registry.parameters(type_).get(code)
    found = leaves(parameter, type_, registry.structures) if parameter else ()
    assert sorted({leaf.type for leaf in found}) == types.split()
    assert is_single(found) is single
    assert is_instant(found) is (types == "instant")


def test_every_expression_of_the_served_types_can_be_told(registry: Registry) -> None:
    for type_ in registry.types:
        for parameter in registry.parameters(type_).values():
            assert leaves(parameter, type_, registry.structures), f"{type_}?{parameter.code}"


def test_codes_are_known_where_all_values_are_bound_codes(registry: Registry) -> None:
    structures = registry.structures
    status = leaves(registry.parameters("Slot")["status"], "Slot", structures)
    assert (codes_of(status, structures) or {})["free"] == {"http://hl7.org/fhir/slotstatus"}
    for type_, code in (("Slot", "service-type"), ("Practitioner", "active"), ("CapabilityStatement", "format")):
        assert codes_of(leaves(registry.parameters(type_)[code], type_, structures), structures) is None


def test_what_is_always_or_never_true_is_taken_out() -> None:
    a, b, c = Present("a"), Present("b"), Present("c")
    assert all_of(()) == EVERYTHING
    assert one_of(()) == NOTHING
    assert all_of((a, EVERYTHING, a)) == a
    assert all_of((a, NOTHING)) == NOTHING
    assert one_of((a, NOTHING, a)) == a
    assert one_of((a, EVERYTHING)) == EVERYTHING
    assert all_of((And((a, b)), c)) == And((a, b, c))
    assert one_of((Or((a, b)), c)) == Or((a, b, c))


def test_negative_is_what_holds_of_nothing_at_all() -> None:
    a = Present("a")
    assert is_negative(Not(a))
    assert is_negative(EVERYTHING)
    assert is_negative(And((Not(a), Not(Not(Not(a))))))
    assert is_negative(Or((a, Not(a))))
    assert not is_negative(NOTHING)
    assert not is_negative(And((a, Not(a))))
    assert not is_negative(Not(Not(a)))
