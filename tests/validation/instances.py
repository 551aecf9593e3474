"""Instances of R4 types, made from the table of elements: what a legal resource can look like.

They keep the structure; invariants are another matter.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from fhir_server.definitions.elements import OPEN_TYPES
from fhir_server.definitions.structures import Element, Structures
from fhir_server.model.formats import parse

LITERALS: dict[str, list[Any]] = {
    name: cases["good"] for name, cases in parse((Path(__file__).parent / "primitives.json").read_bytes()).items()
} | {"xhtml": ['<div xmlns="http://www.w3.org/1999/xhtml">a</div>']}

REASON = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}


class Instances:
    """Makes objects: minimal ones without a source of chance, else full ones down to ``depth``."""

    def __init__(self, structures: Structures, random: Random | None = None, depth: int = 2) -> None:
        self._structures = structures
        self._random = random
        self._depth = depth

    def resource(self, type_: str) -> dict[str, Any]:
        return {"resourceType": type_, **self.object(type_)}

    def object(self, path: str, depth: int = 0) -> dict[str, Any]:
        """Return an object of a type or backbone; never an empty one, but for a resource."""
        made: dict[str, Any] = {}
        for element in self._structures.children(path).values():
            if element.name != "contained" and (element.min or self._wants(element, path, depth)):
                self._add(made, element, depth)
        if made.keys() <= {"id"} and path not in self._structures.resource_types:
            made["extension"] = [dict(REASON)]
        return made

    def add(self, made: dict[str, Any], element: Element) -> None:
        """Put an element into an object."""
        self._add(made, element, 0)

    def _wants(self, element: Element, path: str, depth: int) -> bool:
        if self._random is None or (path == "Extension" and element.name == "extension"):
            return False
        return depth <= self._depth or (depth <= self._depth + 1 and self._random.random() < 0.2)

    def _add(self, made: dict[str, Any], element: Element, depth: int) -> None:
        name, type_ = self._choose(sorted(element.json_names().items()))
        value = self._value(element, type_, depth)
        chance = self._random.random() if self._random else 1.0
        if element.is_backbone or self._structures.kind(type_) != "primitive-type" or type_ == "xhtml" or element.plain:
            made[name] = [value] if element.is_list else value
        elif chance < 0.15:
            made[f"_{name}"] = [{"extension": [REASON]}] if element.is_list else {"extension": [REASON]}
        elif chance < 0.3:
            made[name] = [value] if element.is_list else value
            made[f"_{name}"] = [{"id": "x"}] if element.is_list else {"id": "x"}
        elif chance < 0.4 and element.is_list:
            made[name] = [value, None]
            made[f"_{name}"] = [None, {"extension": [REASON]}]
        else:
            made[name] = [value] if element.is_list else value

    def _value(self, element: Element, type_: str, depth: int) -> Any:
        if element.is_backbone:
            return self.object(element.content or element.path, depth + 1)
        if type_ == "Resource":
            name = self._choose(sorted(LITERALS.keys() - {"xhtml"}))
            return {"resourceType": "Basic", "code": {"text": "a"}, "extension": [self.extension(name)]}
        codes = self._structures.codes(element.value_set) if element.value_set else None
        if codes and type_ in ("code", "CodeableConcept"):
            code = self._choose(sorted(codes))
            return code if type_ == "code" else {"coding": [{"system": min(codes[code]), "code": code}]}
        return self._of_type(type_, element.targets, depth)

    def _of_type(self, type_: str, targets: frozenset[str], depth: int) -> Any:
        if type_ == "Extension":
            return self._extension()
        if type_ == "Reference":
            target = self._choose(sorted(targets))
            return {"reference": "Basic/1" if target == "Resource" else f"{target}/1"}
        if self._structures.kind(type_) == "primitive-type":
            return self._choose(LITERALS[type_])
        return self.object(type_, depth + 1)

    def _extension(self) -> dict[str, Any]:
        if self._random is None or self._random.random() < 0.8:
            return dict(REASON)
        made = {"url": "http://example.org/x"}
        self._add(made, self._structures.element("Extension.value[x]"), self._depth + 2)
        return made

    def extension(self, type_: str) -> dict[str, Any]:
        """Return an extension with a value of an open type."""
        is_primitive = self._structures.kind(type_) == "primitive-type"
        value = self._choose(LITERALS[type_]) if is_primitive else self.object(type_, 1)
        return extension(type_, value)

    def _choose(self, options: list[Any]) -> Any:
        return self._random.choice(options) if self._random else options[0]

    def embed(self, context: str, value: Any) -> dict[str, Any]:
        """Return a resource that holds a value at a type or element path."""
        root, *names = context.split(".")
        for step in range(len(names), 0, -1):
            holder = ".".join([root, *names[: step - 1]])
            element = self._structures.element(f"{holder}.{names[step - 1]}")
            made = self.object(holder)
            made[element.name] = [value] if element.is_list else value
            value = made
        if root in self._structures.resource_types:
            return {"resourceType": root, **value}
        return self._carry(root, value)

    def _carry(self, type_: str, value: Any) -> dict[str, Any]:
        basic = self.resource("Basic")
        if type_ == "Narrative":
            return {**basic, "text": value}
        if type_ == "Extension":
            return {**basic, "extension": [value]}
        if type_ == "ElementDefinition":
            return {**self.resource("StructureDefinition"), "differential": {"element": [value]}}
        assert type_ in OPEN_TYPES, type_
        return {**basic, "extension": [extension(type_, value)]}


def extension(type_: str, value: Any) -> dict[str, Any]:
    return {"url": "http://example.org/x", f"value{type_[0].upper()}{type_[1:]}": value}
