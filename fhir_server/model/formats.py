"""FHIR JSON: bytes to plain values and back, nothing lost. https://hl7.org/fhir/R4/json.html

What is stored must come back as sent. ``json`` alone would rewrite 72.50 as 72.5, so a number that Python would
not print as it was written is kept as a :class:`Decimal` with its text.
"""

from __future__ import annotations

import decimal
import json
import re
from itertools import accumulate
from typing import Any, Final, TypeAlias

from fhir_server.outcome import BadRequest, Issue, IssueType

Json: TypeAlias = Any
"""dict (property order kept), list, str, bool, int, :class:`Decimal`, or None (only inside primitive arrays)."""

Resource: TypeAlias = dict[str, Any]

MAX_DEPTH: Final = 64
"""Levels of objects and arrays; a Bundle with resources with contained resources stays far below."""

_NUMBER_MARK: Final = "\x00"
_MARKED_NUMBER: Final = re.compile(rb'"\\u0000([^"]*)"')
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE_OR_NUL: Final = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")


class Decimal(decimal.Decimal):
    """A JSON number with the text it was written in: its value is exact, its precision kept."""

    text: str

    def __new__(cls, text: str) -> Decimal:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[type[Decimal], tuple[str]]:
        return Decimal, (self.text,)  # another process must see the same text


class _Refused(ValueError):
    """What JSON allows and FHIR does not, found while parsing."""


def parse(data: bytes) -> Json:
    """Return the JSON value of a body.

    Raises ``BadRequest`` for what is not JSON in UTF-8, a duplicate property, NaN and Infinity, U+0000, a lone
    surrogate, or more than ``MAX_DEPTH`` levels. The text of the error never repeats the body.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_json(f"the body is not UTF-8: byte {error.start} cannot be decoded", "json-encoding") from None
    if depth(text) > MAX_DEPTH:
        raise _not_json(f"the body is nested deeper than {MAX_DEPTH} levels", "json-depth")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _not_json(f"the body is not JSON: {_reason(error)} at {where}", "json-syntax") from None
    except _Refused as error:
        raise _not_json(f"the body is not FHIR JSON: {error}", "json-value") from None
    except decimal.InvalidOperation:
        raise _not_json("the body holds a number whose exponent is out of range", "json-value") from None
    except RecursionError:
        raise _not_json(f"the body is nested deeper than {MAX_DEPTH} levels", "json-depth") from None
    if _ESCAPED_SURROGATE_OR_NUL.search(data) or "\x00" in text:
        _refuse_characters(value)
    return value


def serialize(value: Json, *, pretty: bool = False) -> bytes:
    """Return JSON in UTF-8, compact or to be read: the order of properties and the text of numbers as parsed."""
    text = (_PRETTY if pretty else _ENCODER).encode(value).encode()
    if b"\\u0000" in text:
        return _MARKED_NUMBER.sub(rb"\1", text)
    return text


def depth(text: str) -> int:
    """Return an upper bound of the nesting of a JSON text (brackets inside strings are not counted)."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return 0
    # Strings first, then all that is not a bracket: what is left is a sixtieth of a Bundle's text.
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string without end is taken whole: tried again from each of its quotes, it would cost its length squared."""
_NO_BRACKET: Final = re.compile(r"[^\[\]{}]+")
_STEP: Final = {"{": 1, "[": 1, "}": -1, "]": -1}


def _reason(error: json.JSONDecodeError) -> str:
    return error.msg[:1].lower() + error.msg[1:]


def _not_json(diagnostics: str, id_: str) -> BadRequest:
    return BadRequest(Issue(IssueType.STRUCTURE, diagnostics, id=id_))


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Refused(f'the property "{twice[:64]}" stands twice in one object')
    return result


def _constant(name: str) -> Json:
    raise _Refused(f"{name} is not a JSON number")


def _integer(text: str) -> Json:
    # "-0" would lose its sign; int() refuses thousands of digits with a ValueError of its own.
    return Decimal(text) if text == "-0" or len(text) > 18 else int(text)


def _default(value: object) -> str:
    if isinstance(value, Decimal):
        return _NUMBER_MARK + value.text
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse_characters(value: Json) -> None:
    """Raise ``BadRequest`` if a string or property name holds U+0000 or a lone surrogate."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            if "\x00" in item or _SURROGATE.search(item):
                raise _not_json("the body holds U+0000 or half a surrogate pair in a string", "json-character")
        elif isinstance(item, dict):
            todo.extend(item)
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=Decimal, parse_int=_integer, parse_constant=_constant
)
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), default=_default
)
_PRETTY: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, indent=2, default=_default)
