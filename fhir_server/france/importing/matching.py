"""What the store knows of the people and structures that a source wants: by id, else by national identifier.

A professional is the same if number and profession are, or if one of the two resources says no profession.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

from fhir_server.france.demo.vocabulary import Json, tre
from fhir_server.france.identifiers import KINDS, SIRENE_SYSTEM
from fhir_server.france.importing.source import Wanted
from fhir_server.interactions.exchange import Request
from fhir_server.model.formats import parse
from fhir_server.model.reference import Key
from fhir_server.service import Service
from fhir_server.storage.protocol import Stored

NATIONAL: Final = frozenset(kind.system for kind in KINDS.values())
PROFESSIONS: Final = frozenset(
    map(tre, ("TRE_G15-ProfessionSante", "TRE_R94-ProfessionSocial", "TRE_R95-UsagerTitre", "TRE_R291-AutreProfession"))
)
"""The code systems of professions."""

ASKED: Final = 40
"""Identifiers of one search."""
SIREN_DIGITS: Final = 9
MATCHED: Final = ("Practitioner", "Organization")


class Ambiguous(NamedTuple):
    """Several active resources that could be the one wanted."""

    ids: tuple[str, ...]


class Known:
    """Looks up what a chunk wants, a few questions for all of it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def read(self, chunk: Sequence[Wanted]) -> dict[Key, Json | Ambiguous | None]:
        """Return for each wanted resource the one that is there, None if there is none."""
        async with self._service.context.store.snapshot() as snapshot:
            stored = await snapshot.read([wanted.key for wanted in chunk])
        found: dict[Key, Json | Ambiguous | None] = {
            key: parse(one.body) for key, one in stored.items() if one.body is not None
        }
        for type_ in MATCHED:
            asked = [wanted for wanted in chunk if wanted.key.type == type_ and _is_new(wanted, stored)]
            found |= await self._identified(type_, asked, found)
        return {wanted.key: found.get(wanted.key) for wanted in chunk}

    async def _identified(
        self, type_: str, asked: Sequence[Wanted], by_id: Mapping[Key, Json | Ambiguous | None]
    ) -> dict[Key, Json | Ambiguous | None]:
        """Return what has a number of those asked for; of one that is there by its id, only what is another's."""
        tokens = sorted({token for wanted in asked for token in _tokens(wanted.resource)})
        there: dict[str, list[Json]] = {}
        for start in range(0, len(tokens), ASKED):
            for resource in await self._search(type_, tokens[start : start + ASKED]):
                for token in _tokens(resource):
                    there.setdefault(token, []).append(resource)
        found: dict[Key, Json | Ambiguous | None] = {}
        for wanted in asked:
            same = {
                resource["id"]: resource
                for token in _tokens(wanted.resource)
                for resource in there.get(token, ())
                if resource.get("active") is not False and _same_profession(wanted.resource, resource)
            }
            if wanted.key in by_id and same:
                same.setdefault(wanted.key.id, wanted.resource)
                if len(same) == 1:
                    continue
            if same:
                found[wanted.key] = next(iter(same.values())) if len(same) == 1 else Ambiguous(tuple(sorted(same)))
        return found

    async def _search(self, type_: str, tokens: Sequence[str]) -> list[Json]:
        query = f"identifier={','.join(quote(token, safe='') for token in tokens)}&_count=1000"
        answer = await self._service.perform(Request("GET", type_, query))
        return [entry["resource"] for entry in parse(b"".join(answer.body)).get("entry", ())]


def claims(resource: Json) -> Iterator[str]:
    """Yield what one active resource alone may have: its national numbers, a professional's with the profession."""
    professions = ",".join(sorted(_professions(resource))) if resource["resourceType"] == "Practitioner" else ""
    if resource["resourceType"] in MATCHED:
        yield from (f"{token} {professions}" for token in _tokens(resource))


def _is_new(wanted: Wanted, stored: Mapping[Key, Stored]) -> bool:
    """Tell whether a resource is not there under its id, or not with all its numbers."""
    there = stored.get(wanted.key)
    if there is None or there.body is None:
        return True
    return not set(_tokens(wanted.resource)) <= set(_tokens(parse(there.body)))


def _tokens(resource: Json) -> Iterator[str]:
    """Yield the national identifiers as search tokens, but for the SIREN, which all sites of a company have."""
    for identifier in resource.get("identifier", ()):
        system, value = identifier.get("system"), identifier.get("value", "")
        if system in NATIONAL and value and not (system == SIRENE_SYSTEM and len(value) == SIREN_DIGITS):
            yield f"{system}|{value}"


def _same_profession(one: Json, other: Json) -> bool:
    if one["resourceType"] != "Practitioner":
        return True
    mine, theirs = _professions(one), _professions(other)
    return not mine or not theirs or bool(mine & theirs)


def _professions(practitioner: Json) -> set[str]:
    return {
        coding.get("code", "")
        for qualification in practitioner.get("qualification", ())
        for coding in qualification["code"].get("coding", ())
        if coding.get("system") in PROFESSIONS
    }
