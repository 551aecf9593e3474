"""The models of fhir.resources: asked last, no false alarm on what R4 allows, no word of the data."""

from __future__ import annotations

import logging
from importlib import import_module
from random import Random
from typing import Any

import pytest

from fhir_server.definitions.registry import DEFAULT_TYPES, ENVELOPES
from fhir_server.definitions.structures import Structures
from fhir_server.outcome import Issue
from fhir_server.validation import second_opinion
from fhir_server.validation.faults import Scope
from fhir_server.validation.second_opinion import FALSE_ALARMS, UNLIKE_R4, SecondOpinion
from fhir_server.validation.structure import StructureChecks
from fhir_server.validation.validator import Validator
from tests.validation.conftest import read
from tests.validation.instances import LITERALS, Instances, extension

ALL_TYPES = sorted(Structures.load().resource_types)
EXAMPLES: list[dict[str, Any]] = read("examples.json")


@pytest.fixture(scope="module")
def opinion(structures: Structures) -> SecondOpinion:
    return SecondOpinion(structures)


@pytest.mark.parametrize("type_", ALL_TYPES)
def test_full_legal_resource_raises_no_alarm(type_: str, structures: Structures, opinion: SecondOpinion) -> None:
    checks = StructureChecks(structures, lambda path, type_: None)
    for seed in range(4 if type_ in DEFAULT_TYPES | ENVELOPES else 1):
        resource = Instances(structures, Random(seed)).resource(type_)
        faults = checks.of(type_)(resource, resource, Scope(resource, False, True))
        assert not [(fault.id, fault.text, fault.steps) for fault in faults or ()]
        assert opinion.issues(resource) == []


@pytest.mark.parametrize("type_", sorted(LITERALS.keys() - {"xhtml"}))
def test_legal_literal_raises_no_alarm(type_: str, opinion: SecondOpinion) -> None:
    for literal in LITERALS[type_]:
        basic = {"resourceType": "Basic", "code": {"text": "a"}, "extension": [extension(type_, literal)]}
        assert opinion.issues(basic) == []


def elements(structures: Structures, type_: str) -> tuple[set[str], set[str]]:
    """Return the JSON names that R4 gives a type, and those that its model has."""
    model = getattr(import_module(f"fhir.resources.R4B.{type_.lower()}"), type_)
    ours = {name for element in structures.children(type_).values() for name in element.json_names()}
    return ours, set(model.elements_sequence()) - {"resourceType"}


@pytest.mark.parametrize("type_", sorted(DEFAULT_TYPES | ENVELOPES))
def test_model_of_served_type_has_the_elements_of_r4(type_: str, structures: Structures) -> None:
    assert type_ not in UNLIKE_R4
    ours, theirs = elements(structures, type_)
    assert ours == theirs


def test_types_not_asked_about_are_those_that_r4b_changed(structures: Structures) -> None:
    unlike = set()
    for type_ in ALL_TYPES:
        try:
            ours, theirs = elements(structures, type_)
        except ModuleNotFoundError:
            unlike.add(type_)
        else:
            if not ours <= theirs:
                unlike.add(type_)
    assert unlike == UNLIKE_R4


@pytest.mark.parametrize("resource", read("false_alarms.json"), ids=str)
def test_known_false_alarm_is_not_told(resource: dict[str, Any], validator: Validator) -> None:
    assert validator.validate(resource) == []


def test_model_that_breaks_is_logged_without_data(opinion: SecondOpinion, caplog: pytest.LogCaptureFixture) -> None:
    """A mandatory array of primitives that has extensions only."""
    statement = Instances(Structures.load()).resource("CapabilityStatement")
    del statement["format"]
    statement["_format"] = [{"extension": [extension("code", "secret-value")]}]
    with caplog.at_level(logging.WARNING):
        assert opinion.issues(statement) == []
    assert "no second opinion on CapabilityStatement: AttributeError" in caplog.text
    assert "secret-value" not in caplog.text


def test_model_that_cannot_be_imported_is_logged(
    structures: Structures, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(type_: str) -> None:
        raise ImportError(type_)

    monkeypatch.setattr(second_opinion, "_model", fail)
    assert SecondOpinion(structures).issues({"resourceType": "Patient"}) == []
    assert "no second opinion on Patient: ImportError" in caplog.text


def test_refusal_is_told_with_path_and_without_value(opinion: SecondOpinion) -> None:
    slot = {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/1"},
        "status": "free",
        "start": "2024-06-12T16:40:00Z",
        "end": "secret",
        "serviceType": [{"text": "a"}, {"coding": [{"code": " secret"}]}],
        "contained": [{"resourceType": "Patient", "id": "a", "birthDate": "secret"}],
        "extension": [extension("Period", {"start": "secret"})],
        "_comment": {"extension": [extension("integer", "secret")]},
    }
    issues = opinion.issues(slot)
    assert {issue.expression for issue in issues} == {
        ("Slot.end",),
        ("Slot.serviceType[1].coding[0].code",),
        ("Slot.contained[0].birthDate",),
        ("Slot.extension[0].value.ofType(Period).start",),
        ("Slot.comment.extension[0].value.ofType(integer)",),
    }
    assert {issue.id for issue in issues} == {"second-opinion"}
    assert "secret" not in "".join(issue.diagnostics for issue in issues)


def test_models_are_asked_only_when_our_checks_are_content(
    validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def issues(self: SecondOpinion, resource: dict[str, Any]) -> list[Issue]:
        asked.append(resource["resourceType"])
        return []

    monkeypatch.setattr(SecondOpinion, "issues", issues)
    validator.validate({"resourceType": "Patient", "gender": "x"})
    assert asked == []
    validator.validate({"resourceType": "Patient", "gender": "other"})
    assert asked == ["Patient"]


def test_models_can_be_left_out(structures: Structures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_opinion, "_model", lambda type_: pytest.fail("asked"))
    assert Validator(structures, second_opinion=False).validate({"resourceType": "Patient"}) == []


def test_every_false_alarm_has_a_reason() -> None:
    assert all(reason for _, _, _, reason in FALSE_ALARMS)


@pytest.mark.parametrize("resource", EXAMPLES, ids=lambda resource: str(resource["resourceType"]))
def test_validation_leaves_the_resource_as_it_is(resource: dict[str, Any], validator: Validator) -> None:
    before = repr(resource)
    validator.validate(resource)
    assert repr(resource) == before
