"""What an operation is given is read and checked, or all that is wrong with it is told.

Spec: https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from fhir_server.definitions.operations import Level, Operation
from fhir_server.definitions.registry import Registry
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request
from fhir_server.operations.call import Values
from fhir_server.operations.reading import read
from fhir_server.outcome import BadRequest
from fhir_server.validation.validator import Validator
from tests.operations.asking import ECHO, NEEDY

REGISTRY = Registry.load()
CONTEXT = cast("Context", SimpleNamespace(registry=REGISTRY, validator=Validator(REGISTRY.structures)))


async def values(query: str = "", body: Any = None, asked: Operation = ECHO, level: Level = Level.TYPE) -> Values:
    method = "GET" if body is None else "POST"
    return await read(CONTEXT, Request(method, "", query, resource=body), asked.parameters_at(level))


def given(*parameters: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(parameters)}


VALUE_SET = {"resourceType": "ValueSet", "status": "active"}

READ: dict[str, tuple[str, Any, list[tuple[str, Any]]]] = {
    "nothing": ("", None, []),
    "general parameters": ("_format=json&_pretty=true", None, []),
    "a query": ("text=a%20b&times=3&loud=true", None, [("text", "a b"), ("times", 3), ("loud", True)]),
    "a date": ("at=2026-01", None, [("at", "2026-01")]),
    "an empty Parameters": ("", {"resourceType": "Parameters"}, []),
    "Parameters": ("", given({"name": "times", "valueInteger": 3}), [("times", 3)]),
    "both": ("loud=false", given({"name": "times", "valueInteger": 3}), [("loud", False), ("times", 3)]),
    "a specialised type": ("", given({"name": "url", "valueCanonical": "http://x"}), [("url", "http://x")]),
    "a bare resource": ("text=a", {"resourceType": "Slot"}, [("text", "a"), ("resource", {"resourceType": "Slot"})]),
    "a resource that is no FHIR": ("", given({"name": "resource", "resource": {"a": 1}}), [("resource", {"a": 1})]),
    "several": (
        "",
        given({"name": "coding", "valueCoding": {"code": "a"}}, {"name": "coding", "valueCoding": {"code": "b"}}),
        [("coding", {"code": "a"}), ("coding", {"code": "b"})],
    ),
    "a resource": ("", given({"name": "valueSet", "resource": VALUE_SET}), [("valueSet", VALUE_SET)]),
}


@pytest.mark.parametrize(("query", "body", "wanted"), READ.values(), ids=READ)
async def test_values_are_read(query: str, body: Any, wanted: list[tuple[str, Any]]) -> None:
    found = await values(query, body)
    assert [(one.name, one.value) for one in found.given] == wanted


async def test_parts_are_read() -> None:
    parts = [{"name": "element", "valueUri": "http://x"}, {"name": "note", "valueString": "n"}]
    found = await values("", given({"name": "dependency", "part": parts}))
    (dependency,) = found.given
    assert [(one.name, one.value, one.at) for one in dependency.parts] == [
        ("element", "http://x", "Parameters.parameter[0].part[0].valueUri"),
        ("note", "n", "Parameters.parameter[0].part[1].valueString"),
    ]


UNKNOWN, VALUE, SET = "operation-parameter-unknown", "operation-parameter-value", "operation-parameters"
REFUSED: dict[str, tuple[str, Any, list[tuple[str, str]]]] = {
    "an unknown name": ("tex=a", None, [(UNKNOWN, "http.tex")]),
    "a name that cannot be shown": ("%3Cb%3E=a", None, [(UNKNOWN, "http.this")]),
    "no integer": ("times=three", None, [(VALUE, "http.times")]),
    "an integer out of range": ("times=99999999999", None, [(VALUE, "http.times")]),
    "no boolean": ("loud=yes", None, [(VALUE, "http.loud")]),
    "no number": ("ratio=a", None, [(VALUE, "http.ratio")]),
    "no date": ("at=2026-13", None, [(VALUE, "http.at")]),
    "an empty text": ("text=", None, [(VALUE, "http.text")]),
    "twice": ("text=a&text=b", None, [(VALUE, "http.text")]),
    "what is no primitive": ("coding=a", None, [(VALUE, "http.coding")]),
    "all at once": ("tex=a&times=b", None, [(UNKNOWN, "http.tex"), (VALUE, "http.times")]),
    "an unknown name in Parameters": (
        "",
        given({"name": "tex", "valueString": "a"}),
        [(UNKNOWN, "Parameters.parameter[0].name")],
    ),
    "another type": (
        "",
        given({"name": "times", "valueString": "3"}),
        [(VALUE, "Parameters.parameter[0].valueString")],
    ),
    "another resource": (
        "",
        given({"name": "valueSet", "resource": {"resourceType": "Slot"}}),
        [(VALUE, "Parameters.parameter[0].resource")],
    ),
    "a part that is missing": (
        "",
        given({"name": "dependency", "part": [{"name": "note", "valueString": "n"}]}),
        [(SET, "Parameters.parameter[0]")],
    ),
    "parts of a primitive": (
        "",
        given({"name": "text", "part": [{"name": "note", "valueString": "n"}]}),
        [(VALUE, "Parameters.parameter[0].part")],
    ),
    "no value": (
        "",
        given({"name": "text", "extension": [{"url": "http://x", "valueString": "a"}]}),
        [("invariant-inv-1", "Parameters.parameter[0]")],
    ),
    "once in the query and once in the body": (
        "text=a",
        given({"name": "text", "valueString": "b"}),
        [(VALUE, "Parameters.parameter[0].valueString")],
    ),
    "no object": ("", [1], [("body-not-object", "Parameters")]),
    "a bare resource that two parameters take": ("", VALUE_SET, [("resource-type-mismatch", "Parameters")]),
}


@pytest.mark.parametrize(("query", "body", "wanted"), REFUSED.values(), ids=REFUSED)
async def test_what_is_wrong_is_told(query: str, body: Any, wanted: list[tuple[str, str]]) -> None:
    with pytest.raises(BadRequest) as caught:
        await values(query, body)
    assert [(issue.id, issue.expression[0]) for issue in caught.value.issues] == wanted


async def test_unknown_parameter_is_refused_naming_the_valid_ones() -> None:
    with pytest.raises(BadRequest, match="valid are url, valueSet"):
        await values("uri=http://x&url=http://y", asked=NEEDY)


async def test_missing_parameter_is_named() -> None:
    with pytest.raises(BadRequest, match="url is missing"):
        await values("", VALUE_SET, asked=NEEDY)


async def test_parameter_of_another_level_is_unknown() -> None:
    assert (await values("url=http://x")).text("url") == "http://x"
    with pytest.raises(BadRequest, match='"url" is not a parameter'):
        await values("url=http://x", level=Level.INSTANCE)


async def test_one_of_several_is_told_or_refused() -> None:
    found = await values("text=a&times=1")
    assert found.one_of(("text", "loud")) == "text"
    for names, told in ((("text", "times"), "exclude each other"), (("loud", "url"), "one of these is needed")):
        with pytest.raises(BadRequest, match=told):
            found.one_of(names)
