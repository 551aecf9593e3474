"""Rules over contained resources stay quick when there are many of them."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Environment, Item, compile_path
from fhir_server.fhirpath.navigation import Navigator

STRUCTURES = Structures.load()
DOM_3 = {each.key: each for each in STRUCTURES.invariants("DomainResource")}["dom-3"]


def test_a_resource_is_walked_through_once_for_all_that_it_contains(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = 0
    children = Navigator.children

    def counted(self: Navigator, item: Item, found: list[Item]) -> None:
        nonlocal walks
        walks += 1
        children(self, item, found)

    monkeypatch.setattr(Navigator, "children", counted)
    numbers = range(300)
    value: dict[str, Any] = {
        "resourceType": "Patient",
        "contained": [{"resourceType": "Organization", "id": f"o{number}", "name": "A"} for number in numbers],
        "generalPractitioner": [{"reference": f"#o{number}"} for number in numbers],
    }
    patient = Item(value, "Patient")
    path = compile_path(DOM_3.expression, "Patient", STRUCTURES)
    assert path.holds(patient, Environment(patient, patient))
    assert walks < 10_000
    value["contained"].append({"resourceType": "Organization", "id": "lost", "name": "A"})
    assert not path.holds(patient, Environment(patient, patient))
