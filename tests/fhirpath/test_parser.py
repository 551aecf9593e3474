"""The parser refuses what it cannot read, with ``ExpressionError`` and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Environment, EvaluationError, ExpressionError, Item, compile_path
from fhir_server.fhirpath.parser import parse
from fhir_server.fhirpath.syntax import Binary, Call, Literal, Member, TypeOperation

STRUCTURES = Structures.load()
WORDS = (  # noqa: SIM905 a list would take a line a word
    "name family given where exists empty not all select as is ofType resolve and or xor implies in contains true "
    "false Patient Slot string $this %resource %ucum ( ) [ ] { } . , = != < <= > >= | + - * & 'a' '#' 1 2.5 @2026 "
    "@T10:00 `div` iif count first descendants children matches substring toInteger hasValue extension deceased telecom"
).split()


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except ExpressionError as error:
        assert str(error)


@given(st.lists(st.sampled_from(WORDS), max_size=14))
@settings(max_examples=400, deadline=None)
def test_any_words_compile_and_run_or_are_refused(words: list[str]) -> None:
    patient = Item({"resourceType": "Patient", "name": [{"family": "A", "given": ["B", "C"]}]}, "Patient")
    try:
        path = compile_path(" ".join(words), "Patient", STRUCTURES)
        path(patient, Environment(patient, patient))
        path.holds(patient, Environment(patient, patient))
    except (ExpressionError, EvaluationError) as error:
        assert str(error)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5_000,
        "(" * 5_000 + "a" + ")" * 5_000,
        "a(" * 5_000,
        "a[" * 5_000,
        "-" * 9_000 + "1",
        "a" + ".a" * 9_000,
        "a" + ".first()" * 2_000,
        "a" + " and a" * 3_000,
        "a" + "[0]" * 5_000,
        "a" + " is b" * 3_000,
        "a" + " implies a" * 2_000,
        "1" * 10_000,
        "'" + "a" * 30_000 + "'",
        "\\" * 10_000,
        "/*" * 5_000,
        "@" * 5_000,
    ],
    ids=lambda text: text[:12],
)
def test_huge_expressions_are_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        parse(expression)


def test_operators_bind_as_in_the_grammar() -> None:
    tree = parse("a | b = c and d implies e in f or g")
    assert isinstance(tree, Binary)
    assert tree.operator == "implies"
    assert isinstance(tree.left, Binary)
    assert tree.left.operator == "and"
    assert tree.left.left == Binary("=", Binary("|", Member(None, "a"), Member(None, "b")), Member(None, "c"))
    assert tree.right == Binary("or", Binary("in", Member(None, "e"), Member(None, "f")), Member(None, "g"))


def test_types_bind_tighter_than_unions() -> None:
    tree = parse("a as Quantity | b is FHIR.Range")
    assert tree == Binary(
        "|", TypeOperation("as", Member(None, "a"), "Quantity"), TypeOperation("is", Member(None, "b"), "Range")
    )


def test_keywords_are_names_after_a_dot_and_functions_at_a_start() -> None:
    assert parse("expansion.contains.is") == Member(Member(Member(None, "expansion"), "contains"), "is")
    assert parse("as(uri) = '#'") == Binary("=", Call(None, "as", (Member(None, "uri"),)), Literal("#", "string"))
