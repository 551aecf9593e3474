"""From a code to the codes that concept maps make of it, forwards or backwards.

Spec: https://hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fhir_server.definitions.library import Library
from fhir_server.model.formats import Resource
from fhir_server.terminology.membership import Code, Membership
from fhir_server.terminology.problems import check_path, not_told, unknown
from fhir_server.terminology.spelling import is_same

REVERSED: Final[Mapping[str, str]] = {
    "wider": "narrower",
    "narrower": "wider",
    "subsumes": "specializes",
    "specializes": "subsumes",
}
"""https://hl7.org/fhir/R4/valueset-concept-map-equivalence.html: what the target is to the source, read backwards."""

NO_MATCH: Final = frozenset(("unmatched", "disjoint"))
"""Equivalences that say that there is no translation."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be translated, and what is known of it. ``dependencies`` are (property, system, code)."""

    codes: Sequence[Code]
    target_system: str | None = None
    target_set: str | None = None
    source_set: str | None = None
    """The value sets that the code is sought in, and comes from."""
    is_reverse: bool = False
    dependencies: frozenset[tuple[str, str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Match:
    """One translation. ``products`` are further codes that belong to it: (property, code)."""

    equivalence: str
    code: Code | None
    display: str | None
    source: str
    products: tuple[tuple[str, Code, str | None], ...] = ()

    @property
    def is_one(self) -> bool:
        """Whether it is a translation, and not the word that there is none."""
        return self.equivalence not in NO_MATCH and self.code is not None


def translate(library: Library, maps: Sequence[Resource], asked: Asked) -> list[Match]:
    """Return what the maps say of the codes asked about, each match once, in their order."""
    found: dict[tuple[str, Code | None, str], Match] = {}
    for one in maps:
        for code in asked.codes:
            for match in _Walk(library, asked, code).of_map(one, ()):
                found.setdefault((match.equivalence, match.code, match.source), match)
    return list(found.values())


def demanded(library: Library, canonical: str, *, asked: bool = True) -> Resource:
    """Return a concept map. Raises ``NotFound``, or ``Unprocessable`` where it is only used by what is asked for."""
    found = library.find(canonical, "ConceptMap")
    if found is None:
        raise unknown("ConceptMap", canonical, asked=asked)
    return found


@dataclass(frozen=True, slots=True)
class _Walk:
    """The way of one code through concept maps, each of which is passed once."""

    library: Library
    asked: Asked
    code: Code
    passed: set[str] = field(default_factory=set)

    def of_map(self, resource: Resource, path: tuple[str, ...]) -> Iterator[Match]:
        """Yield what one map says of the code; ``path`` are the maps that led to it."""
        asked, url = self.asked, resource.get("url", "")
        check_path(path, url)
        if url and url in self.passed:
            return
        self.passed.add(url)
        near, far = ("target", "source") if asked.is_reverse else ("source", "target")
        if not (_is_about(resource, far, asked.target_set) and _is_about(resource, near, asked.source_set)):
            return
        is_silent = _said(resource, far) is None
        for match in self._of_groups(resource, (*path, url)):
            if asked.target_set is None or not is_silent or _is_in(self.library, asked.target_set, match):
                yield match

    def _of_groups(self, resource: Resource, path: tuple[str, ...]) -> Iterator[Match]:
        asked, code = self.asked, self.code
        for group in resource.get("group", ()):
            if asked.is_reverse:
                if self._is_of(group, "target") and self._is_wanted(group.get("source")):
                    yield from _backwards(group, code, path[-1])
            elif self._is_of(group, "source") and self._is_wanted(group.get("target")):
                there = list(_forwards(group, code, asked, path[-1]))
                yield from there or self._unmapped(group, path)

    def _is_of(self, group: Mapping[str, Any], end: str) -> bool:
        version, wanted = group.get(f"{end}Version"), self.code.version
        is_fitting = wanted is None or version is None or version == wanted
        return is_fitting and is_same(self.library, group.get(end), self.code.system)

    def _is_wanted(self, system: str | None) -> bool:
        return self.asked.target_system is None or is_same(self.library, system, self.asked.target_system)

    def _unmapped(self, group: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Match]:
        """Yield what becomes of the code where a group does not list it."""
        code = self.code
        if any(element.get("code") == code.code for element in group.get("element", ())):
            return
        unmapped = group.get("unmapped", {})
        match unmapped.get("mode"):
            case "provided":
                to = replace(code, system=group.get("target", code.system), version=None)
                yield Match("equal", to, None, path[-1])
            case "fixed":
                to = Code(group.get("target", ""), unmapped.get("code", ""), group.get("targetVersion"))
                yield Match("inexact", to, unmapped.get("display"), path[-1])
            case "other-map":
                other = demanded(self.library, unmapped.get("url", ""), asked=False)
                yield from self.of_map(other, path)


def _is_in(library: Library, value_set: str, match: Match) -> bool:
    """Tell whether a translation is in a value set of which its map says nothing. Raises ``Unprocessable`` where that
    cannot be told."""
    if match.code is None:
        return False
    told = Membership(library).of(value_set, match.code)
    if told.is_member is None:
        raise not_told(f"{match.code.system}|{match.code.code}", value_set, told.reasons)
    return told.is_member


def _forwards(group: Mapping[str, Any], code: Code, asked: Asked, url: str) -> Iterator[Match]:
    for element in group.get("element", ()):
        if element.get("code") != code.code:
            continue
        for target in element.get("target", ()):
            if "equivalence" not in target or not _depends(target, asked):
                continue
            there = target.get("code")
            to = Code(group.get("target", ""), there, group.get("targetVersion")) if there is not None else None
            products = tuple(
                (one["property"], Code(one.get("system", ""), one["value"]), one.get("display"))
                for one in target.get("product", ())
                if one.keys() >= {"property", "value"}
            )
            yield Match(target["equivalence"], to, target.get("display"), url, products)


def _backwards(group: Mapping[str, Any], code: Code, url: str) -> Iterator[Match]:
    """Yield the sources of which a code is the target."""
    for element in group.get("element", ()):
        for target in element.get("target", ()):
            if target.get("code") == code.code and "code" in element and "equivalence" in target:
                source = Code(group.get("source", ""), element["code"], group.get("sourceVersion"))
                equivalence = REVERSED.get(target["equivalence"], target["equivalence"])
                yield Match(equivalence, source, element.get("display"), url)


def _is_about(resource: Resource, end: str, value_set: str | None) -> bool:
    """Tell whether a map comes from, or leads to, a value set, or does not say."""
    said = _said(resource, end)
    return value_set is None or said is None or said.partition("|")[0] == value_set.partition("|")[0]


def _said(resource: Resource, end: str) -> str | None:
    return resource.get(f"{end}Canonical") or resource.get(f"{end}Uri")


def _depends(target: Mapping[str, Any], asked: Asked) -> bool:
    """Tell whether all that a target depends on is said. https://hl7.org/fhir/R4/conceptmap.html#dependson"""
    return all(
        any(
            (element, code) == (one.get("property"), one.get("value")) and one.get("system", system) == system
            for element, system, code in asked.dependencies
        )
        for one in target.get("dependsOn", ())
    )
