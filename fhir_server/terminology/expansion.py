"""The codes of a value set, one after the other: what it includes, without what it excludes.

Includes are united; the value sets of one include are intersected with each other and with its codes.
Spec: https://hl7.org/fhir/R4/valueset.html#expansion
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

from fhir_server.definitions.library import Library
from fhir_server.model.formats import Resource
from fhir_server.model.text import fold
from fhir_server.terminology.budget import Budget
from fhir_server.terminology.code_system import CodeSystem, Concept
from fhir_server.terminology.displays import texts
from fhir_server.terminology.filters import lets
from fhir_server.terminology.finding import ANY_VERSION, Versions, code_system, demanded
from fhir_server.terminology.membership import coded, contained, value_sets
from fhir_server.terminology.problems import bad_definition, check_path, not_complete, unknown
from fhir_server.terminology.spelling import meant

_folded: Final = lru_cache(maxsize=100_000)(fold)
"""Who looks for a code while typing asks for the same texts again and again."""


@dataclass(frozen=True, slots=True)
class Member:
    """One code of an expansion. ``concept`` is None where its code system is not loaded."""

    system: str
    code: str
    version: str | None = None
    display: str | None = None
    designations: tuple[Mapping[str, Any], ...] = ()
    concept: Concept | None = None
    language: str | None = None
    """The language of the display, where it is known."""
    is_abstract: bool = False
    is_inactive: bool = False


Members: TypeAlias = dict[tuple[str, str], Member]


@dataclass
class Expander:
    """Expands value sets of one library; what was used, and what is only a part, is known afterwards."""

    library: Library
    versions: Versions = ANY_VERSION
    excluded_systems: frozenset[str] = frozenset()
    """What is not wanted of any value set."""
    used: dict[str, None] = field(default_factory=dict)
    """The canonicals of the code systems that were read."""
    fragments: dict[str, None] = field(default_factory=dict)
    """Those of them that have a part of their codes only."""
    _path: list[str] = field(default_factory=list)
    _known: dict[str, Members] = field(default_factory=dict)
    _budget: Budget = field(default_factory=Budget)
    _unwanted: frozenset[str] = field(init=False)
    """The systems excluded, by the URLs they are compared by."""

    def __post_init__(self) -> None:
        self._unwanted = frozenset(meant(self.library, one) for one in self.excluded_systems)

    def of(self, canonical: str, *, asked: bool = False) -> Members:
        """Return the codes of the value set of a canonical URL, in order. Raises ``NotFound`` where it is ``asked``
        for and not loaded, ``Unprocessable`` for what cannot be expanded, ``BadRequest`` for what is too much."""
        check_path(self._path, canonical)
        if canonical not in self._known:
            found = demanded(self.library, canonical, asked=asked)
            self._path.append(canonical)
            try:
                self._known[canonical] = self.within(found)
            finally:
                self._path.pop()
        return self._known[canonical]

    def within(self, resource: Resource) -> Members:
        """Return the codes of a value set that is at hand."""
        compose = resource.get("compose")
        if compose is None:
            return self._given(resource)
        found: Members = {}
        for part in compose.get("include", ()):
            for key, member in self._part(part).items():
                found.setdefault(key, member)
        for part in compose.get("exclude", ()):
            self._exclude(part, found)
        if compose.get("inactive") is False:
            found = {key: member for key, member in found.items() if not member.is_inactive}
        return found

    def _given(self, resource: Resource) -> Members:
        """Return the expansion that a value set brings."""
        url, expansion = resource.get("url", ""), resource.get("expansion")
        if expansion is None:
            raise bad_definition(f"the ValueSet {url} does not say which codes it has: no compose, no expansion")
        listed = list(contained(expansion.get("contains", ())))
        if expansion.get("total", len(listed)) > len(listed):
            self.fragments[url] = None
        self._budget.spend(len(listed))
        members = (
            Member(
                one.get("system", ""),
                one["code"],
                one.get("version"),
                one.get("display"),
                tuple(one.get("designation", ())),
                is_abstract=one.get("abstract", False),
                is_inactive=one.get("inactive", False),
            )
            for one in listed
            if "code" in one and not self._is_unwanted(one.get("system", ""))
        )
        return self._keyed(members)

    # --- include, exclude

    def _keyed(self, members: Iterable[Member]) -> Members:
        """Return members by what they are compared as: a value set may spell a system otherwise than another does."""
        urls: dict[str, str] = {}
        found: Members = {}
        for member in members:
            if member.system not in urls:
                urls[member.system] = meant(self.library, member.system)
            found[urls[member.system], member.code] = member
        return found

    def _is_unwanted(self, system: str) -> bool:
        return bool(self._unwanted) and meant(self.library, system) in self._unwanted

    def _part(self, part: Mapping[str, Any]) -> Members:
        self._budget.spend(1)
        sets = [self.of(canonical) for canonical in value_sets(part)]
        if "system" in part:
            found = self._keyed(self._of_system(part))
        elif sets:
            found = dict(sets.pop(0))
        else:
            raise bad_definition("an include of a ValueSet has neither system nor valueSet")
        self._budget.spend(len(found) * len(part.get("valueSet", ())))
        return {key: member for key, member in found.items() if all(key in other for other in sets)}

    def _exclude(self, part: Mapping[str, Any], found: Members) -> None:
        if not {"concept", "filter", "valueSet"} & part.keys():  # all of a system, which need not be known for that
            self._budget.spend(1 + len(found))
            system = meant(self.library, part["system"]) if "system" in part else None
            excluded = [key for key in found if key[0] == system]
        else:
            excluded = list(self._part(part))
        for key in excluded:
            found.pop(key, None)

    def _of_system(self, part: Mapping[str, Any]) -> Iterator[Member]:
        url = part["system"]
        if self._is_unwanted(url):
            return
        system = code_system(self.library, url, part.get("version"), self.versions)
        if system is not None:
            self.used[system.canonical] = None
        if "concept" in part:
            self._budget.spend(len(part["concept"]))
            for one in coded(part["concept"]):
                yield _listed(one, url, part.get("version"), system)
            return
        if system is None:
            raise unknown("CodeSystem", f"{url}|{part['version']}" if "version" in part else url, asked=False)
        yield from self._chosen(system, part)

    def _chosen(self, system: CodeSystem, part: Mapping[str, Any]) -> Iterator[Member]:
        """Yield the concepts of a code system that the filters of an include let through, all without filters."""
        if system.content in {"not-present", "example"}:
            raise not_complete(system.url, system.content)
        if not system.is_complete:
            self.fragments[system.canonical] = None
        filters = part.get("filter", ())
        self._budget.spend(len(system.concepts) * (len(filters) or 1))
        is_let = lets(system, filters)
        for concept in system.concepts.values():
            if is_let(concept):
                yield _member(concept, system)


def _member(concept: Concept, system: CodeSystem) -> Member:
    return Member(
        system.url,
        concept.code,
        system.version,
        concept.display,
        concept.designations,
        concept,
        system.language,
        concept.is_abstract,
        concept.is_inactive,
    )


def _listed(one: Mapping[str, Any], url: str, version: str | None, system: CodeSystem | None) -> Member:
    """Return a code that a value set lists: what it says of it comes before what the code system says."""
    concept = system.concept(one["code"]) if system is not None else None
    designations = tuple(one.get("designation", ()))
    if system is None or concept is None:
        return Member(url, one["code"], version, one.get("display"), designations)
    member = _member(concept, system)
    return Member(
        url,
        one["code"],
        member.version,
        one.get("display", member.display),
        (*designations, *member.designations),
        concept,
        None if "display" in one else member.language,
        member.is_abstract,
        member.is_inactive,
    )


def narrowed(members: Members, text: str | None, *, is_active: bool, is_selectable: bool) -> list[Member]:
    """Return the members of which each word of a text begins a word of the code or of one of its displays.

    ``is_active``: only those that may be used; ``is_selectable``: without those that only group others.
    """
    words = _folded(text).split() if text else []
    return [
        member
        for member in members.values()
        if not (is_active and member.is_inactive)
        and not (is_selectable and member.is_abstract)
        and _fits(member, words)
    ]


def _fits(member: Member, words: Sequence[str]) -> bool:
    if not words:
        return True
    there = [f" {_folded(text)}" for text in (member.code, *texts(member.display, member.designations))]
    return all(any(f" {word}" in text for text in there) for word in words)
