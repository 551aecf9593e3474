"""The families in which a national identifier belongs to one active resource, read from ``mappings/``.

What a resource claims is a number in a family, and for professionals the profession with it.
Spec: https://hl7.org/fhir/R4/datatypes.html#Identifier
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from fhir_server.definitions.guide import MAPPINGS
from fhir_server.france.identifiers import KINDS, forms, kind_of
from fhir_server.model.formats import Resource

FAMILIES: Final = MAPPINGS / "identifier-families.json"
ANY: Final = "*"


class Claim(NamedTuple):
    """What one active resource of a family may have alone. Of a number's forms it has the first in the alphabet."""

    family: str
    type: str
    system: str
    value: str
    profession: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """Resources of a type, with one of the profiles or sources if there are any, and what is compared among them.

    ``kinds``: codes of kinds of identifiers, or ``*``. ``professions``: code systems of professions, where numbers are
    compared by profession.
    """

    name: str
    type: str
    kinds: frozenset[str]
    profiles: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    professions: frozenset[str] = frozenset()

    def has(self, resource: Resource) -> bool:
        """Tell whether a resource, which need not be valid, belongs to it."""
        if resource.get("resourceType") != self.type:
            return False
        if not self.profiles and not self.sources:
            return True
        meta = resource.get("meta")
        if not isinstance(meta, dict):
            return False
        profiles, source = meta.get("profile"), meta.get("source")
        named = profiles if isinstance(profiles, list) else ()
        return any(isinstance(one, str) and one.partition("|")[0] in self.profiles for one in named) or (
            isinstance(source, str) and source.partition("#")[0] in self.sources
        )


@dataclass(frozen=True, slots=True)
class Families:
    """All families; the first that has a resource is its family. ``spelled`` gives a system its one spelling."""

    all: tuple[Family, ...]
    spelled: Callable[[str], str]

    @property
    def types(self) -> frozenset[str]:
        """The types of the resources in them."""
        return frozenset(family.type for family in self.all)

    def claims(self, resource: Resource) -> Mapping[Claim, str]:
        """Return what a valid resource claims, and the paths of the identifiers that do; nothing if not active."""
        family = next((family for family in self.all if family.has(resource)), None)
        if family is None or resource.get("active") is False:
            return {}
        professions = tuple(self._professions(resource, family)) or ("",)
        found: dict[Claim, str] = {}
        for place, identifier in _own(resource.get("identifier", ())):
            number = self._number(identifier, family)
            if number is None:
                continue
            for profession in professions:
                claim = Claim(family.name, family.type, *number, profession)
                found.setdefault(claim, f"{family.type}.identifier[{place}]")
        return found

    def _number(self, identifier: Resource, family: Family) -> tuple[str, str] | None:
        """Return the number that an identifier claims in a family, None if it claims none."""
        system, value = self.spelled(identifier.get("system", "")), identifier.get("value")
        if not system or not value:
            return None
        kind = kind_of(system, value)
        if ANY in family.kinds or (kind is not None and kind.code in self._compared(family)):
            return min(forms(system, value))
        return None

    def _professions(self, resource: Resource, family: Family) -> Iterator[str]:
        for qualification in resource.get("qualification", ()) if family.professions else ():
            for coding in qualification.get("code", {}).get("coding", ()):
                system = self.spelled(coding.get("system", ""))
                if system in family.professions and "code" in coding:
                    yield f"{system}|{coding['code']}"

    @staticmethod
    def _compared(family: Family) -> frozenset[str]:
        # A FINESS number does not tell whether it is a site's or a legal entity's.
        finess = {"FINEJ", "FINEG"}
        return family.kinds | finess if family.kinds & finess else family.kinds


def _own(identifiers: Sequence[Resource]) -> Iterator[tuple[int, Resource]]:
    """Yield the identifiers that are in force and the resource's own, with their places: a site may tell the number of
    its legal entity (FINEJ) beside its own (FINEG)."""
    types = [{coding.get("code") for coding in one.get("type", {}).get("coding", ())} for one in identifiers]
    is_site = any("FINEG" in codes for codes in types)
    for place, (identifier, codes) in enumerate(zip(identifiers, types, strict=True)):
        if identifier.get("use") != "old" and not (is_site and "FINEJ" in codes):
            yield place, identifier


def read_families(spelled: Callable[[str], str], file: Path = FAMILIES) -> Families:
    """Return the families of a file. Raises ``ValueError`` naming what is wrong with it."""
    try:
        rows = json.loads(file.read_bytes())["familles"]
        return Families(tuple(_family(row, spelled) for row in rows), spelled)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file.name} is no list of families: {error!r}") from error
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error


def _family(row: Mapping[str, Any], spelled: Callable[[str], str]) -> Family:
    kinds = frozenset(row["identifiants"])
    unknown = kinds - KINDS.keys() - {ANY}
    if unknown or not kinds:
        raise ValueError(f"{row['nom']}: {', '.join(sorted(unknown)) or 'nothing'} is no kind of identifier")
    return Family(
        row["nom"],
        row["type"],
        kinds,
        frozenset(row.get("profils", ())),
        frozenset(row.get("sources", ())),
        frozenset(map(spelled, row.get("professions", ()))),
    )
