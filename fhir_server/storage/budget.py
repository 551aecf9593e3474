"""How much is read for one page: bodies are taken one by one, until they pass what the page may hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_server.storage.protocol import Stored


def within(found: Iterable[Stored], limit: int | None) -> Iterator[Stored]:
    """Yield the first of the resources: as many as ``limit`` bytes hold, one at least; all if there is no limit.

    Of ``found``, no more than one beyond those is taken.
    """
    taken = 0
    for place, stored in enumerate(found):
        taken += len(stored.body or b"")
        if place and limit is not None and taken > limit:
            return
        yield stored
