"""The codes of value sets, as bindings ask for them: from what is loaded, and from what comes with R4.

Spec: https://hl7.org/fhir/R4/terminologies.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.definitions.library import Library, made_of
from fhir_server.model.formats import Resource
from fhir_server.outcome import FhirError
from fhir_server.terminology.finding import value_set
from fhir_server.terminology.membership import Code, Membership


class LibraryCodes:
    """Tells of the value sets of one library; what it has told is kept while one resource is validated."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._membership = Membership(library)
        self._told: dict[tuple[str, str | None, str], bool | None] = {}

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Tell whether a code is in a value set; None if that cannot be told from what is loaded. ``system`` None: that
        of an element of type code, which the value set says."""
        key = (value_set, system, code)
        if key not in self._told:
            self._told[key] = self._contains(value_set, system, code)
        return self._told[key]

    def _contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        systems = [system] if system is not None else self._systems(value_set)
        if not systems:
            return None
        try:
            told = [self._membership.of(value_set, Code(one, code)).is_member for one in systems]
        except FhirError:  # a definition that leads back to itself, or that cannot be followed
            return None
        return True if True in told else None if None in told else False

    def _systems(self, canonical: str) -> list[str] | None:
        """Return the code systems that a value set takes from, None if not all of its value sets are loaded."""
        found: dict[str, None] = {}
        done: set[str] = set()
        todo = [canonical]
        while todo:
            url = todo.pop()
            if url in done:
                continue
            done.add(url)
            resource = value_set(self._library, url)
            if resource is None:
                return None
            systems, others = made_of(resource, _sources)
            found.update(dict.fromkeys(systems))
            todo.extend(others)
        return list(found)


def _sources(resource: Resource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the code systems and the value sets that a value set takes from."""
    compose = resource.get("compose")
    if compose is None:
        contains = (resource.get("expansion") or {}).get("contains", ())
        return tuple(dict.fromkeys(_contained(contains))), ()
    parts = compose.get("include", ())
    systems = dict.fromkeys(part["system"] for part in parts if "system" in part)
    return tuple(systems), tuple(url for part in parts for url in part.get("valueSet", ()) if url)


def _contained(contains: Any) -> Iterator[str]:
    todo: list[Mapping[str, Any]] = [*contains]
    while todo:
        one = todo.pop()
        if "system" in one:
            yield one["system"]
        todo.extend(one.get("contains", ()))
