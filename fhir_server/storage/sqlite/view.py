"""What is read where the connection is: whatever is asked is answered at once, never by waiting.

So a plan sees the head of the log on the writer's own connection, and several reads of a snapshot are one job.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality, IndexEntry, Node, Page, Query
from fhir_server.storage.protocol import Head, HistoryPage, Matches, Scope, Snapshot, Stored, Versions
from fhir_server.storage.sqlite.outdated import outdated
from fhir_server.storage.sqlite.planner import Planner
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.sql import among, bind, build
from fhir_server.storage.sqlite.stored_entries import stored_entries

SINGLY: Final = 4
"""So many reads by key cost less one by one."""

T = TypeVar("T")


class SqliteReads:
    """One state of the log. Its methods are coroutines that never suspend."""

    def __init__(self, reading: Reading, planner: Planner, head: Head) -> None:
        self._reading = reading
        self._planner = planner
        self._head = head

    @property
    def head(self) -> Head:
        return self._head

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, Stored]:
        return read_all(self._reading, keys)

    async def vread(self, key: Key, version: int) -> Stored | None:
        return self._reading.vread(key, version)

    async def deletions(self, versions: Sequence[tuple[Key, int]]) -> frozenset[tuple[Key, int]]:
        return self._reading.deletions(versions)

    async def history(self, scope: Scope, page: HistoryPage) -> Versions:
        return self._reading.history(scope, page)

    async def search(self, query: Query, page: Page) -> Matches:
        return self._planner.search(query, page)

    async def count(self, query: Query, seconds: float | None = None) -> int:
        if seconds is None:
            return self._planner.count(query)
        with self._reading.meter.limit(seconds):
            return self._planner.count(query)

    async def references(self, keys: Sequence[Key], parameter: str) -> Mapping[Key, tuple[str, ...]]:
        return references(self._reading, keys, parameter)

    async def targets(self, keys: Sequence[Key], parameter: str) -> tuple[str, ...]:
        return targets(self._reading, keys, parameter, self._planner.ordinals)

    async def entries(self, keys: Sequence[Key]) -> Mapping[Key, tuple[IndexEntry, ...]]:
        return stored_entries(self._reading, keys)

    async def outdated(self, type: str, generation: int, limit: int) -> tuple[Stored, ...]:
        return outdated(self._reading, type, generation, limit)

    async def together(self, reads: Callable[[Snapshot], Awaitable[T]]) -> T:
        return await reads(self)


class SqliteView(SqliteReads):
    """The head of the log as the plans before this one left it."""

    def __init__(self, reading: Reading, head: Head, instant: int) -> None:
        super().__init__(reading, Planner(reading), head)
        self._instant = instant

    @property
    def instant(self) -> int:
        return self._instant

    @property
    def number(self) -> int:
        return self._head.number + 1

    async def holders(self, lookups: Sequence[tuple[str, Equality]]) -> Sequence[tuple[Key, ...]]:
        return [holders(self._reading, name, entry) for name, entry in lookups]

    async def matching(self, type: str, where: Node, limit: int) -> tuple[Stored, ...]:
        ordinals = self._planner.matching(type, where, limit)
        found = self._reading.by_ordinal(ordinals)
        return tuple(found[ordinal] for ordinal in ordinals)


def read_all(reading: Reading, keys: Iterable[Key]) -> dict[Key, Stored]:
    """Return the current versions of those that ever were."""
    wanted = list(dict.fromkeys(keys))
    if len(wanted) > SINGLY:
        return reading.read_many(wanted)
    found = ((key, reading.read(key)) for key in wanted)
    return {key: stored for key, stored in found if stored is not None}


def references(reading: Reading, keys: Sequence[Key], parameter: str) -> dict[Key, tuple[str, ...]]:
    """Return the values of the equality entries of current resources, where they have some."""
    by_type: dict[str, list[str]] = {}
    for key in keys:
        by_type.setdefault(key.type, []).append(key.id)
    found: dict[Key, tuple[str, ...]] = {}
    for name, ids in by_type.items():
        number = reading.names.type(name)
        field = None if number is None else reading.names.field(number, parameter, "equality")
        if field is None:
            continue
        statement = build(
            """
            SELECT r.id, e.value FROM resource r INDEXED BY resource_key
            CROSS JOIN equality e ON e.ordinal = r.ordinal AND e.field = {} WHERE r.type = {} AND {}
            """,
            bind(field),
            bind(number),
            among("r.id", ids),
        )
        for id_, value in reading.connection.execute(*statement):
            key = Key(name, id_)
            found[key] = (*found.get(key, ()), value)
    return found


def targets(reading: Reading, keys: Iterable[Key], parameter: str, ordinals: Mapping[Key, int]) -> tuple[str, ...]:
    """Return the values of the equality entries of current resources, each once; some ordinals may be known."""
    known: dict[str, list[int]] = {}
    others: dict[str, list[str]] = {}
    for key in keys:
        ordinal = ordinals.get(key)
        if ordinal is None:
            others.setdefault(key.type, []).append(key.id)
        else:
            known.setdefault(key.type, []).append(ordinal)
    found: set[str] = set()
    for statement, listed in ((_TARGETS_KNOWN, known), (_TARGETS, others)):
        for name, values in listed.items():
            number = reading.names.type(name)
            field = None if number is None else reading.names.field(number, parameter, "equality")
            if field is not None:
                wanted = {"listed": json.dumps(values), "field": field, "type": number}
                found.update(value for (value,) in reading.connection.execute(statement, wanted).fetchall())
    return tuple(sorted(found))


_TARGETS_KNOWN: Final = """
    SELECT DISTINCT e.value FROM json_each(:listed) AS wanted
    CROSS JOIN equality e ON e.ordinal = wanted.value AND e.field = :field
"""
_TARGETS: Final = """
    SELECT DISTINCT e.value FROM json_each(:listed) AS wanted
    CROSS JOIN resource r INDEXED BY resource_key ON r.type = :type AND r.id = wanted.value
    CROSS JOIN equality e ON e.ordinal = r.ordinal AND e.field = :field
"""


def holders(reading: Reading, type: str, entry: Equality) -> tuple[Key, ...]:
    """Return the current resources of a type that have the very entry, in order of creation."""
    number = reading.names.type(type)
    field = None if number is None else reading.names.field(number, entry.parameter, "equality")
    if field is None:
        return ()
    rows = reading.connection.execute(
        """
        SELECT r.id FROM equality e INDEXED BY equality_value CROSS JOIN resource r ON r.ordinal = e.ordinal
        WHERE e.field = ? AND e.value = ? ORDER BY e.ordinal
        """,
        (field, entry.value),
    )
    return tuple(Key(type, row[0]) for row in rows)
