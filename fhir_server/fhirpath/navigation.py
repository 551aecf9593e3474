"""From an item to its children: one closure for each type and name, made once.

A name of FHIRPath stands for one JSON property (``status``), for one of several (``value`` for ``valueString``,
``valueCode`` …), and for the ``_property`` beside a primitive.
Spec: https://hl7.org/fhir/R4/fhirpath.html#types, https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from fhir_server.definitions.structures import Element, Structures
from fhir_server.fhirpath.item import Item

Hop = Callable[[Item, list[Item]], None]
"""Appends the children of one name to a collection."""

_FEW = 4
"""Choices of up to so many types are looked up one by one, others through the properties that are there."""


class Navigator:
    """The children of every type, found lazily."""

    def __init__(self, structures: Structures) -> None:
        self.structures = structures
        self._primitives = frozenset(type_ for type_ in structures.types if structures.kind(type_) == "primitive-type")
        self._elements: dict[str, Mapping[str, Element]] = {}
        self._hops: dict[tuple[str, str], Hop | None] = {}
        self._properties: dict[str, dict[str, Hop]] = {}

    def element(self, type_: str, name: str) -> Element | None:
        """Return the element that a name of FHIRPath means on a type, ``value`` for ``value[x]``."""
        return self._by_name(type_).get(name)

    def child_types(self, type_: str, name: str) -> frozenset[str] | None:
        """Return the types a child may have, None if the type has no such child."""
        element = self.element(type_, name)
        return None if element is None else frozenset(self.item_types(element))

    def item_types(self, element: Element) -> tuple[str, ...]:
        """Return the types of an element's items: a backbone's type is its path."""
        if element.is_backbone:
            return (element.content or element.path,)
        return element.types

    def is_primitive(self, type_: str) -> bool:
        """Tell whether a type of FHIR is a primitive one."""
        return type_ in self._primitives

    def property(self, type_: str, name: str) -> str | None:
        """Return the JSON property of a child that is always one complex type: it can be walked through raw."""
        element = self.element(type_, name)
        if element is None or element.is_choice:
            return None
        (child,) = self.item_types(element)
        return None if child == "Resource" or self.is_primitive(child) or self.is_primitive(type_) else name

    def hop(self, type_: str, name: str) -> Hop | None:
        """Return the closure for a child, None if the type has no such child."""
        key = (type_, name)
        if key not in self._hops:
            element = self.element(type_, name)
            hop = None if element is None else self._make_hop(element)
            if hop is not None and self.is_primitive(type_):
                hop = _below_primitive(hop)
            self._hops[key] = hop
        return self._hops[key]

    def children(self, item: Item, found: list[Item]) -> None:
        """Append all children of an item, in the order of its JSON."""
        value = item.extras if self.is_primitive(item.type) else item.value
        if value.__class__ is not dict:
            return
        hops = self._hops_by_property(item.type)
        plain = Item(value, item.type)
        for name in value:
            hop = hops.get(name)
            if hop is not None and not (name[0] == "_" and name[1:] in value):
                hop(plain, found)

    def _by_name(self, type_: str) -> Mapping[str, Element]:
        found = self._elements.get(type_)
        if found is None:
            try:
                elements = self.structures.children(type_)
            except KeyError:
                elements = {}
            found = {name.removesuffix("[x]"): element for name, element in elements.items()}
            self._elements[type_] = found
        return found

    def _hops_by_property(self, type_: str) -> dict[str, Hop]:
        found = self._properties.get(type_)
        if found is None:
            found = {}
            for element in self._by_name(type_).values():
                for name, code in element.json_names().items():
                    child = self.item_types(element)[0] if element.is_backbone else code
                    found[name] = found["_" + name] = self._single(name, child, element.plain)
            self._properties[type_] = found
        return found

    def _make_hop(self, element: Element) -> Hop:
        if not element.is_choice:
            return self._single(element.name, self.item_types(element)[0], element.plain)
        hops = {name: self._single(name, code, element.plain) for name, code in element.json_names().items()}
        if len(hops) <= _FEW:
            return _each(tuple(hops.values()))
        return _present({**hops, **{"_" + name: hop for name, hop in hops.items()}})

    def _single(self, name: str, type_: str, plain: bool) -> Hop:
        if type_ == "Resource":
            return _resource(name, self.structures.resource_types)
        return _primitive(name, type_, plain) if self.is_primitive(type_) else _complex(name, type_)


@lru_cache(maxsize=4)
def navigator(structures: Structures) -> Navigator:
    """Return the navigator of some structures, always the same one."""
    return Navigator(structures)


def _complex(name: str, type_: str) -> Hop:
    def hop(item: Item, found: list[Item]) -> None:
        value = item[0]
        child = value.get(name) if value.__class__ is dict else None
        if child is None:
            return
        if child.__class__ is list:
            found.extend([Item(each, type_) for each in child])
        else:
            found.append(Item(child, type_))

    return hop


def resource_item(value: dict[str, Any], known: frozenset[str]) -> Item:
    """Return a resource as an item: of the type it says, or ``Resource`` if that is no type of R4."""
    type_ = value.get("resourceType")
    return Item(value, type_ if type_.__class__ is str and type_ in known else "Resource")


def _resource(name: str, known: frozenset[str]) -> Hop:
    def hop(item: Item, found: list[Item]) -> None:
        value = item[0]
        child = value.get(name) if value.__class__ is dict else None
        each = child if child.__class__ is list else (child,)
        found.extend([resource_item(one, known) for one in each if one.__class__ is dict])

    return hop


def _primitive(name: str, type_: str, plain: bool) -> Hop:
    beside = "_" + name

    def hop(item: Item, found: list[Item]) -> None:
        value = item[0]
        if value.__class__ is not dict:
            return
        child = value.get(name)
        extras = None if plain else value.get(beside)
        if child.__class__ is list or extras.__class__ is list:
            _pair(child, extras, type_, found)
        elif child is not None or extras is not None:
            found.append(Item(child, type_, extras))

    return hop


def _pair(values: Any, extras: Any, type_: str, found: list[Item]) -> None:
    """Append a repeated primitive: two arrays of one length, null where one has nothing."""
    first: list[Any] = values if isinstance(values, list) else []
    second: list[Any] = extras if isinstance(extras, list) else []
    for position in range(max(len(first), len(second))):
        value = first[position] if position < len(first) else None
        extra = second[position] if position < len(second) else None
        if value is not None or extra is not None:
            found.append(Item(value, type_, extra))


def _each(hops: tuple[Hop, ...]) -> Hop:
    def hop(item: Item, found: list[Item]) -> None:
        for one in hops:
            one(item, found)

    return hop


def _present(hops: dict[str, Hop]) -> Hop:
    def hop(item: Item, found: list[Item]) -> None:
        value = item[0]
        if value.__class__ is not dict:
            return
        for name in value:
            one = hops.get(name)
            if one is not None and not (name[0] == "_" and name[1:] in value):
                one(item, found)

    return hop


def _below_primitive(below: Hop) -> Hop:
    def hop(item: Item, found: list[Item]) -> None:
        if item.extras is not None:
            below(Item(item.extras, item.type), found)

    return hop
