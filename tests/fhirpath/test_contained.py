"""Rules over contained resources stay quick when there are many of them."""

from __future__ import annotations

from typing import Any

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Environment, Item, compile_path

STRUCTURES = Structures.load()
DOM_3 = {each.key: each for each in STRUCTURES.invariants("DomainResource")}["dom-3"]


def test_many_contained_resources_are_looked_up_in_one_set() -> None:
    numbers = range(300)
    value: dict[str, Any] = {
        "resourceType": "Patient",
        "contained": [{"resourceType": "Organization", "id": f"o{number}", "name": "A"} for number in numbers],
        "generalPractitioner": [{"reference": f"#o{number}"} for number in numbers],
    }
    patient = Item(value, "Patient")
    environment = Environment(patient, patient)
    path = compile_path(DOM_3.expression, "Patient", STRUCTURES)
    assert path.holds(patient, environment)
    remembered = [key for key in environment.memo if isinstance(key, tuple)]
    assert len(remembered) == 1, "the references of the resource are collected once"
    value["contained"].append({"resourceType": "Organization", "id": "lost", "name": "A"})
    assert not path.holds(patient, Environment(patient, patient))
