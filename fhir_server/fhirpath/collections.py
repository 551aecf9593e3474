"""Functions on whole collections: existence, counting, subsetting, combining.

Spec: http://hl7.org/fhirpath/N1/#existence, http://hl7.org/fhirpath/N1/#subsetting
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.fhirpath import operators
from fhir_server.fhirpath.compiled import INTEGER, Compiled, boolean, collection
from fhir_server.fhirpath.item import Environment, Item
from fhir_server.fhirpath.operators import key, remembered_keys


def empty(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``empty()``: whether there is no item."""
    evaluate = source.evaluate
    return boolean(lambda this, environment: not evaluate(this, environment), source)


def negation(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``not()``: the opposite of one boolean, empty of none."""
    inner = source.test

    def test(this: list[Item], environment: Environment) -> bool | None:
        value = inner(this, environment)
        return None if value is None else not value

    return boolean(test, source)


def count(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``count()``: how many items there are."""
    evaluate = source.evaluate
    return collection(lambda this, environment: [Item(len(evaluate(this, environment)), "integer")], INTEGER, source)


def _slice(part: slice) -> Callable[[Compiled, list[Compiled]], Compiled]:
    def build(source: Compiled, arguments: list[Compiled]) -> Compiled:
        evaluate = source.evaluate
        return collection(lambda this, environment: evaluate(this, environment)[part], source.types, source)

    return build


first = _slice(slice(0, 1))
last = _slice(slice(-1, None))
tail = _slice(slice(1, None))


def distinct(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``distinct()``: each item once, in the order of the first ones."""
    evaluate = source.evaluate
    return collection(lambda this, environment: operators.distinct(evaluate(this, environment)), source.types, source)


def is_distinct(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``isDistinct()``: whether no two items are equal."""
    evaluate = source.evaluate

    def test(this: list[Item], environment: Environment) -> bool:
        items = evaluate(this, environment)
        return len(set(map(key, items))) == len(items)

    return boolean(test, source)


def all_true(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``allTrue()``: whether all items are true; true of none."""
    evaluate = source.evaluate
    return boolean(lambda this, environment: all(item.value is True for item in evaluate(this, environment)), source)


def all_false(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``allFalse()``: whether all items are false; true of none."""
    evaluate = source.evaluate
    return boolean(lambda this, environment: all(item.value is False for item in evaluate(this, environment)), source)


def combine(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``combine(other)``: the items of both, equal ones kept."""
    (other,) = arguments
    first_part, second_part = source.evaluate, other.evaluate
    types = None if source.types is None or other.types is None else source.types | other.types

    def both(this: list[Item], environment: Environment) -> list[Item]:
        return environment.counted(first_part(this, environment) + second_part(this, environment))

    return collection(both, types, source, other)


def intersect(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``intersect(other)``: the items that are in both, each once."""
    (other,) = arguments
    first_part, second_part = source.evaluate, other.evaluate

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        others = second_part(this, environment)
        keys = remembered_keys(second_part, others, environment) if other.is_constant else set(map(key, others))
        items = operators.distinct(first_part(this, environment))
        return [item for item in items if key(item) in keys]

    return collection(evaluate, source.types, source, other)


def trace(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return the source as it is: nothing of a resource is ever printed or logged."""
    return source
