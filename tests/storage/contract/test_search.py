"""Every node, every sort, every page of a search agrees with the oracle."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry, Page, Query
from fhir_server.storage.protocol import Snapshot, Store
from tests.rounds import FULL
from tests.storage.conftest import NewPlace, store_at
from tests.storage.contract import oracle
from tests.storage.contract.generated import queries, resources
from tests.storage.writing import FixedClock, delete, ordinal, put, put_all

EXAMPLES = 1_500 if FULL else 40

Resources = dict[tuple[str, str], tuple[IndexEntry, ...]]


async def fill(store: Store, clock: FixedClock, wanted: Resources) -> dict[Key, oracle.Resource]:
    """Write resources by several commits: some twice, some only to be deleted."""
    keys = [Key(*key) for key in wanted]
    everything = {key: wanted[key] for key in keys}
    half = len(keys) // 2
    await put_all(store, {key: everything[keys[-1 - place]] for place, key in enumerate(keys[:half])})
    clock.now += 1000
    await put_all(store, everything)
    for key in keys[:half:3]:
        await store.commit(delete(key))
    clock.now += 1000
    for key in keys[1:half:3]:
        await store.commit(put(key, everything[key]))
    for key in keys[:half:6]:
        await store.commit(put(key, everything[key]))
    return await world_of(store, everything)


async def world_of(store: Store, entries: dict[Key, tuple[IndexEntry, ...]]) -> dict[Key, oracle.Resource]:
    first: dict[Key, int] = {}
    async for commit in store.log(0):
        for change in commit.changes:
            first.setdefault(change.key, ordinal(change.address))
    async with store.snapshot() as snapshot:
        current = await snapshot.read(entries)
    return {
        key: oracle.Resource(key, first[key], stored.instant, entries[key])
        for key, stored in current.items()
        if not stored.is_deleted
    }


async def pages(snapshot: Snapshot, query: Query, count: int) -> list[tuple[Key, tuple[object, ...]]]:
    """Read a result page by page, forward; then backward, and check that it is the same."""
    found = await snapshot.search(query, Page(count))
    forward = list(found.matches)
    while found.more:
        assert len(found.matches) == count
        found = await snapshot.search(query, Page(count, after=found.matches[-1].cursor))
        forward.extend(found.matches)
    backward = list(found.matches[-1:])
    more = bool(backward)
    while more:
        found = await snapshot.search(query, Page(count, before=backward[0].cursor))
        backward[:0] = found.matches
        more = found.more
        assert not more or len(found.matches) == count
    assert backward == forward
    return [(match.stored.key, match.cursor) for match in forward]


async def agree(place: str, wanted: Resources, asked: list[Query], count: int) -> None:
    """Fill a store, and compare what it answers with the oracle's answers."""
    clock = FixedClock()
    store = store_at(place, clock)
    await store.open()
    try:
        world = await fill(store, clock, wanted)
        async with store.snapshot() as snapshot:
            for query in asked:
                expected = oracle.search(world, query)
                assert await pages(snapshot, query, count) == expected
                assert await snapshot.count(query) == len(expected)
    finally:
        await store.close()


@pytest.mark.torture
@settings(max_examples=EXAMPLES, deadline=None)
@given(wanted=resources, asked=st.lists(queries, min_size=3, max_size=8), count=st.integers(1, 4))
def test_search_agrees_with_the_oracle(new_place: NewPlace, wanted: Resources, asked: list[Query], count: int) -> None:
    with new_place() as place:
        asyncio.run(agree(place, wanted, asked, count))
