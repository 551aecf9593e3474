"""Whether a coded value is a code of a value set or code system, with the display that it says it has.

Spec: https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fhir_server.definitions.library import Library
from fhir_server.model.formats import Resource
from fhir_server.terminology.code_system import Concept
from fhir_server.terminology.displays import display, is_one_of, texts
from fhir_server.terminology.finding import ANY_VERSION, Versions, code_system, concepts_of
from fhir_server.terminology.membership import Code, Membership, Told
from fhir_server.terminology.spelling import is_same, otherwise


@dataclass(frozen=True, slots=True)
class Coded:
    """A code as a client says it: with a display, or without."""

    code: Code
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """How to judge. ``languages``: in which to tell the display; ``takes_abstract``: whether codes that only group
    others are valid."""

    languages: Sequence[str] = ()
    takes_abstract: bool = False
    versions: Versions = field(default_factory=lambda: ANY_VERSION)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``is_valid`` is None where it cannot be told. ``display`` is the one that the code has; ``system`` is
    the URL by which its code system was understood, None where that is the one that was said."""

    is_valid: bool | None
    message: str | None = None
    display: str | None = None
    system: str | None = None


def in_value_set(library: Library, value_set: Resource | str, several: Sequence[Coded], wish: Wish) -> Verdict:
    """Return whether one of several codings of a concept is in a value set: the resource, or its canonical URL.

    Raises ``Unprocessable`` for a definition that cannot be followed.
    """
    membership = Membership(library, wish.versions)

    def told(coded: Coded) -> Told:
        if isinstance(value_set, str):
            return membership.of(value_set, coded.code)
        return membership.within(value_set, coded.code)

    named = value_set if isinstance(value_set, str) else value_set.get("url")
    return _first_valid(library, several, told, f"the ValueSet {named or 'given'}", wish)


def in_code_system(library: Library, resource: Resource | None, several: Sequence[Coded], wish: Wish) -> Verdict:
    """Return whether one of several codings of a concept is a code of its system, which may be given."""

    def told(coded: Coded) -> Told:
        code = coded.code
        if resource is None:
            system = code_system(library, code.system, code.version, wish.versions)
        else:
            system = concepts_of(resource)
        if system is None:
            version = f"|{code.version}" if code.version else ""
            return Told(None, (f"the CodeSystem {code.system}{version} is not loaded",))
        if not is_same(library, system.url, code.system):
            return Told(False)
        if code.version and system.version and code.version != system.version:
            return Told(False)
        concept = system.concept(code.code)
        if concept is not None:
            return Told(True, (), concept)
        reason = f"the CodeSystem {system.url} is here with content {system.content!r}, not with all of its codes"
        return Told(False) if system.is_complete else Told(None, (reason,))

    named = f"the CodeSystem {resource.get('url', '')}" if resource is not None else "its CodeSystem"
    return _first_valid(library, several, told, named, wish)


def _first_valid(
    library: Library, several: Sequence[Coded], told: Callable[[Coded], Told], where: str, wish: Wish
) -> Verdict:
    """Return the verdict on the first that is valid, else on the first that cannot be told, else on the first."""
    verdicts = [
        replace(_judged(library, coded, told(coded), where, wish), system=otherwise(library, coded.code.system))
        for coded in several
    ]
    if not verdicts:
        return Verdict(False, "there is no coding with a system and a code")
    for wanted in (True, None):
        for verdict in verdicts:
            if verdict.is_valid is wanted:
                return verdict
    if len(verdicts) == 1:
        return verdicts[0]
    return Verdict(False, "; ".join(verdict.message or "" for verdict in verdicts), verdicts[0].display)


def _judged(library: Library, coded: Coded, told: Told, where: str, wish: Wish) -> Verdict:
    code = coded.code
    named = f"{code.system}|{code.code}"
    if told.is_member is None:
        return Verdict(None, f"whether {named} is in {where} cannot be told: {'; '.join(told.reasons)}")
    concept, language = _in_its_system(library, code, told, wish.versions)
    listed = next(iter(told.displays), None)
    given = listed or (concept.display if concept is not None else None)
    designations = concept.designations if concept is not None else ()
    right = display(given, None if listed else language, designations, wish.languages)
    if not told.is_member:
        return Verdict(False, f"{named} is not in {where}", right)
    if concept is not None and concept.is_abstract and not wish.takes_abstract:
        return Verdict(False, f"{named} only groups other codes, and is no value itself", right)
    known = [*told.displays, *(texts(concept.display, designations) if concept is not None else ())]
    if coded.display is not None and known and not is_one_of(coded.display, known):
        return Verdict(False, f"the display of {named} is {right!r}, not the one given", right)
    return Verdict(True, None, right)


def _in_its_system(library: Library, code: Code, told: Told, versions: Versions) -> tuple[Concept | None, str | None]:
    """Return what a code is in its code system, and the language of its display."""
    system = code_system(library, code.system, code.version, versions)
    if told.concept is not None or system is None:
        return told.concept, system.language if system is not None else None
    return system.concept(code.code), system.language
