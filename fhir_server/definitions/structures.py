"""The structure of R4's types: which elements each has, which codes they take, which invariants they keep.

Types are read from ``r4/`` the first time they are asked for; the answers are kept.
Spec: https://hl7.org/fhir/R4/resourcelist.html, https://hl7.org/fhir/R4/datatypes.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import Literal, cast

from fhir_server.definitions.elements import Element, Invariant, parse_element
from fhir_server.definitions.tables import R4, expand_value_set, read_blocks, read_lines

__all__ = ["Element", "Invariant", "Kind", "Structures"]

Kind = Literal["primitive-type", "complex-type", "resource"]


@dataclass(frozen=True, slots=True)
class _Type:
    """A block of the tables: a type as it is written, not yet read."""

    kind: Kind
    base: str | None
    is_abstract: bool
    lines: list[str]


class Structures:
    """The types of R4. Ask ``load`` for them: they fill themselves as types are asked for.

    ``types`` are all type codes, abstract ones included; ``resource_types`` all types a resource can have.
    """

    def __init__(self, types: Mapping[str, _Type]) -> None:
        self._types = types
        self._children: dict[str, Mapping[str, Element]] = {}
        self._read: set[str] = set()
        self.types = frozenset(types)
        self.resource_types = frozenset(
            name for name, type_ in types.items() if type_.kind == "resource" and not type_.is_abstract
        )

    @classmethod
    @cache
    def load(cls) -> Structures:
        """Return R4's structures, always the same ones: the blocks of all types, cut but not read."""
        types: dict[str, _Type] = {}
        for file in ("datatypes.txt", "resources.txt"):
            for head, lines in read_blocks(R4 / file):
                kind, name, *rest = head.split()
                base = rest[1] if rest[:1] == [":"] else None
                types[name] = _Type(cast(Kind, kind), base, "abstract" in rest, lines)
        return cls(types)

    def kind(self, type_code: str) -> Kind:
        """Return the kind of a type. Raises ``KeyError`` for an unknown one."""
        return self._types[type_code].kind

    def base(self, type_code: str) -> str | None:
        """Return the type that this one specialises: ``code`` → ``string`` → ``Element`` → None."""
        return self._types[type_code].base

    def is_a(self, type_code: str, ancestor: str) -> bool:
        """Return whether a type is ``ancestor`` or specialises it. A backbone path is a BackboneElement."""
        current: str | None = type_code
        if "." in type_code:
            owner = self._types.get(type_code.partition(".")[0])
            current = "BackboneElement" if owner and owner.kind == "resource" else "Element"
        while current is not None:
            if current == ancestor:
                return True
            entry = self._types.get(current)
            current = entry.base if entry else None
        return False

    def children(self, path: str) -> Mapping[str, Element]:
        """Return the elements under a type name or a backbone path, by name (``value[x]``), in R4's order.

        The path of a content reference (``Bundle.entry.link``) gives the children of its content. Primitive types
        have ``id`` and ``extension``. Raises ``KeyError`` for an unknown path and for an element that has a type:
        ask for its type then.
        """
        found = self._children.get(path)
        if found is None:
            self._read_type(path.partition(".")[0])
            found = self._children[path]
        return found

    def element(self, path: str) -> Element:
        """Return the element at a path: ``Slot.schedule``. Raises ``KeyError``."""
        parent, _, name = path.rpartition(".")
        return self.children(parent)[name]

    def codes(self, value_set: str) -> Mapping[str, frozenset[str]] | None:
        """Return code → systems of a value set that R4 binds as required, None if it cannot be listed."""
        return self._codes.get(value_set)

    @property
    def value_sets(self) -> Iterable[str]:
        """The value sets that ``codes`` lists."""
        return self._codes.keys()

    def invariants(self, path: str) -> tuple[Invariant, ...]:
        """Return the invariants declared on an element path; for a type, on it and on the types it specialises."""
        if path not in self._types:
            return self._invariants.get(path, ())
        base = self._types[path].base
        inherited = self.invariants(base) if base else ()
        return inherited + self._invariants.get(path, ())

    def invariant_contexts(self) -> Iterator[str]:
        """Yield every type and element path that declares an invariant."""
        yield from self._invariants

    def _read_type(self, name: str) -> None:
        if name in self._read:
            return
        type_ = self._types[name]
        found: dict[str, dict[str, Element]] = {name: self._inherit(type_.base, name) if type_.base else {}}
        parents = [name]
        for line in type_.lines:
            depth = len(line) - len(line.lstrip(" "))
            del parents[depth:]
            element = parse_element(line, parents[-1])
            found[parents[-1]][element.name] = element
            parents.append(element.path)
            if element.is_backbone and element.content is None:
                found[element.path] = self._inherit(element.types[0], element.path)
        for path, children in found.items():
            self._children[path] = MappingProxyType(children)
        for children in found.values():
            for element in children.values():
                if element.content is not None:
                    self._children[element.path] = self._children[element.content]
        self._read.add(name)

    def _inherit(self, base: str, path: str) -> dict[str, Element]:
        return {name: replace(element, path=f"{path}.{name}") for name, element in self.children(base).items()}

    @cached_property
    def _codes(self) -> Mapping[str, Mapping[str, frozenset[str]]]:
        found: dict[str, dict[str, set[str]]] = {}
        for line in read_lines(R4 / "codes.txt"):
            if line[0] != " ":
                codes = found.setdefault(expand_value_set(line), {})
            else:
                system, *listed = line.split()
                for code in listed:
                    codes.setdefault(code, set()).add(system)
        return {
            value_set: MappingProxyType({code: frozenset(systems) for code, systems in codes.items()})
            for value_set, codes in found.items()
        }

    @cached_property
    def _invariants(self) -> Mapping[str, tuple[Invariant, ...]]:
        found: dict[str, tuple[Invariant, ...]] = {}
        lines = iter(read_lines(R4 / "invariants.txt"))
        for head, expression in zip(lines, lines, strict=True):
            key, severity, *contexts = head.split()
            for context in contexts:
                found[context] = (*found.get(context, ()), Invariant(key, severity, expression[1:]))
        return found
