"""One snapshot is one read transaction: all its answers agree, whatever is written meanwhile."""

from __future__ import annotations

import asyncio

from fhir_server.model.reference import Key
from fhir_server.search.query import Equal, Equality, Page, Query
from fhir_server.storage.protocol import HistoryPage, Scope, Snapshot, StoreLimits
from fhir_server.storage.sqlite import SqliteStore
from tests.storage.conftest import store_at
from tests.storage.writing import SLOT, FixedClock, put

SLOTS = Query(("Slot",))
FREE = Query(("Slot",), Equal("status", ("free",)))


async def answers(snapshot: Snapshot) -> tuple[object, ...]:
    keys = [match.stored.key for match in (await snapshot.search(FREE, Page(100))).matches]
    return (
        snapshot.head,
        keys,
        await snapshot.read([SLOT, Key("Slot", "b")]),
        await snapshot.vread(SLOT, 2),
        await snapshot.count(SLOTS),
        await snapshot.count(FREE),
        await snapshot.history(Scope(), HistoryPage(10)),
        await snapshot.references(keys, "status"),
        await snapshot.targets(keys, "status"),
        await snapshot.entries(keys),
    )


async def test_a_snapshot_stays_as_it_was(tmp_path: object, clock: FixedClock) -> None:
    store = store_at(f"sqlite:{tmp_path}", clock)
    await store.open()
    try:
        await store.commit(put(SLOT, [Equality("status", "free")]))
        async with store.snapshot() as snapshot:
            before = await answers(snapshot)
            await store.commit(put(SLOT, [Equality("status", "busy")]))
            await store.commit(put(Key("Slot", "b"), [Equality("status", "free")]))
            assert await answers(snapshot) == before
            assert await snapshot.together(answers) == before
        async with store.snapshot() as snapshot:
            assert await answers(snapshot) != before
    finally:
        await store.close()


async def test_more_snapshots_than_readers_take_turns(tmp_path: object, clock: FixedClock) -> None:
    store = store_at(f"sqlite:{tmp_path}", clock, limits=StoreLimits(readers=2))
    assert isinstance(store, SqliteStore)
    await store.open()
    inside = 0
    most = 0

    async def read() -> None:
        nonlocal inside, most
        async with store.snapshot() as snapshot:
            inside += 1
            most = max(most, inside)
            await snapshot.search(SLOTS, Page(1))
            inside -= 1

    try:
        await asyncio.gather(*[read() for _ in range(20)])
    finally:
        await store.close()
    assert most <= 2
