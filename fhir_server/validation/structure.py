"""The structure of R4 types, compiled: from a table of elements to one closure per type and backbone.

A closure is made the first time a value of its type is met. It looks each property up in a dict of checks; the
definitions are not read again.
Spec: https://hl7.org/fhir/R4/json.html, https://hl7.org/fhir/R4/conformance-rules.html#cardinality
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from fhir_server.definitions.structures import Element, Structures
from fhir_server.model.formats import MAX_DEPTH
from fhir_server.validation import primitives
from fhir_server.validation.faults import MAX_FAULTS, Check, Fault, Found, Scope, extend, property_step
from fhir_server.validation.properties import (
    Rule,
    concept_check,
    list_check,
    not_an_object,
    primitive_list_check,
    reference_check,
    ruled_check,
    sibling_check,
)
from fhir_server.validation.references import ReferenceCheck

MAX_NESTED: Final = 2
"""Contained resources, each a Bundle or Parameters, around one that contains others: each costs a walk through it."""

Rules = Callable[[str, str], Rule | None]
"""From a type or element path, and the type of its values, to the check of the invariants declared there."""


class _Shape(NamedTuple):
    """What a closure of an object knows. ``required``: step, one name, all names; ``choices``: step, names."""

    properties: Mapping[str, tuple[Check, str]]
    required: tuple[tuple[str, str, frozenset[str]], ...]
    choices: tuple[tuple[str, frozenset[str]], ...]
    rules: Rule | None


class StructureChecks:
    """The closures of all types of some structures; each is made once."""

    def __init__(self, structures: Structures, rules: Rules) -> None:
        self._structures = structures
        self._rules = rules
        self._objects: dict[str, Check] = {}

    def of(self, path: str) -> Check:
        """Return the check of objects of a complex type, resource type or backbone (``Appointment.participant``)."""
        found = self._objects.get(path)
        if found is None:
            found = self._objects[path] = self._object_check(path)
        return found

    def _object_check(self, path: str) -> Check:
        shape: _Shape | None = None
        is_resource = path in self._structures.resource_types

        def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
            nonlocal shape
            if type(value) is not dict:
                return not_an_object(value)
            if not value or (len(value) == 1 and "id" in value and not is_resource):
                return [Fault("empty-object", "received an object without content")]
            if scope.level >= MAX_DEPTH:
                return [Fault("structure-depth", f"nested deeper than {MAX_DEPTH} levels")]
            if shape is None:
                shape = self._shape(path)
            scope.level += 1
            found: Found = None
            for name, child in value.items():
                known = shape.properties.get(name)
                if known is None:
                    found = extend(found, [_unknown(name, path)], property_step(name))
                else:
                    faults = known[0](child, value, scope)
                    if not faults:
                        continue
                    found = extend(found, faults, known[1])
                if len(found) > MAX_FAULTS:
                    break
            else:
                found = _check_together(shape, path, value, scope, found)
            scope.level -= 1
            return found

        return check

    def _shape(self, path: str) -> _Shape:
        properties: dict[str, tuple[Check, str]] = {}
        required = []
        choices = []
        if path in self._structures.resource_types:
            properties["resourceType"] = (_accept, ".resourceType")
        for element in self._structures.children(path).values():
            names = element.json_names()
            for name, type_ in names.items():
                stem = element.name.removesuffix("[x]")
                step = f".{stem}.ofType({type_})" if element.is_choice else f".{stem}"
                properties[name] = (self._property(element, name, type_), step)
                if self._has_sibling(element, type_):
                    properties[f"_{name}"] = (sibling_check(name, element.is_list, self.of("Element")), step)
            step, first = f".{element.name.removesuffix('[x]')}", next(iter(names))
            both = frozenset(names) | {f"_{name}" for name in names}
            if element.min:
                required.append((step, first, both))
            if element.is_choice:
                choices.append((step, both))
        return _Shape(properties, tuple(required), tuple(choices), self._rules(path, path))

    def _has_sibling(self, element: Element, type_: str) -> bool:
        is_primitive = not element.is_backbone and self._structures.kind(type_) == "primitive-type"
        return is_primitive and not element.plain and type_ != "xhtml"

    def _property(self, element: Element, name: str, type_: str) -> Check:
        """Return the check of a property, whatever JSON stands there."""
        one = self._value(element, type_)
        rules = None if element.is_backbone else self._rules(element.path, type_)
        if rules is not None:
            one = ruled_check(one, rules)
        if not element.is_list:
            return one
        if self._has_sibling(element, type_):
            return primitive_list_check(one, f"_{name}")
        return list_check(one)

    def _value(self, element: Element, type_: str) -> Check:
        """Return the check of one value of an element."""
        if element.is_backbone:
            return self.of(element.content or element.path)
        if type_ == "Resource":
            return self._contained if element.name == "contained" else self._own_resource
        value_set = element.value_set or ""
        codes = self._structures.codes(value_set) or {}
        if type_ == "Reference":
            return reference_check(self.of(type_), ReferenceCheck(element.targets, self._structures.resource_types))
        if self._structures.kind(type_) == "primitive-type":
            is_bound = codes and type_ == "code"
            return primitives.code_check(codes, value_set) if is_bound else primitives.CHECKS[type_]
        if codes and type_ == "CodeableConcept":
            return concept_check(self.of(type_), codes, value_set)
        return self.of(type_)

    def _own_resource(self, value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        """Check a resource that stands on its own inside another, in a Bundle or in Parameters."""
        if type(value) is not dict:
            return not_an_object(value)
        type_ = value.get("resourceType")
        if type(type_) is not str or type_ not in self._structures.resource_types:
            return [wrong_type(value, type_)]
        if not scope.entries and scope.root["resourceType"] == "Bundle":
            return None
        return self.of(type_)(value, owner, scope.inside(value))

    def _contained(self, value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        """Check a contained resource: its references are resolved in the resource that contains it."""
        if type(value) is not dict:
            return not_an_object(value)
        type_ = value.get("resourceType")
        if type(type_) is not str or type_ not in self._structures.resource_types:
            return [wrong_type(value, type_)]
        if scope.resource is not scope.root:
            return None  # told as dom-2; else each level would walk through all that are below it
        if scope.nested >= MAX_NESTED:
            return [Fault("structure-depth", f"more than {MAX_NESTED} contained resources around a contained one")]
        outer = scope.enter(value)
        found = self.of(type_)(value, owner, scope)
        scope.enter(outer)
        return extend(found, [fault], "") if (fault := _check_id(value, owner["contained"], scope)) else found


def wrong_type(value: dict[str, Any], type_: Any) -> Fault:
    """Return the fault of a resource whose ``resourceType`` is not of R4."""
    if "resourceType" not in value:
        return Fault("structure-resource-type", "resourceType is missing")
    received = "a string that is no resource type of R4" if isinstance(type_, str) else "no string"
    return Fault("structure-resource-type", f"received {received}, expected a resource type", ".resourceType")


def _check_id(value: dict[str, Any], contained: list[Any], scope: Scope) -> Fault | None:
    if "id" not in value:
        return Fault("contained-id", "a contained resource without id: nothing can refer to it")
    if scope.first_with_id(contained, value["id"]) is not value:
        return Fault("contained-id-duplicate", "another contained resource has this id", ".id")
    return None


def _leaves_rules(fault: Fault) -> bool:
    """Return whether rules between elements can be evaluated beside this fault."""
    return fault.id.startswith(_SOFT)


_SOFT: Final = (
    "cardinality-min", "code-", "contained-", "format-", "invariant-", "reference-", "string-", "structure-unknown-",
)  # fmt: skip


def _accept(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
    return None


def _unknown(name: str, path: str) -> Fault:
    if name == "resourceType":
        return Fault("structure-unknown-element", f"{path} is a data type: it has no resourceType")
    return Fault("structure-unknown-element", f"{path} has no such property in R4")


def _missing(name: str, path: str) -> Fault:
    return Fault("cardinality-min", f"missing, {path} must have it")


def _check_together(shape: _Shape, path: str, value: dict[str, Any], scope: Scope, found: Found) -> Found:
    """Check what the properties of an object are together; ``found`` is what they are one by one."""
    for step, name, names in shape.required:
        if name not in value and names.isdisjoint(value):
            found = extend(found, [_missing(name, path)], step)
    for step, names in shape.choices:
        found = _check_choice(value, step, names, found)
    if shape.rules is not None and (found is None or all(map(_leaves_rules, found))):
        faults = shape.rules(value, None, scope)
        if faults:
            found = faults if found is None else found + faults
    return found


def _check_choice(value: dict[str, Any], step: str, names: frozenset[str], found: Found) -> Found:
    present = names.intersection(value)
    if len(present) > 1 and len({name.removeprefix("_") for name in present}) > 1:
        listed = ", ".join(sorted(present))
        return extend(found, [Fault("structure-choice", f"received {listed}, expected one type only")], step)
    return found
