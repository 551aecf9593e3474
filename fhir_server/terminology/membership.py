"""Whether a code is in a value set: yes, no, or not to be told from what is loaded. Nothing is expanded for it.

Spec: https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.definitions.library import Library
from fhir_server.model.formats import Resource
from fhir_server.terminology.budget import Budget
from fhir_server.terminology.code_system import CodeSystem, Concept
from fhir_server.terminology.filters import lets
from fhir_server.terminology.finding import ANY_VERSION, Versions, code_system, value_set
from fhir_server.terminology.problems import check_path
from fhir_server.terminology.spelling import is_same


@dataclass(frozen=True, slots=True)
class Code:
    """A code as it is asked about."""

    system: str
    code: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """``is_member`` is None where it cannot be told, and ``reasons`` say why. ``concept`` is what the code is in its
    system, ``displays`` are the texts that a value set gives it."""

    is_member: bool | None
    reasons: tuple[str, ...] = ()
    concept: Concept | None = None
    displays: tuple[str, ...] = ()


NO: Final = Told(False)


@dataclass
class Membership:
    """Answers for one library. ``versions`` are those of code systems that are meant."""

    library: Library
    versions: Versions = ANY_VERSION
    _path: list[str] = field(default_factory=list)
    _budget: Budget = field(default_factory=Budget)
    _known: dict[str, Told] = field(default_factory=dict)
    """What one question has found out of each value set: many may lead to the same."""

    def of(self, canonical: str, code: Code) -> Told:
        """Return whether a code is in the value set of a canonical URL. Raises ``Unprocessable`` for a definition that
        cannot be followed, ``BadRequest`` for one that takes too much."""
        self._begin()
        return self._of(canonical, code)

    def within(self, resource: Resource, code: Code) -> Told:
        """Return whether a code is in a value set that is at hand. Raises as ``of`` does."""
        self._begin()
        return self._within(resource, code)

    def _begin(self) -> None:
        self._budget = Budget()
        self._known.clear()

    def _of(self, canonical: str, code: Code) -> Told:
        check_path(self._path, canonical)
        if canonical not in self._known:
            self._known[canonical] = self._told(canonical, code)
        return self._known[canonical]

    def _told(self, canonical: str, code: Code) -> Told:
        found = value_set(self.library, canonical)
        if found is None:
            return Told(None, (f"the ValueSet {canonical} is not loaded",))
        self._path.append(canonical)
        try:
            return self._within(found, code)
        finally:
            self._path.pop()

    def _within(self, resource: Resource, code: Code) -> Told:
        compose = resource.get("compose")
        if compose is None:
            return _listed(self.library, resource, code)
        told = _any(self._part(part, code) for part in compose.get("include", ()))
        if told.is_member is False:
            return told
        if compose.get("inactive") is False and told.concept is not None and told.concept.is_inactive:
            return NO
        excluded = _any(self._part(part, code) for part in compose.get("exclude", ()))
        if excluded.is_member:
            return NO
        return told if excluded.is_member is False else Told(None, (*told.reasons, *excluded.reasons), told.concept)

    def _part(self, part: Mapping[str, Any], code: Code) -> Told:
        """Return whether a code is in one include or exclude: in its codes, and in each of its value sets."""
        return _all(self._each(part, code))

    def _each(self, part: Mapping[str, Any], code: Code) -> Iterator[Told]:
        self._budget.spend(1)
        if "system" in part:
            yield self._in_system(part, code)
        for canonical in value_sets(part):
            yield self._of(canonical, code)

    def _in_system(self, part: Mapping[str, Any], code: Code) -> Told:
        if not is_same(self.library, part["system"], code.system) or _differ(part.get("version"), code.version):
            return NO
        system = code_system(self.library, code.system, part.get("version") or code.version, self.versions)
        concept = system.concept(code.code) if system is not None else None
        if "concept" in part:
            names = {code.code} if concept is None else {code.code, concept.code}
            listed = next((one for one in coded(part["concept"]) if one["code"] in names), None)
            return NO if listed is None else Told(True, (), concept, tuple(_displays(listed)))
        if system is None or concept is None:
            return _not_there(code, system)
        filters = part.get("filter", ())
        self._budget.spend(len(system.concepts) * len(filters))
        return Told(lets(system, filters)(concept), (), concept)


def _not_there(code: Code, system: CodeSystem | None) -> Told:
    """Return what can be told of a code that no loaded code system has."""
    if system is None:
        version = f" of version {code.version}" if code.version else ""
        return Told(None, (f"the CodeSystem {code.system}{version} is not loaded",))
    if system.is_complete:
        return NO
    return Told(
        None, (f"the CodeSystem {system.url} is here with content {system.content!r}, not with all of its codes",)
    )


def _listed(library: Library, resource: Resource, code: Code) -> Told:
    """Return whether a code is in the expansion that a value set brings."""
    expansion = resource.get("expansion")
    if expansion is None:
        return Told(None, (f"the ValueSet {resource.get('url', '')} does not say which codes it has",))
    several = 0
    for one in contained(expansion.get("contains", ())):
        several += 1
        is_it = one.get("code") == code.code and not one.get("abstract")
        if is_it and is_same(library, one.get("system"), code.system):
            return Told(True, (), None, tuple(_displays(one)))
    if expansion.get("total", several) > several:
        return Told(None, (f"the ValueSet {resource.get('url', '')} brings a part of its expansion",))
    return NO


def contained(contains: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield all that an expansion contains, at any depth, in its order."""
    for one in contains:
        yield one
        yield from contained(one.get("contains", ()))


def coded(listed: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield what has a code: R4 lets an extension say why a code that is required is missing."""
    return (one for one in listed if "code" in one)


def value_sets(part: Mapping[str, Any]) -> list[str]:
    """Return the canonicals of the value sets of an include or exclude; null is beside an extension."""
    return [canonical for canonical in part.get("valueSet", ()) if canonical is not None]


def _displays(one: Mapping[str, Any]) -> Iterator[str]:
    if "display" in one:
        yield one["display"]
    for designation in one.get("designation", ()):
        if "value" in designation:
            yield designation["value"]


def _differ(first: str | None, second: str | None) -> bool:
    return first is not None and second is not None and first != second


def _any(several: Iterable[Told]) -> Told:
    """Return yes if one says yes, else that it cannot be told if one cannot tell."""
    reasons: dict[str, None] = {}
    is_unsure, concept = False, None
    for told in several:
        if told.is_member:
            return told
        if told.is_member is None:
            is_unsure, concept = True, concept or told.concept
            reasons.update(dict.fromkeys(told.reasons))
    return Told(None, tuple(reasons), concept) if is_unsure else NO


def _all(several: Iterable[Told]) -> Told:
    """Return no if one says no, else that it cannot be told if one cannot tell; of nothing, no."""
    answers: list[Told] = []
    for told in several:
        if told.is_member is False:
            return NO
        answers.append(told)
    if not answers:
        return NO
    reasons = tuple(dict.fromkeys(reason for told in answers for reason in told.reasons))
    concept = next((told.concept for told in answers if told.concept is not None), None)
    displays = tuple(text for told in answers for text in told.displays)
    return Told(None if reasons else True, reasons, concept, displays)
