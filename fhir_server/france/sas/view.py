"""What clients of a SAS base path see of what is stored: bytes, rendered once for each version.

Practitioners and agendas ride along with every answer and seldom change, so they are kept as they were rendered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from fhir_server.france.sas.base import Version
from fhir_server.france.sas.rendering import actors, needs, rendered
from fhir_server.interactions.context import Context
from fhir_server.interactions.pace import Pace
from fhir_server.model.formats import Resource, parse, serialize
from fhir_server.model.reference import Key, local
from fhir_server.storage.protocol import Stored

KEPT: Final = 20_000
"""Rendered resources that one process keeps: about a kilobyte each."""


class _Seen(NamedTuple):
    """A resource as it was rendered, and what it was rendered with: keys by the texts of references, their versions."""

    wanted: Mapping[str, Key]
    versions: tuple[int | None, ...]
    body: bytes


class GuideView:
    """Renders stored resources for one version of the guide."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._kept: dict[tuple[Key, int], _Seen] = {}
        self._whose: dict[tuple[Key, int], tuple[Key, ...]] = {}

    async def bodies(self, context: Context, found: Sequence[Stored]) -> list[bytes]:
        """Return the bytes of each: those of a Slot as they are stored, all others as the guide has them."""
        pace = Pace(is_read=True)
        wanted: dict[Key, Mapping[str, Key]] = {}
        for stored in found:
            if stored.key.type != "Slot":
                kept = self._kept.get((stored.key, stored.version))
                wanted[stored.key] = _wanted(context, stored) if kept is None else kept.wanted
                await pace.keep()
        related = await _read(context, {key for keys in wanted.values() for key in keys.values()})
        bodies: list[bytes] = []
        for stored in found:
            if stored.key.type == "Slot":
                bodies.append(stored.body or b"")
            else:
                bodies.append(self._seen(stored, wanted[stored.key], related))
                await pace.keep()
        return bodies

    def whose(self, context: Context, agendas: Iterable[Stored]) -> set[Key]:
        """Return whom or what agendas are of, as the guide has it: a place is, where they are of no professional."""
        found: set[Key] = set()
        for stored in agendas:
            place = (stored.key, stored.version)
            if place not in self._whose:
                self._whose[place] = _whose(context, stored)
                if len(self._whose) > KEPT:
                    del self._whose[next(iter(self._whose))]
            found.update(self._whose[place])
        return found

    def _seen(self, stored: Stored, wanted: Mapping[str, Key], related: Mapping[Key, Stored]) -> bytes:
        """Return a resource rendered, as it is kept if what it takes elements from is the same."""
        versions = tuple(related[key].version if key in related else None for key in wanted.values())
        place = (stored.key, stored.version)
        kept = self._kept.get(place)
        if kept is not None and kept.versions == versions:
            return kept.body
        there = {text: related[key].body for text, key in wanted.items() if key in related}
        others = {text: parse(body) for text, body in there.items() if body is not None}
        body = serialize(rendered(parse(stored.body or b""), self._version, others))
        self._kept[place] = _Seen(wanted, versions, body)
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return body


def _whose(context: Context, agenda: Stored) -> tuple[Key, ...]:
    named = (local(actor.get("reference", ""), context.bases) for actor in actors(parse(agenda.body or b"{}"))[0])
    return tuple(one.key for one in named if one is not None)


def _wanted(context: Context, stored: Stored) -> dict[str, Key]:
    """Return what a resource takes elements from, by the texts of its references."""
    resource: Resource = parse(stored.body or b"")
    found = {text: local(text, context.bases) for text in needs(resource)}
    return {text: one.key for text, one in found.items() if one is not None}


async def _read(context: Context, keys: Collection[Key]) -> Mapping[Key, Stored]:
    if not keys:
        return {}
    async with context.store.snapshot() as snapshot:
        return await snapshot.read(keys)
