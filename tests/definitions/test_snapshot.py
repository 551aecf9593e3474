"""Snapshots: the elements of R4, under what a differential says; one that does not fit is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.definitions.canonical import HL7
from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.definitions.snapshot import ProfileError, snapshot
from fhir_server.definitions.structures import Structures
from fhir_server.validation.validator import Validator

Json = dict[str, Any]
R4 = Structures.load()
BY_SYSTEM = {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}


def made(type_: str, *elements: Json) -> dict[str, Json]:
    """Return the snapshot by element id; a path that is not given is that of the id."""
    given = [{"path": ".".join(part.split(":")[0] for part in one["id"].split(".")), **one} for one in elements]
    profile = {
        "type": type_,
        "baseDefinition": f"{HL7}StructureDefinition/{type_}",
        "differential": {"element": given},
    }
    return {element["id"]: element for element in snapshot(profile, R4)}


def test_without_a_differential_every_element_of_the_type_is_there_as_r4_has_it() -> None:
    found = made("Slot", {"id": "Slot"})
    assert list(found)[:3] == ["Slot", "Slot.id", "Slot.meta"]
    assert [id_ for id_ in found if id_.count(".") == 1] == [f"Slot.{name}" for name in R4.children("Slot")]
    schedule = found["Slot.schedule"]
    assert (schedule["min"], schedule["max"]) == (1, "1")
    assert schedule["type"] == [{"code": "Reference", "targetProfile": [f"{HL7}StructureDefinition/Schedule"]}]
    assert found["Slot.status"]["binding"] == {"strength": "required", "valueSet": f"{HL7}ValueSet/slotstatus"}
    assert found["Slot.extension"]["base"] == {"path": "DomainResource.extension", "min": 0, "max": "*"}
    assert "dom-2" in [one["key"] for one in found["Slot"]["constraint"]]


def test_backbone_elements_are_open_and_data_types_closed_until_a_differential_names_an_element_of_them() -> None:
    found = made("Appointment", {"id": "Appointment"})
    assert found["Appointment.participant.actor"]["max"] == "1"
    assert found["Appointment.participant.modifierExtension"]["base"]["path"] == "BackboneElement.modifierExtension"
    assert "Appointment.identifier.system" not in found
    opened = made("Appointment", {"id": "Appointment.identifier.system", "min": 1})
    assert (opened["Appointment.identifier.system"]["min"], opened["Appointment.identifier.value"]["min"]) == (1, 0)


def test_content_references_stay_and_are_not_opened() -> None:
    found = made("ValueSet", {"id": "ValueSet"})
    assert found["ValueSet.compose.exclude"]["contentReference"] == "#ValueSet.compose.include"
    assert "type" not in found["ValueSet.compose.exclude"]
    assert "ValueSet.compose.exclude.system" not in found


def test_slices_follow_their_element_in_the_order_of_the_differential() -> None:
    found = made(
        "Organization",
        {"id": "Organization.identifier", "slicing": BY_SYSTEM, "min": 1},
        {"id": "Organization.identifier:rpps", "sliceName": "rpps", "max": "1"},
        {"id": "Organization.identifier:rpps.system", "min": 1, "fixedUri": "https://rpps.example.org"},
        {"id": "Organization.identifier:adeli", "sliceName": "adeli"},
    )
    ids = [id_ for id_ in found if id_.startswith("Organization.identifier") and id_.count(".") == 1]
    assert ids == ["Organization.identifier", "Organization.identifier:rpps", "Organization.identifier:adeli"]
    slice_ = found["Organization.identifier:rpps"]
    assert (slice_["min"], slice_["max"], slice_["sliceName"], "slicing" in slice_) == (0, "1", "rpps", False)
    assert found["Organization.identifier:rpps.system"]["fixedUri"] == "https://rpps.example.org"
    assert found["Organization.identifier:rpps.system"]["base"]["path"] == "Identifier.system"
    assert list(found).index("Organization.identifier:rpps.system") < list(found).index("Organization.identifier:adeli")


def test_extensions_are_sliced_by_url_without_being_told() -> None:
    found = made("Slot", {"id": "Slot.extension:size", "sliceName": "size", "type": [{"code": "Extension"}]})
    assert found["Slot.extension"]["slicing"]["discriminator"] == [{"type": "value", "path": "url"}]


def test_a_choice_of_one_type_left_can_be_opened() -> None:
    found = made(
        "Extension",
        {"id": "Extension.value[x]", "type": [{"code": "Coding"}]},
        {"id": "Extension.value[x].system", "path": "Extension.value[x].system", "min": 1},
    )
    assert found["Extension.value[x].system"]["min"] == 1


def test_constraints_are_added_to_those_of_the_base() -> None:
    own = {"key": "own-1", "severity": "error", "human": "x", "expression": "start < end"}
    keys = [one["key"] for one in made("Slot", {"id": "Slot", "constraint": [own]})["Slot"]["constraint"]]
    assert keys[-1] == "own-1"
    assert "dom-2" in keys


REFUSED = [
    ({"id": "Schedule"}, "does not begin with Slot"),
    ({"id": "Slot.colour"}, "Slot has no element colour"),
    ({"id": "Slot.start.colour"}, "has no element colour"),
    ({"id": "Slot.status", "min": 0}, "min 0 is less than the base's, 1"),
    ({"id": "Slot.status", "max": "*"}, "max * is more than the base's, 1"),
    ({"id": "Slot.comment", "min": 2}, "min 2 is more than max 1"),
    ({"id": "Slot.comment", "path": "Slot.status"}, "has the path Slot.status; expected is Slot.comment"),
    ({"id": "Slot.comment", "type": [{"code": "markdown"}]}, "markdown is not a type of the base: string"),
    ({"id": "Slot.status", "binding": {"strength": "example"}}, "that is required cannot be example"),
    ({"id": "Slot.identifier:rpps", "sliceName": "rpps"}, "the slice rpps and no slicing"),
]


@pytest.mark.parametrize(("element", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_a_differential_that_does_not_fit_is_refused_by_name(element: Json, told: str) -> None:
    with pytest.raises(ProfileError) as refused:
        made("Slot", element)
    assert told in str(refused.value)


def test_a_choice_of_several_types_has_no_elements() -> None:
    with pytest.raises(ProfileError, match="no one type"):
        made("Extension", {"id": "Extension.value[x].system", "path": "Extension.value[x].system"})


def test_another_base_than_r4s_type_is_refused() -> None:
    profile = {"type": "Slot", "baseDefinition": "https://example.org/Slot", "differential": {"element": []}}
    with pytest.raises(ProfileError, match="has to be R4's Slot"):
        snapshot(profile, R4)


@pytest.mark.parametrize("type_", sorted(R4.resource_types))
def test_every_type_has_a_snapshot_with_distinct_ids_in_its_own_order(type_: str) -> None:
    found = made(type_, {"id": type_})
    assert next(iter(found)) == type_
    assert all(element["base"] and element["definition"] for element in found.values())
    parents = {id_.rpartition(".")[0] for id_ in found} - {""}
    assert parents <= set(found)


def test_a_snapshot_is_valid_r4() -> None:
    profile = {
        "resourceType": "StructureDefinition",
        "url": "https://example.org/x",
        "name": "X",
        "status": "draft",
        "kind": "resource",
        "abstract": False,
        "type": "ValueSet",
        "baseDefinition": f"{HL7}StructureDefinition/ValueSet",
        "derivation": "constraint",
        "differential": {"element": [{"id": "ValueSet", "path": "ValueSet"}]},
    }
    whole = {**profile, "snapshot": {"element": snapshot(profile, R4)}}
    assert [issue.diagnostics for issue in Validator(R4, DEFAULT_TYPES).validate(whole) if issue.is_error] == []
