"""Invariants: each passes and fails through the validator, at the path of the element that breaks it."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import pytest

from fhir_server.definitions.registry import DEFAULT_TYPES, ENVELOPES
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Environment, EvaluationError, Item, Path
from fhir_server.model.formats import parse
from fhir_server.outcome import Issue, IssueType, Severity
from fhir_server.validation.invariants import ELSEWHERE, ONLY_WITH, Invariants
from fhir_server.validation.validator import Validator
from tests.validation.instances import Instances

FILE = FilePath(__file__).parents[1] / "definitions" / "invariant_cases.json"
CASES: dict[str, Any] = parse(FILE.read_bytes())
NEVER_FAIL = {"eld-11"}
"""As R4 writes it, no data breaks it."""


def examples(verdict: str) -> list[Any]:
    return [
        pytest.param(key.split()[0], case, example, id=f"{key}-{number}")
        for key, case in CASES.items()
        for number, example in enumerate(case[verdict])
    ]


def issues(structures: Structures, validator: Validator, case: dict[str, Any], example: Any) -> list[Issue]:
    """Return what is told of a resource that holds the example at its context."""
    if "type" in case:
        return validator.validate(example)
    resource = Instances(structures).embed(case["context"], example)
    if "root" in case:
        resource["contained"] = case["root"]["contained"]
    return validator.validate(resource)


@pytest.mark.parametrize(("key", "case", "example"), examples("pass"))
def test_kept_invariant_is_not_told(
    key: str, case: dict[str, Any], example: Any, structures: Structures, validator: Validator
) -> None:
    told = {issue.id for issue in issues(structures, validator, case, example)}
    assert f"invariant-{key}" not in told
    assert "invariant-not-checked" not in told


@pytest.mark.parametrize(("key", "case", "example"), examples("fail"))
def test_broken_invariant_is_told(
    key: str, case: dict[str, Any], example: Any, structures: Structures, validator: Validator
) -> None:
    told = {issue.id: issue for issue in issues(structures, validator, case, example)}
    if key == "dom-6":
        assert "invariant-dom-6" not in told
    elif key == "ele-1" or (isinstance(example, dict) and example.keys() <= {"id"}):
        assert "empty-object" in told
    else:
        issue = told[f"invariant-{key}"]
        assert issue.code is IssueType.INVARIANT
        severities = {each.severity for each in structures.invariants(case["context"]) if each.key == key}
        assert {issue.severity.value} == severities


def reachable(structures: Structures) -> set[str]:
    """Return the types and element paths that the types served by default reach, and the envelopes."""
    found: set[str] = set()
    todo = [*DEFAULT_TYPES, *ENVELOPES]
    while todo:
        path = todo.pop()
        if path in found or path == "Resource":
            continue
        found.add(path)
        for element in structures.children(path).values():
            if element.is_backbone:
                todo.append(element.content or element.path)
            else:
                found.add(element.path)
                todo.extend(element.types)
    return found


def test_no_invariant_of_the_served_types_is_untested(structures: Structures) -> None:
    declared = {(each.key, each.expression) for path in reachable(structures) for each in structures.invariants(path)}
    tested = {
        (each.key, each.expression)
        for key, case in CASES.items()
        for each in structures.invariants(case["context"])
        if each.key == key.split()[0] and case["pass"] and (case["fail"] or each.key in NEVER_FAIL)
    }
    assert declared <= tested
    assert len(declared) > 130


def test_every_invariant_of_r4_compiles(structures: Structures) -> None:
    rules = Invariants(structures)
    assert sum(rules.rule(context, context) is not None for context in structures.invariant_contexts()) > 120


def test_exceptions_are_invariants(structures: Structures) -> None:
    keys = {each.key for context in structures.invariant_contexts() for each in structures.invariants(context)}
    assert keys >= set(ELSEWHERE) | set(ONLY_WITH)


def test_path_of_a_broken_invariant_is_that_of_the_element(validator: Validator) -> None:
    appointment = {
        "resourceType": "Appointment",
        "status": "booked",
        "start": "2024-06-12T10:00:00Z",
        "end": "2024-06-12T10:20:00Z",
        "participant": [
            {"status": "accepted", "actor": {"reference": "Practitioner/1"}},
            {"status": "accepted", "period": {"start": "2024-06-13", "end": "2024-06-12"}},
        ],
    }
    assert {(issue.id, issue.expression) for issue in validator.validate(appointment)} == {
        ("invariant-app-1", ("Appointment.participant[1]",)),
        ("invariant-per-1", ("Appointment.participant[1].period",)),
    }


def test_invariants_are_told_beside_faults_of_form(validator: Validator) -> None:
    organization = {
        "resourceType": "Organization",
        "address": [{"use": "home"}],
        "contact": [{"purpose": {"text": " "}}],
    }
    assert {issue.id for issue in validator.validate(organization)} == {
        "invariant-org-1",
        "invariant-org-2",
        "string-blank",
    }


def test_warning_does_not_refuse(validator: Validator) -> None:
    naming = {
        "resourceType": "NamingSystem",
        "name": "not a token",
        "status": "draft",
        "kind": "identifier",
        "date": "2024",
        "uniqueId": [{"type": "uri", "value": "a"}],
    }
    (issue,) = validator.validate(naming)
    assert (issue.id, issue.severity) == ("invariant-nsd-0", Severity.WARNING)


def test_contained_resource_keeps_the_rules_of_its_type(validator: Validator) -> None:
    role = {
        "resourceType": "PractitionerRole",
        "contained": [{"resourceType": "Organization", "id": "o", "active": True}],
        "organization": {"reference": "#o"},
    }
    (issue,) = validator.validate(role)
    assert (issue.id, issue.expression) == ("invariant-org-1", ("PractitionerRole.contained[0]",))


def test_rules_see_the_resource_of_their_entry(validator: Validator) -> None:
    contained = {"resourceType": "Practitioner", "id": "p"}
    used = {"resourceType": "PractitionerRole", "contained": [contained], "practitioner": {"reference": "#p"}}
    unused = {"resourceType": "PractitionerRole", "contained": [contained]}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": used}, {"resource": unused}]}
    (issue,) = validator.validate(bundle)
    assert (issue.id, issue.expression) == ("invariant-dom-3", ("Bundle.entry[1].resource",))


def test_invariant_that_cannot_be_evaluated_is_a_warning(validator: Validator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, item: Item, environment: Environment) -> bool:
        raise EvaluationError("several items: secret")

    monkeypatch.setattr(Path, "holds", fail)
    (issue,) = validator.validate({"resourceType": "Organization", "name": "A"})
    assert (issue.id, issue.severity, issue.expression) == (
        "invariant-not-checked",
        Severity.WARNING,
        ("Organization",),
    )
    assert "org-1" in issue.diagnostics
    assert "secret" not in issue.diagnostics
