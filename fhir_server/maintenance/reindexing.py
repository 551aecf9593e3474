"""What newer definitions have made wrong in the index is made right in the background, while everything is served.

In small batches, by one process at a time. What is left to do is told by the generation that each resource carries, so
nothing is lost when a process is killed: the next one goes on, on its start or within a second. A resource that is
written meanwhile is indexed by the newer definitions then, and left alone here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final

from fhir_server.interactions.context import Context
from fhir_server.interactions.pace import Pace, aside
from fhir_server.model.formats import parse
from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.service import Service
from fhir_server.storage.beside import beside
from fhir_server.storage.protocol import Reindexed, Store, Stored, StoreError

_LOG: Final = logging.getLogger(__name__)

TASK: Final = "reindex"
BATCH: Final = 50
"""Resources written together: writers wait for no more."""
LOOK_SECONDS: Final = 1.0
"""How often each process looks whether there is something to do, if nobody tells it."""
WAIT_SECONDS: Final = 0.2
"""How long a command waits before it asks again for its turn."""


@asynccontextmanager
async def reindexing(service: Service) -> AsyncIterator[None]:
    """Reindex, whenever definitions ask for it, for as long as the block lasts."""
    async with beside(_forever(service)):
        yield


async def _forever(service: Service) -> None:
    news = service.context.definitions.news
    work = CatchingUp(tell=_LOG.error, is_patient=True)
    trouble = ""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this runs in one
    while not task.cancelling():  # an error that comes at the same instant hides a cancellation
        news.clear()
        try:
            await _catch_up(work, service)
            trouble = ""
        except StoreError as error:
            if trouble != str(error):  # once, however long it lasts
                _LOG.warning("definitions cannot be followed now: %s", error)
            trouble = str(error)
        except Exception:
            _LOG.exception("reindexing failed; it is tried again")
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await news.wait()


async def _catch_up(work: CatchingUp, service: Service) -> None:
    context = await service.context.followed()
    if not context.registry.oldest:
        return
    async with context.store.alone(TASK) as is_mine:
        if is_mine:
            await work.run(context)


@asynccontextmanager
async def in_turn(store: Store) -> AsyncIterator[None]:
    """Wait until nobody else reindexes the store; nobody else begins until the block ends."""
    while True:
        async with store.alone(TASK) as is_mine:
            if is_mine:
                yield
                return
        await asyncio.sleep(WAIT_SECONDS)


class CatchingUp:
    """Indexes what older definitions have indexed. ``tell`` takes a line for each resource that cannot be; it is left
    as it is, so a parameter that waits for it goes on waiting."""

    def __init__(self, tell: Callable[[str], None], *, is_patient: bool = False) -> None:
        """``is_patient``: pause after each batch for as long as it took, since others are served meanwhile."""
        self._tell = tell
        self._is_patient = is_patient
        self._failed: set[tuple[Key, int]] = set()

    async def run(self, context: Context) -> None:
        """Go on until nothing is left, whatever is defined meanwhile. Call it in turn."""
        is_moving = True
        while context.registry.oldest and is_moving:
            is_moving = False
            for type_ in _first_those_that_changed(context):
                while await self._batch(context.current, type_):
                    is_moving = True
            context = await context.followed()

    async def _batch(self, context: Context, type_: str) -> bool:
        """Index some resources of a type; return whether there were any."""
        started, changed = monotonic(), context.registry.changed
        async with context.store.snapshot() as snapshot:
            page = await snapshot.outdated(type_, changed, BATCH + len(self._failed))
        page = tuple(stored for stored in page if (stored.key, stored.version) not in self._failed)[:BATCH]
        computed: list[Reindexed] = []
        pace = Pace()
        for stored in page:
            try:
                entries = await _entries(context, stored)
            except Exception as error:  # whatever is wrong with one stored resource, the others are indexed
                self._failed.add((stored.key, stored.version))
                self._tell(f"{stored.key}: its index entries cannot be computed ({type(error).__name__})")
            else:
                computed.append((stored.key, stored.version, context.registry.generation, entries))
            await pace.keep()
        if computed:
            await context.store.reindex(computed)
        if self._is_patient:
            await asyncio.sleep(monotonic() - started)
        return bool(page)


def _first_those_that_changed(context: Context) -> list[str]:
    """Return the types to be indexed, those first that a search waits for."""
    registry = context.registry
    return sorted(registry.oldest, key=lambda type_: (-registry.changed_for(type_), type_))


async def _entries(context: Context, stored: Stored) -> tuple[IndexEntry, ...] | None:
    """Return what a resource is found by, None if that cannot have changed: its type's parameters have not, and it
    contains no resource of another type."""
    body = stored.body or b""
    if stored.generation >= context.registry.changed_for(stored.key.type) and b'"contained"' not in body:
        return None
    return await aside(len(body), _computed, context, body)


def _computed(context: Context, body: bytes) -> tuple[IndexEntry, ...]:
    return context.indexer.entries(parse(body))
