"""Each invariant of the served types, and of the types they reach, passes and fails where it should."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

import pytest

from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.definitions.structures import Invariant, Structures
from fhir_server.fhirpath import Environment, Item, compile_path
from fhir_server.model.formats import parse

STRUCTURES = Structures.load()
FILE = FilePath(__file__).parents[1] / "definitions" / "invariant_cases.json"
CASES: dict[str, Any] = json.loads(FILE.read_bytes())
NEVER_FAIL = {"eld-11": "select() gives false for other types, and false exists: as written, R4's rule forbids nothing"}
"""Invariants that no data violates, and why."""


def invariant(key: str, context: str) -> Invariant:
    """Return the invariant of a case: its key's first word, at its context or the type that declares it."""
    found = {each.key: each for each in STRUCTURES.invariants(context)}
    return found[key.partition(" ")[0]]


def examples(verdict: str) -> list[Any]:
    return [
        pytest.param(key, case, example, id=f"{key}-{number}")
        for key, case in CASES.items()
        for number, example in enumerate(case[verdict])
    ]


def keeps(key: str, case: dict[str, Any], example: Any) -> bool:
    """Return whether an example keeps its invariant; it is parsed as the server parses JSON."""
    value = parse(json.dumps({"example": example}).encode())["example"]
    context = case["context"]
    path = compile_path(invariant(key, context).expression, context, STRUCTURES)
    item = Item(value, case.get("type", item_type(context)))
    root = case.get("root", value if isinstance(value, dict) else {})
    resource = Item(root, root.get("resourceType", "Resource"))
    environment = Environment(resource, resource)
    if "type" not in case:
        return path.holds(item, environment)
    inside = compile_path(context.removeprefix(case["type"] + "."), case["type"], STRUCTURES)
    return all(path.holds(each, environment) for each in inside(item, environment))


def item_type(context: str) -> str:
    if context in STRUCTURES.types:
        return context
    element = STRUCTURES.element(context)
    return element.path if element.is_backbone else element.types[0]


def reachable() -> set[str]:
    """Return the types and element paths that the served types, Bundle and Parameters reach."""
    found: set[str] = set()
    todo = [*DEFAULT_TYPES, "Bundle", "Parameters"]
    while todo:
        path = todo.pop()
        if path in found or path == "Resource":
            continue
        found.add(path)
        for element in STRUCTURES.children(path).values():
            if element.is_backbone:
                todo.append(element.content or element.path)
            else:
                found.add(element.path)
                todo.extend(element.types)
    return found


@pytest.mark.parametrize(("key", "case", "example"), examples("pass"))
def test_invariant_is_kept(key: str, case: dict[str, Any], example: Any) -> None:
    assert keeps(key, case, example)


@pytest.mark.parametrize(("key", "case", "example"), examples("fail"))
def test_invariant_is_violated(key: str, case: dict[str, Any], example: Any) -> None:
    assert not keeps(key, case, example)


def test_every_invariant_has_an_example_of_both() -> None:
    keys = {each.key for path in reachable() for each in STRUCTURES.invariants(path)}
    assert keys <= {key.partition(" ")[0] for key in CASES}
    for key, case in CASES.items():
        assert case["pass"], key
        assert case["fail"] or key in NEVER_FAIL, key


def test_every_invariant_of_r4_compiles() -> None:
    for context in STRUCTURES.invariant_contexts():
        for each in STRUCTURES.invariants(context):
            compile_path(each.expression, context, STRUCTURES)
