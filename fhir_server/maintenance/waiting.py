"""What waits while load goes on, for what it refers to; and which of it can be written next.

Of a rehearsal nothing is stored: there, what would have been written counts as there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Final

from fhir_server.interactions.context import Context, Integrity
from fhir_server.maintenance.postponed import Item, Need, Postponed, circles, need, possible
from fhir_server.maintenance.turns import Turns
from fhir_server.model.reference import Key
from fhir_server.outcome import Issue

TOGETHER: Final = 256
"""Items that are looked at, and keys that are looked up, at the same time."""
_WAITS: Final = frozenset(("reference-missing", "slot-missing"))
"""Why something is refused that may be written later."""


class Waiting:
    """What is put off in one run of load."""

    def __init__(self, context: Context, *, is_rehearsal: bool) -> None:
        self._context = context
        self._postponed = Postponed()
        self._is_rehearsal = is_rehearsal
        self._is_last_try = False
        self._rehearsed: set[Key] = set()

    def __len__(self) -> int:
        return len(self._postponed)

    def close(self) -> None:
        """Forget all."""
        self._postponed.close()

    def takes(self, issues: Iterable[Issue]) -> bool:
        """Tell whether what was refused so was refused for its references alone, and may wait."""
        errors = [issue for issue in issues if issue.is_error]
        return bool(errors) and not self._is_last_try and all(issue.id in _WAITS for issue in errors)

    def add(self, item: Item) -> bool:
        """Keep an item; tell whether it takes the place of one. Raises ``CommandFailed`` where the disk is full."""
        return self._postponed.add(item)

    def drop(self, key: Key) -> bool:
        """Forget the resource of a key; tell whether there was one."""
        return self._postponed.drop(key)

    def rehearsed(self, keys: Iterable[Key]) -> None:
        """Take note of what would be there by now, were this no rehearsal."""
        if self._is_rehearsal and not self._is_last_try:
            self._rehearsed.update(keys)

    async def turns(self) -> Turns:
        """Return the turns of what waits, each after what it needs."""
        turns, places = Turns(), iter(self._postponed.places())
        while some := list(islice(places, TOGETHER)):
            needs = {place: self._need(self._postponed.at(place)).needs for place in some}
            there = await self.there(frozenset().union(*needs.values()))
            for place, needed in needs.items():
                turns.add(place, needed - there)
        return turns

    def take(self, place: int) -> tuple[Item, frozenset[Key]]:
        """Return the item of a place, which waits no more, and what it will be found by."""
        item = self._postponed.take(place)
        return item, self._need(item).gives

    async def circles(self) -> Iterator[list[Item]]:
        """Return what refers to each other, and can be written together."""
        places = circles(await self._possible(), self._context.limits.bundle_entries)
        return ([self._postponed.at(place) for place in some] for some in places)

    async def take_possible(self) -> Iterator[Item]:
        """Return what could be written if all of it were; what is taken of it waits no more."""
        return map(self._postponed.take, await self._possible())

    @contextmanager
    def last_try(self) -> Iterator[Iterator[Item]]:
        """Give all that waits, the newest first; nothing is kept from now on."""
        self._is_last_try = True
        before, self._postponed = self._postponed, Postponed()
        with closing(before):
            yield before.newest_first()

    async def there(self, keys: Collection[Key]) -> set[Key]:
        """Return which of the keys are there, or would be if this were no rehearsal."""
        found = self._rehearsed.intersection(keys)
        missing = sorted(set(keys) - found)
        for start in range(0, len(missing), TOGETHER):
            async with self._context.store.snapshot() as snapshot:
                there = await snapshot.read(missing[start : start + TOGETHER])
            found.update(key for key, stored in there.items() if not stored.is_deleted)
        return found

    async def _possible(self) -> dict[int, Need]:
        waiting = {place: self._need(self._postponed.at(place)) for place in self._postponed.places()}
        there = await self.there({key for own in waiting.values() for key in own.needs})
        return possible(waiting, there)

    def _need(self, item: Item) -> Need:
        found = need(item, self._context.bases)
        if self._context.integrity is Integrity.ENFORCE:
            return found
        return found._replace(needs=frozenset(key for key in found.needs if key.type == "Slot"))
