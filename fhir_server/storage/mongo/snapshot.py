"""A snapshot: what the log said when it was opened, up to the last commit that was known applied."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from fhir_server.storage.mongo.asking import AskingSnapshot, driven
from fhir_server.storage.mongo.gathering import Gathered
from fhir_server.storage.mongo.reading import Reading
from fhir_server.storage.mongo.reads import MongoReads
from fhir_server.storage.mongo.searching import Searching
from fhir_server.storage.plans import READS_WAITED
from fhir_server.storage.protocol import Head, Snapshot

T = TypeVar("T")


class MongoSnapshot(MongoReads):
    """Nothing is held open for it."""

    def __init__(self, heads: Gathered[None, Head], reading: Reading, searching: Searching) -> None:
        super().__init__(reading, searching)
        self._heads = heads
        self._head: Head | None = None

    async def __aenter__(self) -> Snapshot:
        self._head = await self._heads.get(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    @property
    def head(self) -> Head:
        if self._head is None:
            raise RuntimeError("this snapshot was never opened")
        return self._head

    async def together(self, reads: Callable[[Snapshot], Awaitable[T]]) -> T:
        return await driven(reads(AskingSnapshot(self)), READS_WAITED)
