"""What a code system says of one code. https://hl7.org/fhir/R4/codesystem-operation-lookup.html"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.definitions.library import Library
from fhir_server.outcome import Issue, IssueType, NotFound
from fhir_server.terminology.code_system import CodeSystem, Concept
from fhir_server.terminology.displays import display
from fhir_server.terminology.finding import code_system
from fhir_server.terminology.membership import Code
from fhir_server.terminology.problems import bad_definition, unknown

GENERAL: Final = ("system", "name", "version", "display", "definition", "designation")
"""What can be asked for as if it were a property."""

HIERARCHY: Final = ("parent", "child", "inactive")
"""Properties that every code system has here."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found; ``system`` is the URL of the code system, ``properties`` are (code, type, value)."""

    system: str
    name: str
    version: str | None
    display: str
    definition: str | None
    designations: tuple[Mapping[str, Any], ...]
    properties: tuple[tuple[str, str, Any], ...]


def look_up(library: Library, code: Code, properties: Sequence[str], languages: Sequence[str]) -> Found:
    """Return what is said of a code. ``properties``: only these, or all of them if there are none or one is ``*``.

    Raises ``NotFound`` for a code or code system that is not there, ``Unprocessable`` for a property that the code
    system does not have.
    """
    system = code_system(library, code.system, code.version)
    if system is None:
        raise unknown("CodeSystem", f"{code.system}|{code.version}" if code.version else code.system)
    concept = system.concept(code.code)
    if concept is None:
        why = "" if system.is_complete else f", which is here with content {system.content!r}"
        told = f"there is no code {code.code} in {system.canonical}{why}"
        raise NotFound(Issue(IssueType.NOT_FOUND, told, id="code-unknown"))
    is_all = not properties or "*" in properties
    there = list(_properties(system, concept))
    known = {*GENERAL, *HIERARCHY, *system.properties, *(name for name, _, _ in there)}
    if strange := [name for name in properties if name != "*" and name not in known]:
        raise bad_definition(f"{system.url} has no property {', '.join(strange)}; there are {', '.join(sorted(known))}")
    designations = concept.designations if is_all or "designation" in properties else ()
    return Found(
        system.url,
        system.resource.get("title") or system.resource.get("name") or system.url,
        system.version,
        display(concept.display, system.language, concept.designations, languages) or concept.code,
        concept.definition if is_all or "definition" in properties else None,
        designations,
        tuple(one for one in there if is_all or one[0] in properties),
    )


def _properties(system: CodeSystem, concept: Concept) -> Iterator[tuple[str, str, Any]]:
    """Yield the properties that a concept has, and its place in the hierarchy where no property tells it."""
    yield from concept.properties
    told = {system.meaning(name) for name, _, _ in concept.properties}
    for name, codes in (("parent", system.parents(concept.code)), ("child", system.children(concept.code))):
        if name not in told:
            yield from ((name, "code", code) for code in codes)
    if "inactive" not in told:
        yield "inactive", "boolean", concept.is_inactive
