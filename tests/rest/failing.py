"""A store that fails when it is told to: the real one behind it does the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Committed, Plan, Snapshot, Store, Stored, T
from tests.rest.conftest import Server


class FailingStore:
    """Raises ``error``, where there is one, instead of reading and writing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        self._fail()
        async with self._store.snapshot() as snapshot:
            yield snapshot

    async def read(self, key: Key) -> Stored | None:
        self._fail()
        return await self._store.read(key)

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        self._fail()
        return await self._store.commit(plan)

    async def healthy(self) -> Sequence[str]:
        self._fail()
        return await self._store.healthy()


def put_failing_store(server: Server) -> FailingStore:
    """Have a server work on a store that can fail."""
    context = server.service.context
    store = FailingStore(context.store)
    server.service.context = replace(context, store=store)
    server.app.state.store = store
    server.may_fail = True
    return store
