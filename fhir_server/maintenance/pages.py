"""The current resources of a store, page by page: no transaction is held longer than a page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from fhir_server.search.query import EVERYTHING, Cursor, Node, Page, Query
from fhir_server.storage.protocol import Store, Stored

RESOURCES: Final = 200
"""Resources of a page."""

COUNT_SECONDS: Final = 3_600.0


async def pages(store: Store, type: str, where: Node = EVERYTHING) -> AsyncIterator[tuple[Stored, ...]]:
    """Yield the current resources of a type in the order of their creation; not those created after the last page."""
    after: Cursor | None = None
    while True:
        async with store.snapshot() as snapshot:
            found = await snapshot.search(Query((type,), where), Page(RESOURCES, after=after))
        if found.matches:
            after = found.matches[-1].cursor
            yield tuple(match.stored for match in found.matches)
        if not found.more:
            return


async def counts(store: Store, types: Iterable[str], where: Node = EVERYTHING) -> dict[str, int]:
    """Return how many current resources each type has, for those that have some."""
    found = {}
    async with store.snapshot() as snapshot:
        for type_ in sorted(types):
            number = await snapshot.count(Query((type_,), where), COUNT_SECONDS)
            if number:
                found[type_] = number
    return found
