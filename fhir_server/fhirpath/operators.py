"""What the operators mean on collections: equality, order, arithmetic, membership, truth.

None stands for the empty collection wherever a boolean is returned.
Spec: http://hl7.org/fhirpath/N1/#operations
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from typing import Any

from fhir_server.fhirpath.item import Environment, EvaluationError, Item
from fhir_server.fhirpath.temporal import TEMPORAL, compare

MAX_TEXT = 4_000_000
"""Characters of a text that an expression makes: more than a resource has."""

_QUANTITIES = frozenset(("Quantity", "Age", "Count", "Distance", "Duration", "Money"))


def truth(items: Sequence[Item]) -> bool | None:
    """Return the boolean of a collection: one item that is not a boolean is true, none is None.

    Spec: http://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections
    """
    if not items:
        return None
    if len(items) > 1:
        raise EvaluationError(f"{len(items)} items where one boolean is needed")
    value = items[0].value
    if value is None:
        return None
    return value if value.__class__ is bool else True


def single(items: Sequence[Item]) -> Item | None:
    """Return the only item of a collection that has a value, None if it is empty."""
    if not items:
        return None
    if len(items) > 1:
        raise EvaluationError(f"{len(items)} items where one is needed")
    return items[0] if items[0].value is not None else None


def text(items: Sequence[Item]) -> str | None:
    """Return the text of a collection of one, None if it is empty or no text."""
    item = single(items)
    return item.value if item is not None and isinstance(item.value, str) else None


def is_number(value: Any) -> bool:
    """Tell whether a value is an integer or a decimal: a boolean is none."""
    return isinstance(value, int | Decimal) and value.__class__ is not bool


def equal(left: Sequence[Item], right: Sequence[Item]) -> bool | None:
    """Return whether two collections have equal items in the same order."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    result: bool | None = True
    for one, other in zip(left, right, strict=True):
        same = equal_items(one, other)
        if same is False:
            return False
        if same is None:
            result = None
    return result


def equal_items(left: Item, right: Item) -> bool | None:
    """Return whether two items are equal; None if one has no value, or precision leaves it open."""
    one, other = left.value, right.value
    if one is None or other is None:
        return None
    if left.type in TEMPORAL and right.type in TEMPORAL:
        if (left.type == "time") != (right.type == "time"):
            return False
        order = compare(str(one), str(other), left.type == "time")
        return None if order is None else order == 0
    if left.type in _QUANTITIES and right.type in _QUANTITIES:
        order = _compare_quantities(one, other)
        return None if order is None else order == 0
    if (one.__class__ is bool) != (other.__class__ is bool):
        return False
    return bool(one == other)


def order(left: Sequence[Item], right: Sequence[Item]) -> int | None:
    """Return -1, 0 or 1 for two collections of one; None if empty, open, or not to be compared."""
    first, second = single(left), single(right)
    if first is None or second is None:
        return None
    one, other = first.value, second.value
    if first.type in TEMPORAL and second.type in TEMPORAL:
        if (first.type == "time") != (second.type == "time"):
            return None
        return compare(str(one), str(other), first.type == "time")
    if first.type in _QUANTITIES and second.type in _QUANTITIES:
        return _compare_quantities(one, other)
    if (is_number(one) and is_number(other)) or (isinstance(one, str) and isinstance(other, str)):
        return int(one > other) - int(one < other)
    return None


def _compare_quantities(one: Any, other: Any) -> int | None:
    """Compare two quantities of the same unit; units are not converted."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return None
    if _unit(one) != _unit(other) or not is_number(one.get("value")) or not is_number(other.get("value")):
        return None
    first, second = one["value"], other["value"]
    return int(first > second) - int(first < second)


def _unit(quantity: dict[str, Any]) -> tuple[Any, Any]:
    if "code" in quantity:
        return quantity.get("system"), quantity["code"]
    return None, quantity.get("unit", quantity.get("currency"))


def key(item: Item) -> Hashable:
    """Return what distinguishes an item from others in a set: its value, numbers and booleans kept apart."""
    value = item.value
    return value if value.__class__ is str else _freeze(value)


def _freeze(value: Any) -> Hashable:
    if isinstance(value, dict):
        return tuple(sorted((name, _freeze(each)) for name, each in value.items()))
    if isinstance(value, list):
        return ("list", *(_freeze(each) for each in value))
    return (value.__class__ is bool, str(value) if value is None or isinstance(value, str) else value)


def remembered_keys(owner: object, items: list[Item], environment: Environment) -> frozenset[Hashable]:
    """Return the keys of a collection that is the same wherever its ``owner`` is evaluated in an environment."""
    found: frozenset[Hashable] | None = environment.memo.get(("keys", owner))
    if found is None:
        found = environment.memo["keys", owner] = frozenset(map(key, items))
    return found


def distinct(items: list[Item]) -> list[Item]:
    """Return a collection without its repetitions, in its order."""
    if len(items) < 2:
        return items
    seen: dict[Hashable, Item] = {}
    for item in items:
        seen.setdefault(key(item), item)
    return list(seen.values())


def add(left: Sequence[Item], right: Sequence[Item]) -> list[Item]:
    """Return the sum of two numbers or the concatenation of two texts; empty if one is empty."""
    one, other = single(left), single(right)
    if one is None or other is None:
        return []
    if isinstance(one.value, str) and isinstance(other.value, str):
        return [Item(joined(one.value, other.value), "string")]
    return _calculate(left, right, operator.add)


def subtract(left: Sequence[Item], right: Sequence[Item]) -> list[Item]:
    """Return the difference of two numbers; empty if one is empty."""
    return _calculate(left, right, operator.sub)


def multiply(left: Sequence[Item], right: Sequence[Item]) -> list[Item]:
    """Return the product of two numbers; empty if one is empty."""
    return _calculate(left, right, operator.mul)


def concatenate(left: Sequence[Item], right: Sequence[Item]) -> list[Item]:
    """Return ``left & right``: an empty collection is the empty text."""
    return [Item(joined(text(left) or "", text(right) or ""), "string")]


def joined(*texts: str) -> str:
    """Return texts as one. Raises ``EvaluationError`` for more than ``MAX_TEXT`` characters."""
    if sum(map(len, texts)) > MAX_TEXT:
        raise EvaluationError(f"a text of more than {MAX_TEXT} characters")
    return "".join(texts)


def _calculate(left: Sequence[Item], right: Sequence[Item], calculation: Callable[[Any, Any], Any]) -> list[Item]:
    one, other = single(left), single(right)
    if one is None or other is None:
        return []
    if not is_number(one.value) or not is_number(other.value):
        raise EvaluationError(f"no arithmetic between {one.type} and {other.type}")
    try:
        value = calculation(one.value, other.value)
    except ArithmeticError as error:
        raise EvaluationError("a number out of range") from error
    return [Item(value, "integer" if isinstance(value, int) else "decimal")]
