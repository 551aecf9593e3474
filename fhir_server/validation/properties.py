"""The checks of properties, made of checks of values: arrays, primitive extensions, references, concepts, rules.

Spec: https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fhir_server.validation.faults import MAX_FAULTS, Check, Fault, Found, Scope, extend, mismatch
from fhir_server.validation.primitives import CHECKS
from fhir_server.validation.references import ReferenceCheck

Rule = Callable[[Any, Any, Scope], Found]
"""The check of the invariants of one type or element: the value, its ``_property``, the scope."""

EMPTY: Final = "received an empty array, expected none or one with items"


def not_an_object(value: Any) -> list[Fault]:
    """Return the fault of a value where one object must be."""
    if value is None:
        return mismatch("structure-null", value, "an object")
    id_ = "cardinality-single" if isinstance(value, list) else "type-object"
    return mismatch(id_, value, "one object")


def ruled_check(one: Check, rules: Rule) -> Check:
    """Return a check of one value with the invariants that are declared on its element."""

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        return one(value, owner, scope) or rules(value, None, scope)

    return check


def list_check(one: Check) -> Check:
    """Return the check of an array of objects."""

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        if type(value) is not list:
            return not_an_array(value)
        if not value:
            return [Fault("empty-array", EMPTY)]
        scope.level += 1
        found: Found = None
        for index, item in enumerate(value):
            faults = one(item, owner, scope)
            if faults:
                found = extend(found, faults, f"[{index}]")
                if len(found) > MAX_FAULTS:
                    break
        scope.level -= 1
        return found

    return check


def primitive_list_check(one: Check, sibling: str) -> Check:
    """Return the check of an array of primitives: null stands where only the sibling array has something."""

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        if type(value) is not list:
            return not_an_array(value)
        if not value:
            return [Fault("empty-array", EMPTY)]
        found: Found = None
        for index, item in enumerate(value):
            if item is None and _stands_at(owner.get(sibling), index):
                continue
            faults = one(item, owner, scope)
            if faults:
                found = extend(found, faults, f"[{index}]")
                if len(found) > MAX_FAULTS:
                    break
        return found

    return check


def not_an_array(value: Any) -> list[Fault]:
    """Return the fault of a value where an array must be."""
    id_ = "structure-null" if value is None else "cardinality-array"
    return mismatch(id_, value, "an array")


def _stands_at(array: Any, index: int) -> bool:
    return type(array) is list and index < len(array) and array[index] is not None


def sibling_check(name: str, is_list: bool, element: Check) -> Check:
    """Return the check of ``_name``: the id and the extensions of the primitive ``name``."""

    def check_one(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        if type(value) is dict and value.keys() == _ID_ONLY and name in owner:
            return CHECKS["string"](value["id"], value, scope)
        return element(value, owner, scope)

    def check_list(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        if type(value) is not list:
            return not_an_array(value)
        if not value:
            return [Fault("empty-array", EMPTY)]
        values: Any = owner.get(name)
        found: Found = None
        if type(values) is list and len(values) != len(value):
            told = f"{len(values)} values, but {len(value)} of _{name}: expected null in the place of what is absent"
            found = [Fault("structure-sibling", told)]
        for index, item in enumerate(value):
            if item is None and type(values) is list and index < len(values):
                continue  # a null there is told of the values
            alone = {name: values[index]} if _stands_at(values, index) else {}
            faults = check_one(item, alone, scope)
            if faults:
                found = extend(found, faults, f"[{index}]")
                if len(found) > MAX_FAULTS:
                    break
        return found

    return check_list if is_list else check_one


_ID_ONLY: Final = frozenset(("id",))


def reference_check(structure: Check, target: ReferenceCheck) -> Check:
    """Return the check of a Reference: its structure, and its target where the literal itself is right."""

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        found = structure(value, owner, scope)
        if found and (type(value) is not dict or any(fault.steps[-1:] in _LITERAL for fault in found)):
            return found
        faults = target(value, scope)
        return found + faults if found and faults else found or faults

    return check


_LITERAL: Final = ([".reference"], [".type"])


def concept_check(structure: Check, codes: Mapping[str, frozenset[str]], value_set: str) -> Check:
    """Return the check of a CodeableConcept: one of its codings at least is of the required value set."""

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        found = structure(value, owner, scope)
        if found:
            return found
        codings = value.get("coding", ())
        if any(coding.get("system") in codes.get(coding.get("code"), ()) for coding in codings):
            return None
        return [Fault("code-required", f"no coding is of {value_set}")]

    return check
