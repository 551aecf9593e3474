"""Stores around a store: one that keeps nothing, and one that lets writes wait for each other.

Both pass everything on but ``commit``; the store itself is opened and closed by whoever made it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.protocol import (
    Commit,
    Committed,
    Head,
    Plan,
    Planned,
    Reindexed,
    Snapshot,
    Store,
    Stored,
    View,
)

T = TypeVar("T")


class Around:
    """Passes everything on."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(self) -> None:
        """Nothing: the store is open."""

    async def close(self) -> None:
        """Nothing: the store stays open."""

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        return self._store.snapshot()

    async def read(self, key: Key) -> Stored | None:
        return await self._store.read(key)

    async def head(self) -> Head:
        return await self._store.head()

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        return await self._store.commit(plan)

    def log(self, after: int) -> AsyncIterator[Commit]:
        return self._store.log(after)

    async def append(self, commits: Iterable[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]], log_id: str) -> None:
        await self._store.append(commits, log_id)

    async def end(self) -> None:
        await self._store.end()

    async def reindex(self, entries: Sequence[Reindexed], *, again: bool = False) -> int:
        return await self._store.reindex(entries, again=again)

    def alone(self, task: str) -> AbstractAsyncContextManager[bool]:
        return self._store.alone(task)

    async def healthy(self) -> Sequence[str]:
        return await self._store.healthy()


# --- a store that keeps nothing --------------------------------------------------------------------------------------


class _Rehearsed(Exception):
    """Carries what a plan decided: a plan that raises changes nothing."""

    def __init__(self, planned: Planned[Any]) -> None:
        super().__init__()
        self.planned = planned


class Rehearsal(Around):
    """Every plan is run at the head, and refused or answered as it would be; nothing is written."""

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        async def rehearse(view: View) -> Planned[T]:
            raise _Rehearsed(await plan(view))

        try:
            return await super().commit(rehearse)
        except _Rehearsed as rehearsed:
            return Committed(rehearsed.planned.answer, None)


# --- a store whose writes wait for each other ------------------------------------------------------------------------


class Gate:
    """Opens when all that were announced have come to it or gone elsewhere."""

    def __init__(self, announced: int) -> None:
        self._missing = announced
        self._open = asyncio.Event()

    async def wait(self) -> None:
        """Come to the gate, and wait until it opens."""
        self.leave()
        await self._open.wait()

    def leave(self) -> None:
        """One less to wait for."""
        self._missing -= 1
        if self._missing <= 0:
            self._open.set()


GATE: Final[ContextVar[Gate | None]] = ContextVar("GATE", default=None)
"""The gate of the task that writes."""


class Gathering(Around):
    """A plan waits at the gate of its task, so that the store finds many at once and makes few commits of them."""

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        gate = GATE.get()
        if gate is not None:
            GATE.set(None)  # a plan that is prepared again does not wait again
            await gate.wait()
        return await super().commit(plan)
