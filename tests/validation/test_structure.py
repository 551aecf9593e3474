"""Base structure: what is wrong is refused with its path and id, all of it at once; what is right is not."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import MAX_DEPTH
from fhir_server.outcome import IssueType, Severity
from fhir_server.validation.faults import MAX_ISSUES
from fhir_server.validation.validator import Validator
from tests.validation.conftest import Told, read

EXAMPLES: list[dict[str, Any]] = read("examples.json")
WRONG: list[tuple[str, dict[str, Any], list[list[str]]]] = read("wrong.json")
SLOT = {
    "resourceType": "Slot",
    "schedule": {"reference": "Schedule/1"},
    "status": "free",
    "start": "2024-06-12T16:40:00Z",
    "end": "2024-06-12T17:00:00Z",
    "comment": "a",
}


def changed(**changes: Any) -> dict[str, Any]:
    slot = {**SLOT, **changes}
    return {name: value for name, value in slot.items() if value != "MISSING"}


@pytest.mark.parametrize("resource", EXAMPLES, ids=lambda resource: str(resource["resourceType"]))
def test_right_resource_has_no_issue(resource: dict[str, Any], validator: Validator) -> None:
    assert validator.validate(resource) == []


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_slot_is_refused_with_id_and_path(changes: dict[str, Any], expected: list[list[str]], told: Told) -> None:
    assert sorted(told(changed(**changes))) == sorted((id_, path) for id_, path in expected)


@pytest.mark.parametrize("body", [None, True, 1, "a", [], [SLOT]])
def test_what_is_no_object_is_no_resource(body: Any, told: Told) -> None:
    assert told(body) == [("type-object", "Resource")]


@pytest.mark.parametrize("type_", ["slot", "Agenda", "Resource", "HumanName", "", None, 1, ["Slot"], {"a": 1}])
def test_type_that_r4_does_not_have_is_refused(type_: Any, told: Told) -> None:
    assert told({**SLOT, "resourceType": type_}) == [("structure-resource-type", "Resource.resourceType")]
    assert told({"id": "a"}) == [("structure-resource-type", "Resource")]
    assert told({}) == [("structure-resource-type", "Resource")]


def test_order_of_properties_does_not_matter(told: Told) -> None:
    assert told(dict(reversed(SLOT.items()))) == []


def test_several_faults_are_all_told(told: Told) -> None:
    practitioner = {
        "resourceType": "Practitioner",
        "birthDate": "14/05/1970",
        "gender": "femme",
        "telecom": [{"system": "pigeon", "value": "1"}],
    }
    assert told(practitioner) == [
        ("format-date", "Practitioner.birthDate"),
        ("code-required", "Practitioner.gender"),
        ("code-required", "Practitioner.telecom[0].system"),
    ]


def test_fault_inside_a_bundle_has_its_path(told: Told) -> None:
    entry = {"resource": changed(status="bogus"), "request": {"method": "POST", "url": "Slot"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert told(bundle) == [("code-required", "Bundle.entry[0].resource.status")]


def test_resources_of_a_bundle_can_be_left_to_the_caller(validator: Validator) -> None:
    entry = {"resource": changed(status="bogus"), "request": {"method": "POST", "url": "Slot"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry, {"resource": changed()}]}
    issues = validator.validate(bundle, entries=False)
    assert [(issue.id, issue.expression) for issue in issues] == [("invariant-bdl-3", ("Bundle",))]
    assert validator.validate({**bundle, "entry": [entry]}, entries=False) == []
    entry = {"resource": {"resourceType": "Agenda"}, "request": {"method": "POST", "url": "Slot"}}
    (issue,) = validator.validate({**bundle, "entry": [entry]}, entries=False)
    assert (issue.id, issue.expression) == ("structure-resource-type", ("Bundle.entry[0].resource.resourceType",))
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": changed(status="bogus")}]}
    assert [issue.id for issue in validator.validate(parameters, entries=False)] == ["code-required"]


def test_contained_resource_of_one_entry_is_not_that_of_another(told: Told) -> None:
    holds = {"resourceType": "Schedule", "contained": [{"resourceType": "Practitioner", "id": "x"}]}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": {**holds, "actor": [{"reference": "#x"}]}},
            {"resource": {"resourceType": "Schedule", "actor": [{"reference": "#x"}]}},
        ],
    }
    assert told(bundle) == [("invariant-ref-1", "Bundle.entry[1].resource.actor[0].reference")]


def test_contained_resource_may_refer_to_its_container(told: Told) -> None:
    contained = {"resourceType": "Schedule", "id": "s", "actor": [{"reference": "#"}]}
    role = {"resourceType": "PractitionerRole", "contained": [contained]}
    assert told(role) == []
    assert told(changed(contained=[contained], schedule={"reference": "#s"})) == [
        ("reference-target", "Slot.contained[0].actor[0].reference")
    ]


def test_search_is_a_reference_where_the_caller_says_so(validator: Validator) -> None:
    slot = changed(schedule={"reference": "Schedule?identifier=a"})
    assert [issue.id for issue in validator.validate(slot)] == ["reference-conditional"]
    assert validator.validate(slot, conditional_references=True) == []
    slot = changed(schedule={"reference": "Patient?identifier=a"})
    assert [issue.id for issue in validator.validate(slot, conditional_references=True)] == ["reference-target"]


def test_type_of_a_reference_may_be_a_logical_model(told: Told) -> None:
    assert told(changed(schedule={"type": "http://example.org/StructureDefinition/a", "display": "a"})) == []
    assert told(changed(schedule={"type": "http://hl7.org/fhir/StructureDefinition/Schedule", "display": "a"})) == []
    assert told(changed(schedule={"type": "http://hl7.org/fhir/StructureDefinition/Patient", "display": "a"})) == [
        ("reference-target", "Slot.schedule.type")
    ]


def test_required_value_set_of_a_concept_asks_one_coding(told: Told) -> None:
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}}
    right = {"coding": [{"code": "x"}, {"system": system, "code": "active"}]}
    assert told({**condition, "clinicalStatus": right}) == []
    for wrong in (
        {"text": "active"},
        {"coding": [{"code": "active"}]},
        {"coding": [{"display": "a"}]},
        {"coding": [{"system": system, "code": "x"}]},
    ):
        assert told({**condition, "clinicalStatus": wrong}) == [("code-required", "Condition.clinicalStatus")]


@pytest.mark.parametrize("name", ["identifier", "extension"])
def test_depth_is_bounded(name: str, told: Told) -> None:
    value: dict[str, Any] = {"url": "a", "valueCode": "a"} if name == "extension" else {"display": "a"}
    for _ in range(1000):
        value = {"url": "a", "extension": [value]} if name == "extension" else {"identifier": {"assigner": value}}
    slot = changed(extension=[value]) if name == "extension" else changed(schedule=value)
    ((id_, path),) = told(slot)
    assert id_ == "structure-depth"
    assert path.count(".") + path.count("[") == MAX_DEPTH


def test_issues_are_bounded(validator: Validator) -> None:
    issues = validator.validate(changed(serviceType=[{}] * (MAX_ISSUES + 5)))
    assert len(issues) == MAX_ISSUES + 1
    assert (issues[-1].id, issues[-1].severity) == ("issues-cut", Severity.INFORMATION)
    assert "5 more" in issues[-1].diagnostics


def test_type_not_served_is_told(structures: Structures) -> None:
    validator = Validator(structures, frozenset(("Slot",)))
    assert [issue.id for issue in validator.validate({"resourceType": "Patient"})] == ["resource-not-served"]
    assert validator.validate(SLOT) == []
    assert (
        validator.validate(
            changed(
                contained=[{"resourceType": "Schedule", "id": "a", "actor": [{"display": "a"}]}],
                schedule={"reference": "#a"},
            )
        )
        == []
    )
    assert validator.validate({"resourceType": "Bundle", "type": "collection"}) == []


def test_what_is_far_from_a_code_is_not_repeated(validator: Validator) -> None:
    for value in ("Martin", "269054958815780"):
        (issue,) = validator.validate(changed(status=value))
        assert value not in issue.diagnostics
        assert "received another code" in issue.diagnostics


def test_issue_has_the_code_of_its_kind(validator: Validator) -> None:
    (issue,) = validator.validate(changed(status="buzy"))
    assert (issue.code, issue.severity) == (IssueType.CODE_INVALID, Severity.ERROR)
    assert issue.diagnostics == (
        'Slot.status: received the code "buzy", expected one of: '
        "busy, busy-tentative, busy-unavailable, entered-in-error, free"
    )


def test_personal_data_is_never_repeated(validator: Validator) -> None:
    person = "Exemple Camille"
    values: tuple[Any, ...] = (person, [person], {person: person}, {"value": person}, [{"reference": person}])
    for name in (
        "name",
        "birthDate",
        "gender",
        "telecom",
        "active",
        "contact",
        "managingOrganization",
        "multipleBirth",
    ):
        for value in values:
            for issue in validator.validate({"resourceType": "Patient", name: value, person: 1}):
                assert person not in issue.diagnostics + "".join(issue.expression)
