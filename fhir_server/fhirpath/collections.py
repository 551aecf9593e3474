"""Functions on whole collections: existence, counting, subsetting, combining.

Spec: http://hl7.org/fhirpath/N1/#existence, http://hl7.org/fhirpath/N1/#subsetting
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.fhirpath import operators
from fhir_server.fhirpath.compiled import INTEGER, Compiled, boolean, collection
from fhir_server.fhirpath.item import Environment, EvaluationError, Item
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


def _part(cut: Callable[[list[Item], int], list[Item]]) -> Callable[[Compiled, list[Compiled]], Compiled]:
    def build(source: Compiled, arguments: list[Compiled]) -> Compiled:
        (number,) = arguments

        def evaluate(this: list[Item], environment: Environment) -> list[Item]:
            at = operators.single(number.evaluate(this, environment))
            if at is None or at.value.__class__ is not int:
                return []
            return cut(source.evaluate(this, environment), max(at.value, 0))

        return collection(evaluate, source.types, source, number)

    return build


skip = _part(lambda items, number: items[number:])
take = _part(lambda items, number: items[:number])


def only(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``single()``: the one item; an error of several."""
    evaluate = source.evaluate

    def one(this: list[Item], environment: Environment) -> list[Item]:
        items = evaluate(this, environment)
        if len(items) > 1:
            raise EvaluationError(f"{len(items)} items where there must be one")
        return items

    return collection(one, source.types, source)


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


def any_true(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``anyTrue()``: whether an item is true."""
    evaluate = source.evaluate
    return boolean(lambda this, environment: any(item.value is True for item in evaluate(this, environment)), source)


def any_false(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``anyFalse()``: whether an item is false."""
    evaluate = source.evaluate
    return boolean(lambda this, environment: any(item.value is False for item in evaluate(this, environment)), source)


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


def exclude(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``exclude(other)``: the items that are not in the other collection."""
    (other,) = arguments

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        keys = set(map(key, other.evaluate(this, environment)))
        return [item for item in source.evaluate(this, environment) if key(item) not in keys]

    return collection(evaluate, source.types, source, other)


def subset_of(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``subsetOf(other)``: whether all items are in the other collection; true of none."""
    return _within(source, arguments[0], source, arguments[0])


def superset_of(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``supersetOf(other)``: whether all items of the other collection are in this one; true of none."""
    return _within(arguments[0], source, source, arguments[0])


def _within(inner: Compiled, outer: Compiled, *parts: Compiled) -> Compiled:
    def test(this: list[Item], environment: Environment) -> bool:
        keys = set(map(key, outer.evaluate(this, environment)))
        return all(key(item) in keys for item in inner.evaluate(this, environment))

    return boolean(test, *parts)


def trace(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return the source as it is: nothing of a resource is ever printed or logged."""
    return source
