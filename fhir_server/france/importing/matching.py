"""What the store knows of the people and structures that a source wants: by id, else by national identifier.

Who is the same is told by the families in which a number belongs to one active resource
(``mappings/identifier-families.json``); a professional is so, too, if one of the two resources says no profession.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import quote

from fhir_server.france.aliases import spelling
from fhir_server.france.families import Families, read_families
from fhir_server.france.importing.source import Wanted
from fhir_server.france.importing.tagged import is_active
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.exchange import Request
from fhir_server.model.formats import parse
from fhir_server.model.reference import Key
from fhir_server.service import Service

ASKED: Final = 40
"""Identifiers of one search."""
MATCHED: Final = ("Practitioner", "Organization")

Number: TypeAlias = tuple[str, str, str]
"""A number as it is compared: family, system, value."""


class Ambiguous(NamedTuple):
    """Several active resources that could be the one wanted: each by its id, and which of the numbers it has."""

    numbers: Mapping[str, Sequence[str]]

    def __str__(self) -> str:
        return " et ".join(f"{id_} ({', '.join(found)})" for id_, found in sorted(self.numbers.items()))


class Known:
    """Looks up what a chunk wants, a few questions for all of it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def stored(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Return the JSON of what is there under ids."""
        async with self._service.context.store.snapshot() as snapshot:
            stored = await snapshot.read(keys)
        return {key: one.body for key, one in stored.items() if one.body is not None}

    async def read(self, chunk: Sequence[Wanted], stored: Mapping[Key, bytes]) -> dict[Key, Json | Ambiguous | None]:
        """Return for each wanted resource the one that is there, None if there is none; ``stored``: those by id."""
        by_id: dict[Key, Json] = {wanted.key: parse(stored[wanted.key]) for wanted in chunk if wanted.key in stored}
        found: dict[Key, Json | Ambiguous | None] = {**by_id}
        for type_ in MATCHED:
            asked = [wanted for wanted in chunk if wanted.key.type == type_ and _is_new(wanted, by_id)]
            found |= await self._identified(type_, asked, found)
        return {wanted.key: found.get(wanted.key) for wanted in chunk}

    async def _identified(
        self, type_: str, asked: Sequence[Wanted], by_id: Mapping[Key, Json | Ambiguous | None]
    ) -> dict[Key, Json | Ambiguous | None]:
        """Return what has a number of those asked for; of one that is there by its id, only what is another's."""
        numbers = sorted({number for wanted in asked for number in _numbers(wanted.resource)})
        there: dict[Number, list[Json]] = {}
        for start in range(0, len(numbers), ASKED):
            for resource in await self._search(type_, numbers[start : start + ASKED]):
                for number in _numbers(resource):
                    there.setdefault(number, []).append(resource)
        found: dict[Key, Json | Ambiguous | None] = {}
        for wanted in asked:
            own = _numbers(wanted.resource)
            same = {
                resource["id"]: resource
                for number in own
                for resource in there.get(number, ())
                if _same_profession(wanted.resource, resource)
            }
            by_own_id = by_id.get(wanted.key)
            if same and isinstance(by_own_id, dict) and is_active(by_own_id):
                same.setdefault(wanted.key.id, by_own_id)
            if len(same) > 1:
                found[wanted.key] = Ambiguous({id_: _common(own, resource) for id_, resource in same.items()})
            elif same:
                found[wanted.key] = next(iter(same.values()))
        return found

    async def _search(self, type_: str, numbers: Sequence[Number]) -> list[Json]:
        tokens = ",".join(quote(f"{system}|{value}", safe="") for _, system, value in numbers)
        answer = await self._service.perform(Request("GET", type_, f"identifier={tokens}&_count=1000"))
        return [entry["resource"] for entry in parse(b"".join(answer.body)).get("entry", ())]


def claims(resource: Json) -> Iterator[str]:
    """Yield what one active resource alone may have: its numbers, a professional's with the profession."""
    yield from map("\n".join, _families().claims(resource))


@cache
def _families() -> Families:
    return read_families(spelling())


def _is_new(wanted: Wanted, stored: Mapping[Key, Json]) -> bool:
    """Tell whether a resource is not there under its id, or not with all its numbers."""
    there = stored.get(wanted.key)
    return there is None or not _numbers(wanted.resource) <= _numbers(there)


def _numbers(resource: Json) -> set[Number]:
    """Return the numbers that an active resource claims, each in one of its forms; that of a company is none."""
    return {(claim.family, claim.system, claim.value) for claim in _families().claims(resource)}


def _common(numbers: set[Number], resource: Json) -> Sequence[str]:
    """Return which of the numbers a resource has; where it has none of them, its own."""
    own = _numbers(resource)
    return sorted({value for _, _, value in numbers & own or own})


def _same_profession(one: Json, other: Json) -> bool:
    mine, theirs = ({claim.profession for claim in _families().claims(resource)} - {""} for resource in (one, other))
    return not mine or not theirs or bool(mine & theirs)
