"""Functions on texts, and conversions.

A regular expression matches anywhere in the text unless it has ``^`` and ``$``, and ``.`` matches any character.
Those of others run on RE2, which takes time in proportion to the text: ``docs/decisions/0017-regular-expressions.md``.
Spec: http://hl7.org/fhirpath/N1/#string-manipulation, http://hl7.org/fhirpath/N1/#conversion
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import re2

from fhir_server.fhirpath.compiled import INTEGER, STRING, Compiled, boolean, collection
from fhir_server.fhirpath.item import Environment, EvaluationError, ExpressionError, Item
from fhir_server.fhirpath.narrative import is_safe_xhtml
from fhir_server.fhirpath.operators import joined, single, text
from fhir_server.fhirpath.temporal import TEMPORAL

_BOUNDED_BYTES: Final = 1_000_000
"""What a regular expression of others may take."""

_REPLACED: Final = 10
"""How much more than an item each character costs where it may be replaced."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@lru_cache(maxsize=256)
def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise EvaluationError(f"not a regular expression: {error}") from error


@lru_cache(maxsize=256)
def _bounded(pattern: str) -> re.Pattern[str]:
    options = re2.Options()
    options.dot_nl, options.log_errors, options.max_mem = True, False, _BOUNDED_BYTES
    try:
        compiled: re.Pattern[str] = re2.compile(pattern, options)
    except re2.error as error:
        raise EvaluationError("not a regular expression of RE2") from error
    return compiled


def _chosen(pattern: str, environment: Environment) -> re.Pattern[str]:
    """Return a regular expression, ready to run: one of R4 as it is, one of others within bounds."""
    return _regex(pattern) if environment.budget is None else _bounded(pattern)


def _check_regex(argument: Compiled) -> None:
    """Compile a regular expression that is written out, so that a wrong one is an error now."""
    if not argument.is_constant or argument.types != STRING:
        return
    nothing = Item(None, "Element")
    pattern = text(argument.evaluate([], Environment(nothing, nothing)))
    try:
        _regex(pattern or "")
    except EvaluationError as error:
        raise ExpressionError(str(error)) from error


def _text_test(decide: Callable[[str, str, Environment], bool]) -> Callable[[Compiled, list[Compiled]], Compiled]:
    def build(source: Compiled, arguments: list[Compiled]) -> Compiled:
        (argument,) = arguments

        def test(this: list[Item], environment: Environment) -> bool | None:
            value = text(source.evaluate(this, environment))
            other = text(argument.evaluate(this, environment))
            return None if value is None or other is None else decide(value, other, environment)

        return boolean(test, source, argument)

    return build


starts_with = _text_test(lambda value, other, _: value.startswith(other))
ends_with = _text_test(lambda value, other, _: value.endswith(other))
contains = _text_test(lambda value, other, _: other in value)
_matches = _text_test(lambda value, pattern, environment: _chosen(pattern, environment).search(value) is not None)


def matches(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``matches(regex)``: whether the text matches the regular expression."""
    _check_regex(arguments[0])
    return _matches(source, arguments)


def replace_matches(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``replaceMatches(pattern, substitution)``; groups are written ``$1``."""
    pattern, substitution = arguments
    _check_regex(pattern)

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        parts = [text(part.evaluate(this, environment)) for part in (source, pattern, substitution)]
        value, regex, new = parts
        if value is None or regex is None or new is None:
            return []
        environment.spend(_REPLACED * len(value))
        template = re.sub(r"\$([0-9])", r"\\g<\1>", new.replace("\\", "\\\\"))
        try:
            return [Item(joined(_chosen(regex, environment).sub(template, value)), "string")]
        except (re.error, re2.error, IndexError) as error:
            raise EvaluationError(f"replaceMatches: {error}") from error

    return collection(evaluate, STRING, source, pattern, substitution)


def substring(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``substring(start [, length])``; a start outside the text gives nothing."""

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        value = text(source.evaluate(this, environment))
        numbers = [single(argument.evaluate(this, environment)) for argument in arguments]
        if value is None or any(number is None or number.value.__class__ is not int for number in numbers):
            return []
        start, *length = (number.value for number in numbers if number is not None)
        if not 0 <= start < len(value):
            return []
        return [Item(value[start : start + max(length[0], 0) if length else None], "string")]

    return collection(evaluate, STRING, source, *arguments)


def _changed(change: Callable[[str], str]) -> Callable[[Compiled, list[Compiled]], Compiled]:
    def build(source: Compiled, arguments: list[Compiled]) -> Compiled:
        def evaluate(this: list[Item], environment: Environment) -> list[Item]:
            value = text(source.evaluate(this, environment))
            return [] if value is None else [Item(change(value), "string")]

        return collection(evaluate, STRING, source)

    return build


lower = _changed(str.lower)
upper = _changed(str.upper)


def index_of(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``indexOf(part)``: where a part of the text begins, -1 if it is none."""
    (argument,) = arguments

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        value, part = text(source.evaluate(this, environment)), text(argument.evaluate(this, environment))
        return [] if value is None or part is None else [Item(value.find(part), "integer")]

    return collection(evaluate, INTEGER, source, argument)


def replace(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``replace(pattern, substitution)``: the text with each occurrence of a part replaced."""

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        value, part, new = (text(one.evaluate(this, environment)) for one in (source, *arguments))
        if value is None or part is None or new is None:
            return []
        environment.spend(_REPLACED * len(value))
        return [Item(joined(value.replace(part, new)), "string")]

    return collection(evaluate, STRING, source, *arguments)


def length(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``length()``: how many characters the text has."""

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        value = text(source.evaluate(this, environment))
        return [] if value is None else [Item(len(value), "integer")]

    return collection(evaluate, INTEGER, source)


def to_string(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``toString()``: the item as text; empty for what has none."""

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        item = single(source.evaluate(this, environment))
        if item is None or isinstance(item.value, dict | list):
            return []
        value = item.value
        return [Item(str(value).lower() if value.__class__ is bool else str(value), "string")]

    return collection(evaluate, STRING, source)


def to_integer(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``toInteger()``: the item as an integer; empty for what is none."""

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        item = single(source.evaluate(this, environment))
        value = None if item is None or item.type in TEMPORAL else item.value
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            return [Item(int(value), "integer")]
        return [Item(int(value), "integer")] if isinstance(value, int) else []

    return collection(evaluate, INTEGER, source)


def html_checks(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``htmlChecks()``: the rules of txt-1 and txt-2 on a narrative."""

    def test(this: list[Item], environment: Environment) -> bool | None:
        value = text(source.evaluate(this, environment))
        return None if value is None else is_safe_xhtml(value)

    return boolean(test, source)
