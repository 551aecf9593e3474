"""What a snapshot and a view share: each read is one question, or a few, to MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry, Page, Query
from fhir_server.storage.mongo.reading import Reading
from fhir_server.storage.mongo.searching import Searching
from fhir_server.storage.protocol import Head, HistoryPage, Matches, Scope, Stored, Versions


class MongoReads:
    """Histories and versions end at the head. What is current, and what is found, is as MongoDB has it when asked: see
    ``docs/mongodb.md`` on isolation."""

    def __init__(self, reading: Reading, searching: Searching) -> None:
        self._reading = reading
        self._searching = searching

    @property
    def head(self) -> Head:
        raise NotImplementedError

    def check_told(self) -> None:
        """Raise if the database alone cannot tell what is asked."""

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, Stored]:
        found = await self._reading.current(keys)
        return {key: stored for key, (stored, _) in found.items()}

    async def vread(self, key: Key, version: int) -> Stored | None:
        self.check_told()
        return await self._reading.vread(key, version, self.head.number)

    async def deletions(self, versions: Sequence[tuple[Key, int]]) -> frozenset[tuple[Key, int]]:
        self.check_told()
        return await self._reading.deletions(versions)

    async def history(self, scope: Scope, page: HistoryPage) -> Versions:
        self.check_told()
        return await self._reading.history(scope, page, self.head.number)

    async def search(self, query: Query, page: Page) -> Matches:
        self.check_told()
        return await self._searching.search(query, page)

    async def count(self, query: Query, seconds: float | None = None) -> int:
        self.check_told()
        return await self._searching.count(query, seconds)

    async def references(self, keys: Sequence[Key], parameter: str) -> Mapping[Key, tuple[str, ...]]:
        self.check_told()
        return await self._reading.references(keys, parameter)

    async def targets(self, keys: Sequence[Key], parameter: str) -> tuple[str, ...]:
        self.check_told()
        return await self._reading.targets(keys, parameter)

    async def entries(self, keys: Sequence[Key]) -> Mapping[Key, tuple[IndexEntry, ...]]:
        self.check_told()
        return await self._reading.entries(keys)

    async def outdated(self, type: str, generation: int, limit: int) -> tuple[Stored, ...]:
        self.check_told()
        return await self._reading.outdated(type, generation, limit)
