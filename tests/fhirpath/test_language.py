"""What expressions mean, section by section, and which are refused."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

import pytest

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Environment, EvaluationError, ExpressionError, Item, compile_path
from fhir_server.model.formats import parse

STRUCTURES = Structures.load()
CASES = FilePath(__file__).parent / "cases"
PATIENT = Item(parse((CASES / "patient.json").read_bytes()), "Patient")


def table(name: str) -> Any:
    return json.loads((CASES / name).read_bytes())


MEANINGS = [
    pytest.param(expression, expected, id=f"{section}: {expression}")
    for section, rows in table("language.json").items()
    for expression, expected in rows
]
REFUSED = [
    pytest.param(expression, id=f"{reason}: {expression}")
    for reason, expressions in table("refused.json").items()
    for expression in expressions
]


@pytest.mark.parametrize(("expression", "expected"), MEANINGS)
def test_expression_means(expression: str, expected: Any) -> None:
    path = compile_path(expression, "Patient", STRUCTURES)
    if expected == "error":
        with pytest.raises(EvaluationError):
            path(PATIENT, Environment(PATIENT, PATIENT))
        return
    environment = Environment(PATIENT, PATIENT)
    for _ in range(2):  # the second time from memory
        found = [item.value for item in path(PATIENT, environment)]
        assert found == expected
        assert [type(value) is bool for value in found] == [type(value) is bool for value in expected]


@pytest.mark.parametrize("expression", REFUSED)
def test_expression_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        compile_path(expression, "Patient", STRUCTURES)


def test_refusal_names_expression_and_context() -> None:
    with pytest.raises(ExpressionError, match=r"Slot has no element stat, in 'Slot.stat' on Slot"):
        compile_path("Slot.stat", "Slot", STRUCTURES)


@pytest.mark.parametrize("context", ["Nothing", "Slot.nothing", "Nothing.a", "", ".", "Slot."])
def test_unknown_context_is_refused(context: str) -> None:
    with pytest.raises(ExpressionError, match="there is no type or element"):
        compile_path("id", context, STRUCTURES)


@pytest.mark.parametrize(
    ("context", "expression"),
    [
        ("Organization.telecom", "where(use = 'home').empty()"),
        ("Bundle.entry.link", "relation"),
        ("Timing.repeat", "bounds.as(Period).start"),
        ("RiskAssessment.prediction.probability[x]", "low.empty()"),
        ("ElementDefinition.max", "$this = '*'"),
        ("Bundle.entry.resource", "id"),
    ],
)
def test_context_may_be_an_element(context: str, expression: str) -> None:
    assert compile_path(expression, context, STRUCTURES).context == context


def test_resolver_is_asked_for_what_is_not_contained() -> None:
    organization = Item({"resourceType": "Organization", "name": "A"}, "Organization")
    patient = Item({"managingOrganization": {"reference": "Organization/9"}}, "Patient")
    path = compile_path("managingOrganization.resolve().name", "Patient", STRUCTURES)
    environment = Environment(patient, patient, {"Organization/9": organization}.get)
    assert [item.value for item in path(patient, environment)] == ["A"]


def test_holds_unless_false() -> None:
    environment = Environment(PATIENT, PATIENT)
    verdicts = {
        text: compile_path(text, "Patient", STRUCTURES).holds(PATIENT, environment) for text in ("true", "{}", "false")
    }
    assert verdicts == {"true": True, "{}": True, "false": False}


@pytest.mark.parametrize("value", [None, "text", 3, [], {"name": "text"}, {"name": [None, 3, [{}]]}, {"name": {}}])
def test_data_of_a_wrong_shape_gives_nothing_or_something_but_no_crash(value: Any) -> None:
    item = Item(value, "Patient")
    for expression in ("name.given", "name.given.extension.value", "deceased", "contained.id", "descendants()"):
        compile_path(expression, "Patient", STRUCTURES)(item, Environment(item, item))


def test_resource_of_an_unknown_type_is_a_resource() -> None:
    item = Item({"contained": [{"resourceType": "No.Such", "id": "a"}, {"id": "b"}]}, "Patient")
    path = compile_path("contained.where($this is Resource).id", "Patient", STRUCTURES)
    assert [found.value for found in path(item, Environment(item, item))] == ["a", "b"]
