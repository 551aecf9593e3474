"""What a search parameter's expression leads to: the types of the elements that carry its values.

Spec: https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.structures import Element, Structures
from fhir_server.fhirpath.item import ExpressionError
from fhir_server.fhirpath.parser import parse
from fhir_server.fhirpath.syntax import Binary, Call, Index, Member, Node, TypeOperation

_BOOLEAN_CALLS: Final = frozenset(("exists", "empty", "not", "all", "hasValue"))
_SAME_ITEMS: Final = frozenset(("where", "first", "last", "distinct", "tail"))


CODED: Final = frozenset(("code", "Coding", "CodeableConcept"))
"""Types whose values are codes of a code system."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A type that a value may have. ``type`` is a type code, or a path for a backbone element.

    ``value_set`` is the one that a code is bound to as required. ``is_single``: a resource has one at most.
    """

    type: str
    value_set: str | None = None
    is_single: bool = True


@lru_cache(maxsize=8192)
def leaves(parameter: SearchParameter, type: str, structures: Structures) -> tuple[Leaf, ...]:
    """Return the types that the values of a parameter may have on a resource type; empty if that cannot be told."""
    try:
        node = parse(parameter.expression)
    except ExpressionError:
        return ()
    found = _Walk(type, structures).follow(node)
    return tuple(dict.fromkeys(found)) if found is not None else ()


def is_single(found: tuple[Leaf, ...]) -> bool:
    """Return whether a resource has one value at most: one element, nowhere a list, or one element's choice."""
    return bool(found) and all(leaf.is_single for leaf in found)


def is_instant(found: tuple[Leaf, ...]) -> bool:
    """Return whether all values are instants: points in time."""
    return bool(found) and all(leaf.type == "instant" for leaf in found)


def codes_of(found: tuple[Leaf, ...], structures: Structures) -> Mapping[str, frozenset[str]] | None:
    """Return code → systems where every value is a code of a listed value set, else None."""
    merged: dict[str, frozenset[str]] = {}
    for leaf in found:
        codes = structures.codes(leaf.value_set) if leaf.type == "code" and leaf.value_set else None
        if codes is None:
            return None
        for code, systems in codes.items():
            merged[code] = merged.get(code, frozenset()) | systems
    return merged or None


class _Walk:
    """Follows one expression over the structures. None means: cannot be told."""

    def __init__(self, type_: str, structures: Structures) -> None:
        self.root = Leaf(type_)
        self.structures = structures

    def follow(self, node: Node) -> list[Leaf] | None:  # noqa: PLR0911 a line for each kind of node
        match node:
            case Member(source, name):
                return self._member(source, name)
            case Call(source, name, arguments):
                return self._call(source, name, arguments)
            case TypeOperation("as", operand, type_):
                return _only(self.follow(operand), type_)
            case Binary("|", left, right):
                return self._union(self.follow(left), self.follow(right))
            case Binary("and" | "or" | "xor" | "=" | "!=" | "in" | "contains" | "<" | "<=" | ">" | ">=", _, _):
                return [Leaf("boolean")]
            case TypeOperation("is", _, _):
                return [Leaf("boolean")]
            case Index(source, _):
                found = self.follow(source)
                return None if found is None else [Leaf(leaf.type, leaf.value_set) for leaf in found]
        return None

    def _member(self, source: Node | None, name: str) -> list[Leaf] | None:
        if source is None:
            if name == self.root.type or name in ("Resource", "DomainResource"):
                return [self.root]
            return self._children([self.root], name)
        found = self.follow(source)
        return None if found is None else self._children(found, name)

    def _children(self, parents: Iterable[Leaf], name: str) -> list[Leaf] | None:
        found: list[Leaf] = []
        for parent in parents:
            try:
                children = self.structures.children(parent.type)
            except KeyError:
                return None
            element = children.get(name) or children.get(f"{name}[x]")
            if element is not None:
                found.extend(_leaves_of(element, parent.is_single))
        return found or None

    def _call(self, source: Node | None, name: str, arguments: tuple[Node, ...]) -> list[Leaf] | None:
        if name in _BOOLEAN_CALLS:
            return [Leaf("boolean")]
        if name == "extension":
            parents = [self.root] if source is None else self.follow(source)
            return None if parents is None else [Leaf("Extension", is_single=False)]
        if source is None:
            return None
        if name in ("as", "ofType") and len(arguments) == 1 and isinstance(arguments[0], Member):
            return _only(self.follow(source), arguments[0].name)
        if name in _SAME_ITEMS:
            return self.follow(source)
        return None

    def _union(self, left: list[Leaf] | None, right: list[Leaf] | None) -> list[Leaf] | None:
        if left is None or right is None:
            return None
        return [Leaf(leaf.type, leaf.value_set, is_single=False) for leaf in left + right]


def _only(found: list[Leaf] | None, type_: str) -> list[Leaf] | None:
    if found is None:
        return None
    return [leaf for leaf in found if leaf.type == type_] or None


def _leaves_of(element: Element, parent_is_single: bool) -> Iterable[Leaf]:
    is_single_ = parent_is_single and not element.is_list
    if element.is_backbone:
        yield Leaf(element.content or element.path, is_single=is_single_)
        return
    for type_ in element.types:
        yield Leaf(type_, element.value_set, is_single_)
