"""A plan awaits nothing but its view. Here the view waits for MongoDB, so a plan is driven question by question.

What a plan awaits of its view is a ``Question``, which the driver answers; anything else that it awaits is an error
that is told, not a wait of unknown length at the head of the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality, IndexEntry, Node, Page, Query
from fhir_server.storage.protocol import Head, HistoryPage, Matches, Scope, Snapshot, Stored, Versions, View

T = TypeVar("T")

PACE_SECONDS: Final = 0.005
"""So long answers may come without waiting: then everything else has its turn."""


class Leads(Exception):
    """A plan asks what cannot be told from the changes of the plans before it: it leads the next group."""


class Question(Generic[T]):
    """Something asked of a view."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self.ask = ask

    def __await__(self) -> Generator[Question[T], T, T]:
        answer = yield self
        return answer


async def asked(ask: Callable[[], Awaitable[T]]) -> T:
    """Return the answer that whoever drives gives."""
    question: Question[T] = Question(ask)
    return await question


async def driven(awaitable: Awaitable[T], refusal: str) -> T:
    """Return what a plan returns, answering its questions. Raises ``RuntimeError`` with the refusal if it awaits
    anything else, and ``Leads`` as the view does."""
    loop = asyncio.get_running_loop()
    steps: Generator[Any, Any, T] = awaitable.__await__()
    since = loop.time()
    answer: Any = None
    failure: Exception | None = None
    try:
        while True:
            question = steps.send(answer) if failure is None else steps.throw(failure)
            if not isinstance(question, Question):
                raise RuntimeError(refusal)
            answer, failure = None, None
            try:
                answer = await question.ask()
            except Leads:
                raise
            except Exception as error:
                failure = error
            if loop.time() - since > PACE_SECONDS:
                await asyncio.sleep(0)
                since = loop.time()
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


class AskingSnapshot:
    """A snapshot whose answers are given by whoever drives."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def head(self) -> Head:
        return self._snapshot.head

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, Stored]:
        return await asked(lambda: self._snapshot.read(keys))

    async def vread(self, key: Key, version: int) -> Stored | None:
        return await asked(lambda: self._snapshot.vread(key, version))

    async def deletions(self, versions: Sequence[tuple[Key, int]]) -> frozenset[tuple[Key, int]]:
        return await asked(lambda: self._snapshot.deletions(versions))

    async def history(self, scope: Scope, page: HistoryPage) -> Versions:
        return await asked(lambda: self._snapshot.history(scope, page))

    async def search(self, query: Query, page: Page) -> Matches:
        return await asked(lambda: self._snapshot.search(query, page))

    async def count(self, query: Query, seconds: float | None = None) -> int:
        return await asked(lambda: self._snapshot.count(query, seconds))

    async def references(self, keys: Sequence[Key], parameter: str) -> Mapping[Key, tuple[str, ...]]:
        return await asked(lambda: self._snapshot.references(keys, parameter))

    async def targets(self, keys: Sequence[Key], parameter: str) -> tuple[str, ...]:
        return await asked(lambda: self._snapshot.targets(keys, parameter))

    async def entries(self, keys: Sequence[Key]) -> Mapping[Key, tuple[IndexEntry, ...]]:
        return await asked(lambda: self._snapshot.entries(keys))

    async def outdated(self, type: str, generation: int, limit: int) -> tuple[Stored, ...]:
        return await asked(lambda: self._snapshot.outdated(type, generation, limit))

    async def together(self, reads: Callable[[Snapshot], Awaitable[T]]) -> T:
        return await reads(self)


class AskingView(AskingSnapshot):
    """A view whose answers are given by whoever drives."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._view = view

    @property
    def instant(self) -> int:
        return self._view.instant

    @property
    def number(self) -> int:
        return self._view.number

    async def holders(self, lookups: Sequence[tuple[str, Equality]]) -> Sequence[tuple[Key, ...]]:
        return await asked(lambda: self._view.holders(lookups))

    async def matching(self, type: str, where: Node, limit: int) -> tuple[Stored, ...]:
        return await asked(lambda: self._view.matching(type, where, limit))
