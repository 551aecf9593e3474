"""Whose turn it is of what load has put off: an item waits for what it needs, and is not tried before that is there.

So a chain of references is written once, whatever the order of its lines. Memory holds, for each item, how many
resources it still needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from fhir_server.model.reference import Key


class Turns:
    """Items by their places, each ready once nothing that it needs is missing."""

    def __init__(self) -> None:
        self._ready: deque[int] = deque()
        self._lacks: dict[int, int] = {}
        self._takers: dict[Key, list[int]] = {}

    def add(self, place: int, missing: Collection[Key]) -> None:
        """Take the item of a place, which needs what is missing now."""
        if not missing:
            self._ready.append(place)
            return
        self._lacks[place] = len(missing)
        for key in missing:
            self._takers.setdefault(key, []).append(place)

    def came(self, keys: Iterable[Key]) -> None:
        """Take note of resources that are there from now on."""
        for key in keys:
            for place in self._takers.pop(key, ()):
                self._lacks[place] -= 1
                if not self._lacks[place]:
                    del self._lacks[place]
                    self._ready.append(place)

    def next(self, limit: int) -> list[int]:
        """Return up to ``limit`` places that are ready, those that became so first; each is returned once."""
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
