"""FHIR JSON: what comes back is what was sent; what is no FHIR JSON is refused."""

from __future__ import annotations

import json
import pickle
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.model.formats import MAX_DEPTH, Decimal, depth, parse, serialize
from fhir_server.outcome import BadRequest

NUMBERS = ["0", "-0", "1", "-1", "72.50", "0.0", "-0.0", "1E2", "1e-7", "1.0E+2", "3.141592653589793238462643383279"]
NUMBERS += ["123456789012345678", "1234567890123456789", "9" * 5000, "1E400", "1E-400", "2147483648", "0E0"]

REFUSED: list[tuple[bytes, str]] = [
    (b"", "json-syntax"),
    (b" ", "json-syntax"),
    (b"{", "json-syntax"),
    (b'{"a":1', "json-syntax"),
    (b'{"a":1} {"b":2}', "json-syntax"),
    (b'{"a":1,}', "json-syntax"),
    (b"[1,]", "json-syntax"),
    (b"{'a':1}", "json-syntax"),
    (b"{a:1}", "json-syntax"),
    (b'{"a":01}', "json-syntax"),
    (b'{"a":.5}', "json-syntax"),
    (b'{"a":1.}', "json-syntax"),
    (b'{"a":+1}', "json-syntax"),
    (b'{"a":0x10}', "json-syntax"),
    (b'{"a":nan}', "json-syntax"),
    (b'{"a":True}', "json-syntax"),
    (b'{"a":"\t"}', "json-syntax"),
    (b'{"a":"\x00"}', "json-syntax"),
    (b'{"a":"\\x41"}', "json-syntax"),
    (b'{"a":"\\u12"}', "json-syntax"),
    (b'// a\n{"a":1}', "json-syntax"),
    (b'{"a":NaN}', "json-value"),
    (b'{"a":Infinity}', "json-value"),
    (b'{"a":-Infinity}', "json-value"),
    (b'{"a":1E9999999999999999999}', "json-value"),
    (b'{"a":1E-9999999999999999999}', "json-value"),
    (b'{"a":1,"a":1}', "json-value"),
    (b'{"b":{"a":1,"c":2,"a":3}}', "json-value"),
    (b'{"a":1,"\\u0061":1}', "json-value"),
    (b'{"a":"\\u0000"}', "json-character"),
    (b'{"\\u0000":1}', "json-character"),
    (b'{"a":["\\u00001.0"]}', "json-character"),
    (b'{"a":"\\ud800"}', "json-character"),
    (b'{"a":"\\udc00\\ud800"}', "json-character"),
    (b'{"\\uD83C":1}', "json-character"),
    (b'{"a":"Andr\xe9"}', "json-encoding"),
    (b'{"a":"\xed\xa0\x80"}', "json-encoding"),
    ('{"a":1}'.encode("utf-16"), "json-encoding"),
    (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "json-depth"),
    (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "json-depth"),
    (b"[" * 1_000_000, "json-depth"),
]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers().map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True).filter(str.isascii),
)


@st.composite
def bodies(draw: st.DrawFn, level: int = 0) -> str:
    """Draw compact JSON text."""
    kind = draw(
        st.sampled_from(["number", "text", "word"] if level > 3 else ["number", "text", "word", "list", "dict"])
    )
    if kind == "number":
        return draw(numbers)
    if kind == "text":
        return json.dumps(draw(texts), ensure_ascii=False)
    if kind == "word":
        return draw(st.sampled_from(["true", "false", "null"]))
    if kind == "list":
        return "[" + ",".join(draw(st.lists(bodies(level + 1), max_size=3))) + "]"
    members = draw(st.dictionaries(texts, bodies(level + 1), max_size=3))
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{value}" for name, value in members.items()) + "}"


@given(bodies())
def test_body_comes_back_as_sent(body: str) -> None:
    assert serialize(parse(body.encode())).decode() == body


@pytest.mark.parametrize("number", NUMBERS)
def test_number_keeps_its_text(number: str) -> None:
    body = f'{{"a":{number},"b":[{number}]}}'.encode()
    assert serialize(parse(body)) == body
    assert serialize(pickle.loads(pickle.dumps(parse(body)))) == body  # noqa: S301 made on the line itself


def test_order_of_properties_is_kept() -> None:
    body = b'{"z":1,"a":{"y":2,"b":3},"resourceType":"Slot"}'
    assert serialize(parse(body)) == body


def test_escapes_mean_their_characters() -> None:
    assert parse(b'"\\u00e9\\ud83c\\udfe5\\u0041\\n\\/"') == "é🏥A\n/"
    assert parse('"é🏥\u2028"'.encode()) == "é🏥\u2028"


def test_text_that_looks_like_an_escape_is_text() -> None:
    body = rb'["\\u0000","\\u00001.0","\\ud800","\"\\u0000","a\"\\u00001\""]'
    assert serialize(parse(body)) == body


def test_byte_order_mark_is_skipped() -> None:
    assert parse(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize(("body", "id_"), REFUSED, ids=lambda value: repr(value)[:40])
def test_what_is_not_fhir_json_is_refused(body: bytes, id_: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse(body)
    assert [issue.id for issue in refusal.value.issues] == [id_]


def test_refusal_does_not_repeat_values() -> None:
    for body in (b'{"family":"Exemple",}', b'{"family":"Exemple","family":"Exemple"}', b'["Exemple\\ud800"]'):
        with pytest.raises(BadRequest) as refusal:
            parse(body)
        assert "Exemple" not in refusal.value.issues[0].diagnostics


@pytest.mark.parametrize(
    "body", ["[" * MAX_DEPTH + "]" * MAX_DEPTH, '["' + "[" * 100 + '"]', '["\\"' + "{" * 100 + '"]']
)
def test_brackets_in_strings_are_not_depth(body: str) -> None:
    assert serialize(parse(body.encode())).decode() == body


@given(bodies())
def test_depth_is_never_less_than_that_of_the_value(body: str) -> None:
    padded = "[" + "[],".join([""] * (MAX_DEPTH + 1)) + body + "]"
    assert depth(padded) == 1 + max(1, nesting(parse(body.encode())))


def nesting(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(nesting, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(nesting, value), default=0)
    return 0


@pytest.mark.parametrize("piece", ['\\"', '"', "\\", "a", "["])
def test_depth_of_a_string_without_end_takes_linear_time(piece: str) -> None:
    began = time.perf_counter()
    depth("[" * (MAX_DEPTH + 1) + '"' + piece * 200_000)
    assert time.perf_counter() - began < 2


def test_decimal_is_exact() -> None:
    assert parse(b"0.1") + parse(b"0.2") == parse(b"0.3")
    assert isinstance(parse(b"72.50"), Decimal)
    assert type(parse(b"72")) is int


def test_what_is_not_json_cannot_be_serialized() -> None:
    with pytest.raises(TypeError):
        serialize({"a": {1, 2}})
    with pytest.raises(ValueError, match="Out of range"):
        serialize({"a": float("nan")})
