"""Each primitive type: what is legal, what is refused, and by which id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import parse
from fhir_server.validation.kinds import KINDS, PRIMITIVES
from fhir_server.validation.primitives import CHECKS, MAX_STRING
from fhir_server.validation.validator import Validator

TABLE: dict[str, dict[str, list[Any]]] = parse((Path(__file__).parent / "primitives.json").read_bytes())
GOOD = [(name, literal) for name, cases in TABLE.items() for literal in cases["good"]]
BAD = [(name, literal, id_) for name, cases in TABLE.items() for literal, id_ in cases["bad"]]


def with_value(name: str, literal: Any) -> dict[str, Any]:
    extension = {"url": "http://example.org/x", f"value{name[0].upper()}{name[1:]}": literal}
    return {"resourceType": "Basic", "code": {"text": "a"}, "extension": [extension]}


@pytest.mark.parametrize(("name", "literal"), GOOD)
def test_legal_literal_is_accepted(name: str, literal: Any, validator: Validator) -> None:
    assert not [issue for issue in validator.validate(with_value(name, literal)) if issue.is_error]


@pytest.mark.parametrize(("name", "literal", "id_"), BAD)
def test_illegal_literal_is_refused(name: str, literal: Any, id_: str, validator: Validator) -> None:
    issues = validator.validate(with_value(name, literal))
    assert [(issue.id, issue.expression) for issue in issues if issue.is_error] == [
        (id_, (f"Basic.extension[0].value.ofType({name})",))
    ]


def test_every_primitive_type_of_r4_has_a_check_and_ids(structures: Structures) -> None:
    kinds = {name for name in structures.types if structures.kind(name) == "primitive-type"}
    assert kinds == set(CHECKS) == set(PRIMITIVES) == set(TABLE) | {"xhtml"}
    told = {f"type-{name}" for name in PRIMITIVES} | {id_ for _, _, id_ in BAD}
    assert {id_ for id_ in KINDS if id_.startswith(("type-", "format-"))} - {"type-object"} <= told <= set(KINDS)


def test_string_may_be_a_megabyte_and_no_more(validator: Validator) -> None:
    assert not validator.validate(with_value("string", "é" * MAX_STRING))
    assert [issue.id for issue in validator.validate(with_value("string", "é" * (MAX_STRING + 1)))] == ["string-length"]


def test_half_a_surrogate_pair_is_refused(validator: Validator) -> None:
    for name in ("string", "code", "uri", "markdown"):
        assert [issue.id for issue in validator.validate(with_value(name, "a\ud800"))] == ["string-character"]


def test_a_float_is_refused_because_its_text_is_lost(validator: Validator) -> None:
    assert [issue.id for issue in validator.validate(with_value("decimal", 0.1))] == ["type-decimal"]
