"""A code system made ready: its concepts by code, and which is below which.

The hierarchy is that of nested concepts together with that of the properties ``parent`` and ``child``.
Spec: https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.model.formats import Decimal, Resource

_PROPERTIES: Final = "http://hl7.org/fhir/concept-properties#"
"""https://hl7.org/fhir/R4/codesystem-concept-properties.html"""

_INACTIVE: Final = frozenset((("inactive", "true"), ("status", "inactive"), ("status", "retired")))
"""The properties, and their values, that say so."""


@dataclass(frozen=True, slots=True)
class Concept:
    """One concept. ``properties`` are (code, type of the value, value): ``("kind", "code", "a")``.

    An inactive one must not be used any more, an abstract one only groups others.
    """

    code: str
    display: str | None
    definition: str | None
    designations: tuple[Mapping[str, Any], ...]
    properties: tuple[tuple[str, str, Any], ...]
    is_inactive: bool
    is_abstract: bool

    def values(self, property: str) -> list[str]:
        """Return the values of a property as texts; of a Coding its code."""
        return [text_of(value) for code, _, value in self.properties if code == property]


def text_of(value: Any) -> str:
    """Return the value of a property as a filter writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value.get("code", ""))
    return value.text if isinstance(value, Decimal) else str(value)


class CodeSystem:
    """The concepts of a CodeSystem resource."""

    def __init__(self, resource: Resource) -> None:
        """Take a resource that is valid R4."""
        self.resource = resource
        self.url: str = resource.get("url", "")
        self.version: str | None = resource.get("version")
        self.content: str = resource.get("content", "not-present")
        self.language: str | None = resource.get("language")
        self.properties: Mapping[str, Mapping[str, Any]] = {
            one["code"]: one for one in resource.get("property", ()) if "code" in one
        }
        self.concepts: dict[str, Concept] = {}
        self._parents: dict[str, dict[str, None]] = {}
        self._children: dict[str, dict[str, None]] = {}
        for parent, concept in _nested(resource.get("concept", ())):
            self.concepts.setdefault(concept.code, concept)
            if parent is not None:
                self._link(parent, concept.code)
        self._link_properties()
        self._folded = (
            {code.casefold(): code for code in reversed(self.concepts)}
            if resource.get("caseSensitive") is False
            else {}
        )

    @property
    def is_complete(self) -> bool:
        """Whether a code that is not here is no code of it."""
        return self.content == "complete"

    @property
    def canonical(self) -> str:
        """Its URL, with its version if it has one."""
        return f"{self.url}|{self.version}" if self.version else self.url

    def concept(self, code: str) -> Concept | None:
        """Return the concept of a code, whatever the case of its letters where that does not count."""
        return self.concepts.get(code) or self.concepts.get(self._folded.get(code.casefold(), ""))

    def parents(self, code: str) -> list[str]:
        """Return the codes directly above."""
        return list(self._parents.get(code, ()))

    def children(self, code: str) -> list[str]:
        """Return the codes directly below."""
        return list(self._children.get(code, ()))

    def ancestors(self, code: str) -> frozenset[str]:
        """Return all codes above."""
        return _reachable(code, self._parents)

    def descendants(self, code: str) -> frozenset[str]:
        """Return all codes below."""
        return _reachable(code, self._children)

    def meaning(self, property: str) -> str:
        """Return the name by which R4 knows a property of this code system: ``parent`` for one defined as that."""
        uri = str(self.properties.get(property, {}).get("uri", ""))
        return uri.removeprefix(_PROPERTIES) if uri.startswith(_PROPERTIES) else property

    def _link(self, parent: str, child: str) -> None:
        self._children.setdefault(parent, {})[child] = None
        self._parents.setdefault(child, {})[parent] = None

    def _link_properties(self) -> None:
        for concept in self.concepts.values():
            for code, _, value in concept.properties:
                meaning = self.meaning(code)
                if meaning == "parent":
                    self._link(text_of(value), concept.code)
                elif meaning == "child":
                    self._link(concept.code, text_of(value))


def _nested(concepts: Iterable[Mapping[str, Any]], parent: str | None = None) -> Iterator[tuple[str | None, Concept]]:
    """Yield each concept with the one that it stands in, in the order of the resource; one without a code is none."""
    for one in concepts:
        if "code" not in one:
            continue
        concept = _concept(one)
        yield parent, concept
        yield from _nested(one.get("concept", ()), concept.code)


def _concept(one: Mapping[str, Any]) -> Concept:
    properties = tuple(_properties(one.get("property", ())))
    said = {(code, text_of(value)) for code, _, value in properties}
    return Concept(
        one["code"],
        one.get("display"),
        one.get("definition"),
        tuple(one.get("designation", ())),
        properties,
        not _INACTIVE.isdisjoint(said),
        ("notSelectable", "true") in said,
    )


def _properties(given: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    for one in given:
        for name, value in one.items():
            if name.startswith("value") and "code" in one:
                type_ = name.removeprefix("value")
                yield one["code"], type_ if type_ == "Coding" else type_[:1].lower() + type_[1:], value


def _reachable(start: str, links: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return what links lead to, without the start; links that go in a circle are followed once."""
    found: set[str] = set()
    todo = [start]
    while todo:
        for code in links.get(todo.pop(), ()):
            if code not in found:
                found.add(code)
                todo.append(code)
    return frozenset(found - {start})
