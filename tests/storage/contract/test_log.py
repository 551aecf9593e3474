"""The feed, its replay into another store, and reindexing, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import Equal, Equality, IndexEntry, Page, Query, Span
from fhir_server.storage.protocol import Commit, CursorGone, HistoryPage, Scope, Snapshot, Store, Stored, StoreError
from tests.storage.conftest import OpenStore
from tests.storage.writing import SLOT, FixedClock, delete, put, put_all


async def whole_log(store: Store, after: int = 0) -> list[Commit]:
    return [commit async for commit in store.log(after)]


async def test_the_feed_of_an_empty_store_is_empty(store: Store) -> None:
    assert await whole_log(store) == []


@pytest.mark.parametrize("after", [-1, 1, 7])
async def test_a_place_beyond_the_head_is_gone(store: Store, after: int) -> None:
    with pytest.raises(CursorGone):
        await whole_log(store, after)


async def test_the_feed_goes_on_from_any_number(store: Store) -> None:
    for size in (1, 700, 3, 1):
        await put_all(store, {Key("Slot", str(n)): () for n in range(size)})
    everything = await whole_log(store)
    assert [len(commit.changes) for commit in everything] == [1, 700, 3, 1]
    for after in range(5):
        assert await whole_log(store, after) == everything[after:]


async def test_the_feed_is_gap_free_while_others_write(store: Store) -> None:
    finished = False

    async def write() -> None:
        nonlocal finished
        for _ in range(15):
            await asyncio.gather(*[store.commit(put(SLOT)) for _ in range(10)])
        finished = True

    async def follow() -> list[Commit]:
        seen: list[Commit] = []
        while True:
            last = finished
            seen += await whole_log(store, seen[-1].number if seen else 0)
            if last:
                return seen
            await asyncio.sleep(0.001)

    _, *followed = await asyncio.gather(write(), follow(), follow())
    for seen in followed:
        assert [commit.number for commit in seen] == list(range(1, len(seen) + 1))
        versions = [change.version for commit in seen for change in commit.changes]
        assert versions == list(range(1, 151))
        assert all(
            tuple(change.address) == (commit.number, place) and change.instant == commit.instant
            for commit in seen
            for place, change in enumerate(commit.changes)
        )


# --- replay ----------------------------------------------------------------------------------------------------------


def entries_of(change: Stored) -> tuple[IndexEntry, ...]:
    if change.is_deleted:
        return ()
    number = change.version
    return (Equality("status", f"v{number}"), Equality("all", "x"), Span("start", "", number, number + 1))


async def with_entries(log: AsyncIterator[Commit]) -> list[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]]:
    return [(commit, [entries_of(change) for change in commit.changes]) async for commit in log]


async def some_past(store: Store, clock: FixedClock) -> None:
    for round_ in range(4):
        clock.now += 1_000
        names = [Key("Slot", str(n)) for n in range(round_, round_ + 6)]
        async with store.snapshot() as snapshot:
            current = await snapshot.read(names)
        versions = {key: 1 + (current[key].version if key in current else 0) for key in names}
        await asyncio.gather(
            *[
                store.commit(put(key, (Equality("status", f"v{v}"), Equality("all", "x"), Span("start", "", v, v + 1))))
                for key, v in versions.items()
            ]
        )
        await store.commit(delete(Key("Slot", str(round_))))
    await store.commit(
        put(Key("SearchParameter", "s"), (Equality("status", "v1"), Equality("all", "x"), Span("start", "", 1, 2)))
    )


async def state(store: Store) -> object:
    async with store.snapshot() as snapshot:
        found = await snapshot.search(Query(("Slot", "SearchParameter"), Equal("all", ("x",))), Page(100))
        history = await snapshot.history(Scope(), HistoryPage(1000))
        values = [await snapshot.count(Query(("Slot",), Equal("status", (f"v{n}",)))) for n in range(6)]
        return snapshot.head, found, history, values


async def test_a_replayed_log_is_the_same_store(make_store: OpenStore, clock: FixedClock) -> None:
    source, target = make_store("source"), make_store("target")
    await source.open()
    await target.open()
    await some_past(source, clock)
    commits = await with_entries(source.log(0))
    async with source.snapshot() as snapshot:
        log_id = snapshot.head.log_id
    half = len(commits) // 2
    await target.append(commits[:half], log_id)
    await target.append(commits[half:], log_id)
    assert await whole_log(target) == await whole_log(source)
    assert await state(target) == await state(source)
    await target.commit(put(SLOT))
    assert (await whole_log(target))[-1].number == len(commits) + 1


async def test_commits_are_appended_only_where_they_follow(make_store: OpenStore, clock: FixedClock) -> None:
    source, target = make_store("source"), make_store("target")
    await source.open()
    await target.open()
    await some_past(source, clock)
    commits = await with_entries(source.log(0))
    with pytest.raises(StoreError):
        await target.append(commits[1:], "log")
    assert await whole_log(target) == []
    await target.append(commits[:2], "log")
    with pytest.raises(StoreError):
        await target.append(commits[2:3], "another log")
    with pytest.raises(StoreError):
        await target.append(commits[:1], "log")
    assert len(await whole_log(target)) == 2


async def test_a_store_that_plans_have_written_takes_no_other_log(make_store: OpenStore, clock: FixedClock) -> None:
    source, target = make_store("source"), make_store("target")
    await source.open()
    await target.open()
    await some_past(source, clock)
    await target.append((await with_entries(source.log(0)))[:2], "log")
    await target.commit(put(SLOT))
    with pytest.raises(StoreError):
        await target.append((await with_entries(source.log(0)))[2:], "log")


async def test_two_stores_are_two_logs(make_store: OpenStore) -> None:
    ids = set()
    for name in ("one", "two"):
        store = make_store(name)
        await store.open()
        async with store.snapshot() as snapshot:
            ids.add(snapshot.head.log_id)
    assert len(ids) == 2


# --- reindexing ------------------------------------------------------------------------------------------------------


async def test_reindexing_changes_what_is_found_and_no_version(store: Store) -> None:
    old, new = Equality("status", "old"), Equality("reason", "new")
    await store.commit(put(SLOT, [old, Equality("kept", "x")], generation=1))
    assert await store.reindex([(SLOT, 1, 3, (new, Equality("kept", "x")))]) == 1
    async with store.snapshot() as snapshot:
        assert await snapshot.count(Query(("Slot",), Equal("status", ("old",)))) == 0
        assert await snapshot.count(Query(("Slot",), Equal("reason", ("new",)))) == 1
        assert await snapshot.count(Query(("Slot",), Equal("kept", ("x",)))) == 1
        stored = (await snapshot.read([SLOT]))[SLOT]
        assert (stored.version, stored.generation, snapshot.head.number) == (1, 3, 1)


async def test_reindexing_leaves_what_is_newer_alone(store: Store) -> None:
    await store.commit(put(SLOT, [Equality("status", "v1")], generation=1))
    await store.commit(put(SLOT, [Equality("status", "v2")], generation=2))
    gone = Key("Slot", "gone")
    await store.commit(put(gone))
    await store.commit(delete(gone))
    entry = (Equality("status", "wrong"),)
    stale = [(SLOT, 1, 9, entry), (SLOT, 2, 2, entry), (gone, 1, 9, entry), (gone, 2, 9, entry)]
    assert await store.reindex([*stale, (Key("Patient", "none"), 1, 9, entry)]) == 0
    async with store.snapshot() as snapshot:
        assert await snapshot.count(Query(("Slot",), Equal("status", ("v2",)))) == 1
        assert await snapshot.count(Query(("Slot",), Equal("status", ("wrong",)))) == 0


async def test_what_older_definitions_have_indexed_is_told_oldest_first(store: Store) -> None:
    a, b, c, gone = (Key("Slot", id_) for id_ in ("a", "b", "c", "gone"))
    for key, generation in ((a, 2), (b, 1), (gone, 0), (c, 3)):
        await store.commit(put(key, generation=generation))
    await store.commit(delete(gone))
    await store.commit(put(Key("Patient", "a")))
    async with store.snapshot() as snapshot:
        assert [stored.key for stored in await snapshot.outdated("Slot", 3, 10)] == [b, a]
        assert await snapshot.outdated("Slot", 3, 1) == (await snapshot.vread(b, 1),)
        assert await snapshot.outdated("Slot", 1, 10) == ()
        assert await snapshot.outdated("Schedule", 9, 10) == ()
        assert len(await snapshot.outdated("Slot", 9, 10)) == 3

        async def together(within: Snapshot) -> int:
            return len(await within.outdated("Slot", 9, 10))

        assert await snapshot.together(together) == 3
    await store.commit(put(b, generation=4))
    assert await store.reindex([(a, 1, 4, ())]) == 1
    async with store.snapshot() as snapshot:
        assert await snapshot.outdated("Slot", 3, 10) == ()


async def test_entries_that_stay_right_are_marked_as_of_newer_definitions(store: Store) -> None:
    entries = [Equality("status", "free"), Equality("kept", "x")]
    await store.commit(put(SLOT, entries, generation=1))
    assert await store.reindex([(SLOT, 1, 3, None)]) == 1
    async with store.snapshot() as snapshot:
        assert set((await snapshot.entries([SLOT]))[SLOT]) == set(entries)
        assert (await snapshot.read([SLOT]))[SLOT].generation == 3
    assert await store.reindex([(SLOT, 1, 2, None)]) == 0


async def test_the_head_is_told_without_a_snapshot(store: Store) -> None:
    for number in range(2):
        async with store.snapshot() as snapshot:
            assert await store.head() == snapshot.head
        await store.commit(put(Key("SearchParameter", str(number))))
    assert (await store.head()).generation == 2


async def test_one_at_a_time_does_a_task(store: Store, make_store: OpenStore) -> None:
    other = make_store()
    await other.open()
    async with store.alone("reindex") as first, other.alone("reindex") as second, store.alone("reindex") as third:
        assert (first, second, third) == (True, False, False)
        async with other.alone("something-else") as another:
            assert another
    async with other.alone("reindex") as first:
        assert first
