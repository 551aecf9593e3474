"""Any resource, however broken, gives issues: never an exception, and never silence about what was broken."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import Decimal, serialize
from fhir_server.outcome import Issue
from fhir_server.validation.kinds import kind_of, status_of
from fhir_server.validation.validator import Validator
from tests.validation.conftest import read

EXAMPLES: list[dict[str, Any]] = read("examples.json")
VALIDATOR = Validator(Structures.load())
OURS = Validator(Structures.load(), second_opinion=False)
WRONG: tuple[Any, ...] = (None, [], {})
PATH = re.compile(r"[A-Z][A-Za-z]*(\.[A-Za-z_][A-Za-z0-9]*(\([A-Za-z0-9]+\))?|\[\d+\])*")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([Decimal("72.50"), Decimal("-0"), Decimal("1E400")]),
    st.text(max_size=8),
    st.sampled_from(["2024", "2024-02-30", "#a", "Patient/1", "free", " ", "http://a", "a b", "12:00:00", "*", "1"]),
)
json = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in items for place in [(value, key), *places(child)]]


def mutate(resource: dict[str, Any], draw: Any) -> None:
    container, key = draw(st.sampled_from(places(resource)))
    how = draw(st.sampled_from(["replace", "delete", "wrap", "double", "rename", "steal"]))
    if how == "delete":
        del container[key]
    elif how == "wrap":
        container[key] = [container[key]]
    elif how == "double" and isinstance(container, list):
        container.append(container[key])
    elif how == "rename" and isinstance(container, dict):
        container[draw(st.sampled_from([f"_{key}", key.lower(), key + "x", "extension", "value"]))] = container.pop(key)
    elif how == "steal":
        other, name = draw(st.sampled_from(places(draw(st.sampled_from(EXAMPLES)))))
        container[key] = copy.deepcopy(other[name])
    else:
        container[key] = draw(json)


def check_issues(issues: list[Issue]) -> None:
    for issue in issues:
        assert issue.id is not None
        assert kind_of(issue.id).code is issue.code
        assert all(PATH.fullmatch(path) for path in issue.expression), issue.expression
    assert status_of(issues) in (None, 400, 422)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_mutated_resource_gives_issues(data: st.DataObject) -> None:
    resource = copy.deepcopy(data.draw(st.sampled_from(EXAMPLES)))
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(resource, data.draw)
        if not places(resource):
            break
    check_issues(VALIDATOR.validate(resource))


@given(json)
@settings(max_examples=200, deadline=None)
def test_any_json_gives_issues(value: Any) -> None:
    issues = VALIDATOR.validate(value)
    assert issues
    check_issues(issues)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_property_of_a_type_takes_any_json(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(sorted(Structures.load().resource_types)))
    element = data.draw(st.sampled_from(sorted(Structures.load().children(type_))))
    name = data.draw(st.sampled_from(["", "_"])) + element.replace("[x]", "String")
    check_issues(VALIDATOR.validate({"resourceType": type_, name: data.draw(json)}))


@pytest.mark.parametrize("resource", EXAMPLES, ids=lambda resource: str(resource["resourceType"]))
def test_each_broken_property_is_told(resource: dict[str, Any]) -> None:
    """Null, an empty array or object, or an unknown property, wherever it stands."""
    for number in range(len(places(resource))):
        for wrong in WRONG:
            broken = copy.deepcopy(resource)
            container, key = places(broken)[number]
            if isinstance(container, list) and (wrong is None or container[key] is None):
                continue  # null may be right there
            container[key] = wrong
            assert status_of(OURS.validate(broken)) == 400, (key, wrong, serialize(broken))
        broken = copy.deepcopy(resource)
        container, key = places(broken)[number]
        if isinstance(container[key], dict):
            container[key]["unknown"] = 1
            assert "structure-unknown-element" in {issue.id for issue in OURS.validate(broken)}
