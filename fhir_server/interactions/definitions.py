"""The definitions in force: a cache that follows the log.

A commit that touches a definition starts a generation. What is prepared, parsed or read under another generation than
that of the state it is about counts for nothing: ``Outdated`` is raised, and the request is done again under the
definitions of now. See ``docs/decisions/0012-definitions-have-a-generation.md``.

Spec: https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import asyncio
from typing import Final

from fhir_server.definitions.installed import Ledger
from fhir_server.definitions.registry import Registry
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.tools import Tools
from fhir_server.model.formats import Resource, parse
from fhir_server.search.definition import is_usable
from fhir_server.storage.protocol import Address, Head, HistoryPage, Scope, Snapshot, Store, Stored

VERSIONS: Final = 200
BYTES: Final = 4_000_000
"""Versions of definitions read together, and about what their bodies have."""

_FOLLOWED: Final = Scope("SearchParameter")


class Outdated(Exception):
    """A request was understood under other definitions than those in force where it reads or writes."""


class OutdatedWrite(Outdated):
    """The same, found where its plan ran: nothing was written."""


def demand_current(registry: Registry, head: Head) -> None:
    """Raise ``Outdated`` unless the definitions are those of a state of the log."""
    if head.generation != registry.generation:
        raise Outdated


class Definitions:
    """What one process knows of them. ``tools`` are those in force when the log was last looked at."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.turn = asyncio.Lock()
        """Held by writes that are done again: of many that change definitions, each outdates all others."""
        self.news = asyncio.Event()
        """Set when definitions have changed here; whoever waits for it clears it."""
        self._ledger = Ledger(lambda parameter: is_usable(parameter, self.registry))
        self._read_to: Address | None = None
        self._following = asyncio.Lock()

    @property
    def registry(self) -> Registry:
        return self.tools.registry

    async def follow(self, store: Store) -> None:
        """Come up to the head of the log. ``tools`` are others afterwards only if something was new: definitions, or
        how far they are indexed."""
        async with self._following:
            head = await store.head()
            if head.generation == self.registry.generation and not self.registry.oldest:
                return
            before = self.registry
            async with store.snapshot() as snapshot:
                await self._read(snapshot)
                installed = self._ledger.installed(snapshot.head.generation)
                registry = before.with_installed(installed)
                registry = before.with_installed(installed, await self._oldest(snapshot, registry))
            if (before.generation, before.oldest) != (registry.generation, registry.oldest):
                self.tools = self.tools.under(registry)
            if before.generation != registry.generation:
                self.news.set()

    async def _read(self, snapshot: Snapshot) -> None:
        """Take the versions of definitions since the last one read."""
        more, pace = True, Pace(is_read=True)
        while more:
            page = await snapshot.history(_FOLLOWED, HistoryPage(VERSIONS, self._read_to, ascending=True, bytes=BYTES))
            for stored in page.versions:
                self._ledger.add(stored.key.id, stored.address.number, _resource(stored))
                self._read_to = stored.address
                await pace.keep()
            more = page.more

    async def _oldest(self, snapshot: Snapshot, registry: Registry) -> dict[str, int]:
        """Return where the index is behind; if nothing has changed but that, only where it was already."""
        changed = registry.changed
        if changed == 0:
            return {}
        was = self.registry
        types = sorted(was.oldest if changed == was.changed else registry.structures.resource_types)

        async def read(snapshot: Snapshot) -> dict[str, int]:
            return {
                type_: stored.generation for type_ in types for stored in await snapshot.outdated(type_, changed, 1)
            }

        return await snapshot.together(read)


def _resource(stored: Stored) -> Resource | None:
    return None if stored.body is None else parse(stored.body)
