"""What a plan sees: the head of the log in the database, and over it the changes of plans before it in the group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality, Node, Page, Query
from fhir_server.storage.following import check_room, check_version
from fhir_server.storage.mongo.asking import Leads
from fhir_server.storage.mongo.documents import Written
from fhir_server.storage.mongo.reading import Reading
from fhir_server.storage.mongo.reads import MongoReads
from fhir_server.storage.mongo.searching import Searching
from fhir_server.storage.protocol import (
    POSITIONS,
    SCHEMA,
    Address,
    Change,
    Commit,
    Head,
    Snapshot,
    Stored,
)

T = TypeVar("T")


@dataclass
class Group:
    """A commit that is to be: what the plans so far have changed."""

    head: Head
    instant: int
    generation: int
    changes: list[Written] = field(default_factory=list)
    latest: dict[Key, Written] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return self.head.number + 1

    def commit(self) -> Commit:
        stored = tuple(change.stored for change in self.changes)
        return Commit(self.number, self.instant, self.generation, SCHEMA, stored)

    def add(self, changes: Sequence[Written], *, defines: bool) -> None:
        self.changes.extend(changes)
        self.latest.update((change.stored.key, change) for change in changes)
        if defines:
            self.generation = self.number


class MongoView(MongoReads):
    """See ``fhir_server.storage.protocol.View``. It keeps what it has read by key: the head does not move."""

    def __init__(self, reading: Reading, searching: Searching, group: Group) -> None:
        super().__init__(reading, searching)
        self._group = group
        self._known: dict[Key, tuple[Stored, int] | None] = {}

    @property
    def head(self) -> Head:
        head = self._group.head
        return Head(head.log_id, head.number, head.instant, self._group.generation, SCHEMA)

    @property
    def instant(self) -> int:
        return self._group.instant

    @property
    def number(self) -> int:
        return self._group.number

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, Stored]:
        found = await self._current(keys)
        return {key: current[0] for key, current in found.items() if current is not None}

    async def holders(self, lookups: Sequence[tuple[str, Equality]]) -> Sequence[tuple[Key, ...]]:
        latest = self._group.latest
        held = await self._reading.holders(lookups)
        found = []
        for (type_, entry), there in zip(lookups, held, strict=True):
            own = [(key, ordinal) for key, ordinal in there if key not in latest]
            own += [(k, w.ordinal) for k, w in latest.items() if k.type == type_ and entry in w.entries]
            found.append(tuple(key for key, _ in sorted(own, key=lambda holder: holder[1])))
        return found

    async def matching(self, type: str, where: Node, limit: int) -> tuple[Stored, ...]:
        found = await self.search(Query((type,), where), Page(limit))
        return tuple(match.stored for match in found.matches)

    async def together(self, reads: Callable[[Snapshot], Awaitable[T]]) -> T:
        return await reads(self)

    def check_told(self) -> None:
        """What is not read by key or ``holders`` is told of the database only: such a plan leads its group."""
        if self._group.changes:
            raise Leads

    # --- for the committer -------------------------------------------------------------------------------------------

    async def written(self, changes: Sequence[Change]) -> list[Written]:
        """Return a plan's changes in their places. Raises ``StoreError`` where versions do not follow each other."""
        known = await self._current([change.key for change in changes])
        first = len(self._group.changes)
        check_room(first + len(changes))
        found = []
        for position, change in enumerate(changes, first):
            written = self._placed(change, Address(self.number, position), known.get(change.key))
            known[change.key] = (written.stored, written.ordinal)
            found.append(written)
        return found

    def _placed(self, change: Change, where: Address, current: tuple[Stored, int] | None) -> Written:
        before = 0 if current is None else current[0].version
        check_version(change.key, change.version, before)
        stored = Stored(
            change.key, change.version, self.instant, change.interaction, change.body, where, change.generation
        )
        ordinal = where.number * POSITIONS + where.position if current is None else current[1]
        return Written(stored, ordinal, () if change.body is None else change.entries)

    async def _current(self, keys: Iterable[Key]) -> dict[Key, tuple[Stored, int] | None]:
        """Return what is current of each key, with its place in the order of creation."""
        wanted = list(dict.fromkeys(keys))
        unknown = [key for key in wanted if key not in self._known and key not in self._group.latest]
        if unknown:
            self._known.update(dict.fromkeys(unknown))
            self._known.update(await self._reading.current(unknown))
        latest = self._group.latest
        return {key: (latest[key].stored, latest[key].ordinal) if key in latest else self._known[key] for key in wanted}
