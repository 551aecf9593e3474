"""R4's own value sets and code systems, as far as its required bindings list them: resources made of the table.

They have no displays. A code system of which R4 has the value set of all codes is complete, any other a fragment.
Spec: https://hl7.org/fhir/R4/terminologies-valuesets.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from fhir_server.definitions.canonical import HL7
from fhir_server.definitions.library import Loaded, best, split
from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import Resource

R4_VERSION: Final = "4.0.1"


class Builtin:
    """The part of the library that is always there."""

    def __init__(self, structures: Structures) -> None:
        self._structures = structures
        self._made: dict[tuple[str, str], Resource] = {}

    @classmethod
    @cache
    def of(cls, structures: Structures) -> Builtin:
        """Return the one that reads these structures."""
        return cls(structures)

    def find(self, canonical: str, type: str | None = None) -> Resource | None:
        """Return a value set or code system of R4, None if it is not listed."""
        url, version = split(canonical)
        there = (self._once("ValueSet", url, self._value_set), self._once("CodeSystem", url, self._code_system))
        return best((one for one in there if one is not None), version, type)

    def _once(self, type_: str, url: str, make: Callable[[str], Resource | None]) -> Resource | None:
        made = self._made.get((type_, url)) or make(url)
        if made is not None:
            self._made[type_, url] = made
        return made

    def _value_set(self, url: str) -> Resource | None:
        codes = self._structures.codes(url)
        if codes is None:
            return None
        by_system: dict[str, list[str]] = {}
        for code, systems in codes.items():
            for system in systems:
                by_system.setdefault(system, []).append(code)
        include = [
            {"system": system, "concept": [{"code": code} for code in listed]}
            for system, listed in sorted(by_system.items())
        ]
        return Loaded({**_head("ValueSet", url), "compose": {"include": include}})

    def _code_system(self, url: str) -> Resource | None:
        codes = _of_systems(self._structures).get(url)
        if codes is None:
            return None
        all_codes = f"{HL7}ValueSet/{url.removeprefix(HL7)}"
        is_complete = url.startswith(HL7) and set(self._structures.codes(all_codes) or ()) == set(codes)
        return Loaded(
            {
                **_head("CodeSystem", url),
                "caseSensitive": True,
                "content": "complete" if is_complete else "fragment",
                "concept": [{"code": code} for code in codes],
            }
        )


def _head(type_: str, url: str) -> Resource:
    return {
        "resourceType": type_,
        "url": url,
        "version": R4_VERSION,
        "name": "".join(part.capitalize() for part in url.rpartition("/")[2].split("-")),
        "status": "active",
        "publisher": "HL7",
    }


@cache
def _of_systems(structures: Structures) -> Mapping[str, Mapping[str, None]]:
    """Return system → its codes, in the order of the table."""
    found: dict[str, dict[str, None]] = {}
    for value_set in structures.value_sets:
        for code, systems in (structures.codes(value_set) or {}).items():
            for system in systems:
                found.setdefault(system, {})[code] = None
    return found
