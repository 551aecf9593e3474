"""The parsed conformance resources that one process keeps, by key and version, and what is usually asked for together.

Spec: https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeAlias

from fhir_server.definitions.library import Loaded
from fhir_server.interactions.pace import aside
from fhir_server.model.formats import parse
from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Stored

SHELF_BYTES: Final = 30_000_000
"""JSON of the resources that one process keeps parsed."""


AHEAD: Final = 200
"""Kinds of work of which it is remembered what they ask for, and how much of each."""

Asked: TypeAlias = tuple[str, str | None]
"""A URL without a version, and the type of what must have it; None: any type."""


class Shelf:
    """Keeps those used last."""

    def __init__(self, limit: int = SHELF_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._asked: dict[str, frozenset[Asked]] = {}
        self._kept: OrderedDict[tuple[Key, int], tuple[Loaded, int]] = OrderedDict()

    def ahead(self, work: str) -> frozenset[Asked]:
        """Return what a kind of work asked for the last time, so that it can be read at once."""
        return self._asked.get(work, frozenset())

    def remember(self, work: str, asked: frozenset[Asked]) -> None:
        """Keep what a kind of work has asked for, if that is not too much."""
        if len(asked) <= AHEAD and (work in self._asked or len(self._asked) < AHEAD):
            self._asked[work] = asked

    async def take(self, stored: Stored) -> Loaded:
        """Return a stored version parsed, the same object for as long as it is kept."""
        place = stored.key, stored.version
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place][0]
        body = stored.body or b"{}"
        loaded = Loaded(await aside(len(body), parse, body))
        if place not in self._kept:
            self._kept[place] = loaded, len(body)
            self._size += len(body)
            while self._size > self._limit and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1][1]
        return self._kept[place][0]
