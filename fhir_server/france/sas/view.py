"""What clients of a SAS base path see of what is stored: bytes, rendered once for each version.

Practitioners and agendas ride along with every answer and seldom change, so they are kept as they were rendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fhir_server.france.sas.base import Version
from fhir_server.france.sas.rendering import needs, rendered
from fhir_server.interactions.context import Context
from fhir_server.interactions.pace import Pace
from fhir_server.model.formats import Resource, parse, serialize
from fhir_server.model.reference import Key, local
from fhir_server.storage.protocol import Stored

KEPT: Final = 20_000
"""Rendered resources that one process keeps: about a kilobyte each."""


class GuideView:
    """Renders stored resources for one version of the guide."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._kept: dict[tuple[Key, int], bytes] = {}

    async def bodies(self, context: Context, found: Sequence[Stored]) -> list[bytes]:
        """Return the bytes of each: those of a Slot as they are stored, all others as the guide has them."""
        pace = Pace(is_read=True)
        bodies: list[bytes] = []
        for stored in found:
            body = stored.body or b""
            if stored.key.type != "Slot":
                kept = self._kept.get((stored.key, stored.version))
                body = await self._rendered(context, stored) if kept is None else kept
            bodies.append(body)
            await pace.keep()
        return bodies

    async def _rendered(self, context: Context, stored: Stored) -> bytes:
        resource: Resource = parse(stored.body or b"")
        wanted = {text: key for text in needs(resource) if (key := _key(text, context)) is not None}
        if not wanted:
            body = serialize(rendered(resource, self._version, {}))
            self._keep((stored.key, stored.version), body)
            return body
        async with context.store.snapshot() as snapshot:
            current = await snapshot.read(wanted.values())
        there = {key: one.body for key, one in current.items() if one.body is not None}
        related = {text: parse(there[key]) for text, key in wanted.items() if key in there}
        return serialize(rendered(resource, self._version, related))

    def _keep(self, place: tuple[Key, int], body: bytes) -> None:
        self._kept[place] = body
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]


def _key(text: str, context: Context) -> Key | None:
    found = local(text, context.bases)
    return None if found is None else found.key
