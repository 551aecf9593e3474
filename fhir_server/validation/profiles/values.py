"""Fixed values, patterns and bounds of values.

Spec: https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.fixed_x_
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from fhir_server.fhirpath.temporal import TEMPORAL, compare

_NUMBERS: Final = frozenset(("decimal", "integer", "positiveInt", "unsignedInt"))


def choice(definition: Mapping[str, Any], stem: str) -> tuple[str, Any] | None:
    """Return the type name and value of ``fixed[x]`` and the like, None if the element has none."""
    for name, value in definition.items():
        if name.startswith(stem) and name[len(stem) : len(stem) + 1].isupper():
            return name[len(stem) :], value
    return None


def equals(value: Any, fixed: Any) -> bool:
    """Tell whether a value is exactly the fixed one: the same properties, the same items in the same order."""
    if isinstance(fixed, dict):
        return (
            isinstance(value, dict)
            and value.keys() == fixed.keys()
            and all(equals(value[name], part) for name, part in fixed.items())
        )
    if isinstance(fixed, list):
        return isinstance(value, list) and len(value) == len(fixed) and all(map(equals, value, fixed))
    return isinstance(value, bool) == isinstance(fixed, bool) and bool(value == fixed)


def has(value: Any, pattern: Any) -> bool:
    """Tell whether a value has all that a pattern has: for each item of an array some item."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and has(value[name], part) for name, part in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(has(one, part) for one in value) for part in pattern)
    return equals(value, pattern)


def order(value: Any, bound: Any, type_: str) -> int | None:
    """Return -1, 0 or 1 as a value is below, at or above a bound; None if they cannot be compared."""
    if type_ == "Quantity" and isinstance(value, dict) and isinstance(bound, dict):
        same = all(value.get(name) == bound.get(name) for name in ("system", "code"))
        return order(value.get("value"), bound.get("value"), "decimal") if same else None
    if type_ in _NUMBERS:
        one, other = _number(value), _number(bound)
        return None if one is None or other is None else (one > other) - (one < other)
    if type_ in TEMPORAL and isinstance(value, str) and isinstance(bound, str):
        return compare(value, bound, type_ == "time")
    return None


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        return Decimal(value)
    except InvalidOperation:
        return None
