"""Operators that answer true, false or nothing: three-valued logic, equality, order, membership.

Spec: http://hl7.org/fhirpath/N1/#boolean-logic, http://hl7.org/fhirpath/N1/#equality
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fhir_server.fhirpath.compiled import Compiled, boolean
from fhir_server.fhirpath.item import Environment, Item
from fhir_server.fhirpath.operators import equal, equal_items, order, remembered_keys, single
from fhir_server.fhirpath.temporal import TEMPORAL

_MANY: Final = 8
"""From so many items on, membership looks texts up in a set."""


def _and(left: Compiled, right: Compiled) -> Compiled:
    first, second = left.test, right.test

    def test(this: list[Item], environment: Environment) -> bool | None:
        one = first(this, environment)
        if one is False:
            return False
        other = second(this, environment)
        return False if other is False else None if one is None or other is None else True

    return boolean(test, left, right)


def _or(left: Compiled, right: Compiled) -> Compiled:
    first, second = left.test, right.test

    def test(this: list[Item], environment: Environment) -> bool | None:
        one = first(this, environment)
        if one is True:
            return True
        other = second(this, environment)
        return True if other is True else None if one is None or other is None else False

    return boolean(test, left, right)


def _xor(left: Compiled, right: Compiled) -> Compiled:
    first, second = left.test, right.test

    def test(this: list[Item], environment: Environment) -> bool | None:
        one, other = first(this, environment), second(this, environment)
        return None if one is None or other is None else one is not other

    return boolean(test, left, right)


def _implies(left: Compiled, right: Compiled) -> Compiled:
    first, second = left.test, right.test

    def test(this: list[Item], environment: Environment) -> bool | None:
        one = first(this, environment)
        if one is False:
            return True
        other = second(this, environment)
        if one is True:
            return other
        return True if other is True else None

    return boolean(test, left, right)


def _equality(wanted: bool) -> Callable[[Compiled, Compiled], Compiled]:
    def compile_equality(left: Compiled, right: Compiled) -> Compiled:
        first, second = left.evaluate, right.evaluate

        def test(this: list[Item], environment: Environment) -> bool | None:
            same = equal(first(this, environment), second(this, environment))
            return None if same is None else same is wanted

        return boolean(test, left, right)

    return compile_equality


def _inequality(wanted: tuple[int, ...]) -> Callable[[Compiled, Compiled], Compiled]:
    def compile_inequality(left: Compiled, right: Compiled) -> Compiled:
        first, second = left.evaluate, right.evaluate

        def test(this: list[Item], environment: Environment) -> bool | None:
            difference = order(first(this, environment), second(this, environment))
            return None if difference is None else difference in wanted

        return boolean(test, left, right)

    return compile_inequality


LOGIC: Final[dict[str, Callable[[Compiled, Compiled], Compiled]]] = {
    "and": _and,
    "or": _or,
    "xor": _xor,
    "implies": _implies,
    "=": _equality(True),
    "!=": _equality(False),
    "<": _inequality((-1,)),
    "<=": _inequality((-1, 0)),
    ">": _inequality((1,)),
    ">=": _inequality((1, 0)),
}


def compile_membership(element: Compiled, among: Compiled) -> Compiled:
    """Return ``element in among``; a constant collection is put into a set once for each environment."""
    first, second = element.evaluate, among.evaluate

    def test(this: list[Item], environment: Environment) -> bool | None:
        item = single(first(this, environment))
        if item is None:
            return None
        items = second(this, environment)
        if among.is_constant and len(items) >= _MANY and item.value.__class__ is str and item.type not in TEMPORAL:
            return item.value in remembered_keys(second, items, environment)
        return any(equal_items(item, other) for other in items)

    return boolean(test, element, among)
