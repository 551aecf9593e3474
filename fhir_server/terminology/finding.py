"""Value sets and code systems by their URLs, in the versions asked for; value sets that nobody wrote among them.

Spec: https://hl7.org/fhir/R4/terminology-module.html#implicit
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fhir_server.definitions.library import Library, all_codes, made_of, split
from fhir_server.model.formats import Resource
from fhir_server.terminology.code_system import CodeSystem
from fhir_server.terminology.problems import bad_definition, is_supplement, unknown
from fhir_server.terminology.spelling import meant

IMPLICIT: Final = "?fhir_vs"
"""Behind the URL of a code system: the value set of all its codes."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Which version of a code system is meant, by the URL that it has here: where none is said, whatever is said, and
    as a check."""

    default: Mapping[str, str] = field(default_factory=dict)
    forced: Mapping[str, str] = field(default_factory=dict)
    checked: Mapping[str, str] = field(default_factory=dict)

    def of(self, system: str, said: str | None) -> str | None:
        """Return the version to look for. Raises ``Unprocessable`` where another one is said than is to be."""
        version = self.forced.get(system) or said or self.default.get(system) or self.checked.get(system)
        wanted = self.checked.get(system)
        if wanted is not None and version != wanted:
            raise bad_definition(f"version {version} of {system} is used; it was to be {wanted}")
        return version


ANY_VERSION: Final = Versions()


def code_system(
    library: Library, system: str, version: str | None = None, versions: Versions = ANY_VERSION
) -> CodeSystem | None:
    """Return a code system, None if it is not loaded in that version. Raises ``Unprocessable`` for a supplement."""
    url = meant(library, system)
    wanted = versions.of(url, version)
    found = library.find(f"{url}|{wanted}" if wanted else url, "CodeSystem")
    return None if found is None else concepts_of(found)


def concepts_of(resource: Resource) -> CodeSystem:
    """Return a CodeSystem resource made ready. Raises ``Unprocessable`` for a supplement."""
    if resource.get("content") == "supplement":
        raise is_supplement(resource.get("url", ""), resource.get("supplements", ""))
    return made_of(resource, CodeSystem)


def value_set(library: Library, canonical: str) -> Resource | None:
    """Return a value set, one that is implied by a code system among them; None if there is none."""
    found = library.find(canonical, "ValueSet")
    url, version = split(canonical)
    if found is not None or not url.endswith(IMPLICIT):
        return found
    system = code_system(library, url.removesuffix(IMPLICIT), version)
    return None if system is None else all_codes(system.resource, url)


def demanded(library: Library, canonical: str, at: str = "", *, asked: bool = True) -> Resource:
    """Return a value set. Raises ``NotFound``, or ``Unprocessable`` where it is only used by what is asked for."""
    found = value_set(library, canonical)
    if found is None:
        raise unknown("ValueSet", canonical, at, asked)
    return found
