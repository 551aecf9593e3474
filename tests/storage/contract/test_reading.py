"""Snapshots, histories and references, on every engine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import (
    EVERYTHING,
    EndsWith,
    Equal,
    Equality,
    Or,
    Page,
    Query,
    References,
    SortBy,
    Text,
    TextContains,
)
from fhir_server.storage.protocol import (
    Address,
    HistoryPage,
    Matches,
    Planned,
    QueryTimeout,
    Scope,
    Snapshot,
    Store,
    Stored,
    StoreLimits,
    StoreUnavailable,
    View,
)
from tests.storage.conftest import OpenStore
from tests.storage.writing import SLOT, START, FixedClock, delete, put, put_all

SLOTS = Query(("Slot",))


async def test_the_past_that_a_snapshot_tells_stays_as_it_was(store: Store) -> None:
    """What is current need not: see the tests of each engine, and the documentation, for how far they agree."""
    await store.commit(put(SLOT, [Equality("status", "free")]))
    async with store.snapshot() as snapshot:
        await store.commit(put(SLOT, [Equality("status", "busy")]))
        await store.commit(put(Key("Slot", "b"), [Equality("status", "free")]))
        assert snapshot.head.number == 1
        assert await snapshot.vread(SLOT, 2) is None
        assert len((await snapshot.history(Scope(), HistoryPage(10))).versions) == 1
    async with store.snapshot() as snapshot:
        assert snapshot.head.number == 3
        assert await snapshot.count(Query(("Slot",), Equal("status", ("free",)))) == 1


async def test_more_snapshots_than_readers_are_all_answered(make_store: OpenStore) -> None:
    store = make_store(limits=StoreLimits(readers=2))
    await store.open()
    await store.commit(put(SLOT))

    async def read() -> int:
        async with store.snapshot() as snapshot:
            return len((await snapshot.search(SLOTS, Page(1))).matches)

    assert await asyncio.gather(*[read() for _ in range(20)]) == [1] * 20


async def test_who_waits_too_long_for_a_snapshot_is_told(make_store: OpenStore) -> None:
    """An engine may let few read at once; nobody waits for ever, and who has waited in vain takes no place along."""
    store = make_store(limits=StoreLimits(readers=2, query_seconds=0.2))
    await store.open()

    async def read() -> None:
        with suppress(StoreUnavailable):
            async with store.snapshot() as snapshot:
                await snapshot.read([SLOT])

    async with asyncio.timeout(5):
        async with store.snapshot(), store.snapshot():
            waiting = [asyncio.create_task(read()) for _ in range(10)]
            await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
            await asyncio.wait(waiting)
        async with store.snapshot() as first, store.snapshot() as second:
            assert first.head == second.head


async def test_many_keys_are_read_at_once(store: Store) -> None:
    keys = [Key(type_, str(n)) for type_ in ("Slot", "Schedule") for n in range(60)]
    await put_all(store, dict.fromkeys(keys, ()))
    async with store.snapshot() as snapshot:
        found = await snapshot.read([*keys, Key("Slot", "none"), Key("Patient", "1")])
    assert sorted(found) == sorted(keys)
    assert all(stored.key == key for key, stored in found.items())


async def test_references_are_told_without_bodies(store: Store) -> None:
    await store.commit(put(SLOT, [Equality("actor", "A/1"), Equality("actor", "A/2"), Equality("other", "A/3")]))
    await store.commit(put(Key("Schedule", "s"), [Equality("actor", "A/4")]))
    async with store.snapshot() as snapshot:
        asked = [SLOT, Key("Schedule", "s"), Key("Slot", "none")]
        found = await snapshot.references(asked, "actor")
        assert {key: sorted(values) for key, values in found.items() if values} == {
            SLOT: ["A/1", "A/2"],
            Key("Schedule", "s"): ["A/4"],
        }
        assert await snapshot.targets(asked, "actor") == ("A/1", "A/2", "A/4")
        assert await snapshot.targets(asked[:1], "actor") == ("A/1", "A/2")
        assert await snapshot.targets(asked, "none") == ()
        assert await snapshot.targets([], "actor") == ()


async def test_targets_of_what_was_just_found_are_each_told_once(store: Store) -> None:
    agendas = {Key("Slot", f"s{n:02}"): (Equality("schedule", f"Schedule/{n % 3}"),) for n in range(60)}
    await put_all(store, agendas)
    await store.commit(delete(Key("Slot", "s02")))
    await store.commit(put(Key("Slot", "s05"), [Equality("schedule", "Schedule/other")]))
    async with store.snapshot() as snapshot:
        found = await snapshot.search(Query(("Slot",), Equal("schedule", ("Schedule/2", "Schedule/other"))), Page(50))
        keys = [match.stored.key for match in found.matches]
        assert len(keys) == 19
        assert await snapshot.targets(keys, "schedule") == ("Schedule/2", "Schedule/other")
        assert await snapshot.targets([*keys, Key("Slot", "s00"), Key("Slot", "s02")], "schedule") == (
            "Schedule/0",
            "Schedule/2",
            "Schedule/other",
        )


async def test_reads_together_agree_with_reads_one_by_one(store: Store) -> None:
    await put_all(store, {Key("Slot", str(n)): (Equality("p", "v"),) for n in range(30)})
    query = Query(("Slot",), Equal("p", ("v",)))

    async def reads(snapshot: Snapshot) -> tuple[object, ...]:
        keys = [match.stored.key for match in (await snapshot.search(query, Page(100))).matches]
        assert len(keys) == 30
        return (
            snapshot.head,
            await snapshot.read(keys),
            await snapshot.vread(keys[0], 1),
            await snapshot.history(Scope("Slot"), HistoryPage(5)),
            await snapshot.count(query),
            await snapshot.references(keys, "p"),
            await snapshot.targets(keys, "p"),
            await snapshot.entries(keys),
            await snapshot.together(one_more),
        )

    async def one_more(snapshot: Snapshot) -> int:
        return await snapshot.count(query)

    async with store.snapshot() as snapshot:
        assert await snapshot.together(reads) == await reads(snapshot)

    async def plan(view: View) -> Planned[object]:
        return Planned([], await view.together(one_more))

    assert (await store.commit(plan)).answer == 30


async def test_what_reads_together_raise_is_the_callers(store: Store) -> None:
    async def fails(snapshot: Snapshot) -> None:
        await snapshot.read([SLOT])
        raise KeyError("mine")

    async def waits(snapshot: Snapshot) -> None:
        await asyncio.sleep(0)

    async with store.snapshot() as snapshot:
        with pytest.raises(KeyError, match="mine"):
            await snapshot.together(fails)
        with pytest.raises(RuntimeError, match="nothing but the snapshot"):
            await snapshot.together(waits)
        assert await snapshot.count(Query(("Slot",))) == 0


# --- histories -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def past(store: Store, clock: FixedClock) -> list[Stored]:
    """A log of some commits; its versions, oldest first."""
    await put_all(store, dict.fromkeys([SLOT, Key("Schedule", "s"), Key("Slot", "b")], ()))
    for _ in range(3):
        clock.now += 1_000
        await asyncio.gather(store.commit(put(SLOT)), store.commit(put(Key("Schedule", "s"))))
    clock.now += 1_000
    await store.commit(delete(SLOT))
    await store.commit(put(SLOT))
    return [change async for commit in store.log(0) for change in commit.changes]


async def all_pages(snapshot: Snapshot, scope: Scope, page: HistoryPage) -> list[Stored]:
    found: list[Stored] = []
    while True:
        versions = await snapshot.history(scope, page)
        found.extend(versions.versions)
        assert len(versions.versions) <= page.count
        if not versions.more:
            return found
        assert len(versions.versions) == page.count
        page = HistoryPage(page.count, found[-1].address, page.ascending, page.since, page.before_instant)


SCOPES = [
    Scope(),
    Scope("Slot"),
    Scope("Slot", "a"),
    Scope("Slot", "none"),
    Scope("Patient"),
    Scope("Patient", "a"),
    Scope(types=("Slot", "Schedule")),
    Scope(types=("Schedule", "Patient")),
]


def in_scope(scope: Scope, version: Stored) -> bool:
    if scope.types:
        return version.key.type in scope.types
    return (scope.type is None or version.key.type == scope.type) and (scope.id is None or version.key.id == scope.id)


@pytest.mark.parametrize("scope", SCOPES, ids=str)
@pytest.mark.parametrize("count", [1, 3, 100])
async def test_a_history_is_paged_both_ways(store: Store, past: list[Stored], scope: Scope, count: int) -> None:
    expected = [version for version in past if in_scope(scope, version)]
    async with store.snapshot() as snapshot:
        assert await all_pages(snapshot, scope, HistoryPage(count, ascending=True)) == expected
        assert await all_pages(snapshot, scope, HistoryPage(count)) == expected[::-1]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
async def test_a_history_is_bounded_by_instants(store: Store, past: list[Stored], scope: Scope) -> None:
    instants = [START - 1, START, START + 1_000, START + 1_500, START + 4_000, START + 9_000]
    async with store.snapshot() as snapshot:
        for since in [None, *instants]:
            for before in [None, *instants]:
                expected = [
                    version
                    for version in past
                    if in_scope(scope, version)
                    and (since is None or version.instant >= since)
                    and (before is None or version.instant < before)
                ]
                page = HistoryPage(2, since=since, before_instant=before)
                assert await all_pages(snapshot, scope, page) == expected[::-1]
                page = HistoryPage(2, ascending=True, since=since, before_instant=before)
                assert await all_pages(snapshot, scope, page) == expected


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("scope", [Scope(), Scope("Slot"), Scope(types=("Slot", "Schedule"))], ids=str)
async def test_a_history_page_ends_at_its_bytes(store: Store, scope: Scope, ascending: bool) -> None:
    sizes = [30, 40, 31, 100, 70, 1, 1]
    for number, size in enumerate(sizes):
        await store.commit(put(Key("Slot", str(number)), content=b"x" * size))
    expected = [[30, 40, 31], [100], [70, 1, 1]] if ascending else [[1, 1, 70], [100], [31, 40, 30]]
    page = HistoryPage(50, ascending=ascending, bytes=101)
    pages: list[list[int]] = []
    more = True
    async with store.snapshot() as snapshot:
        while more:
            found = await snapshot.history(scope, page)
            pages.append([len(version.body or b"") for version in found.versions])
            page, more = replace(page, after=found.versions[-1].address), found.more
        alone = await snapshot.history(scope, replace(page, after=None, bytes=1))
    assert pages == expected
    assert (len(alone.versions), alone.more) == (1, True)


@pytest.mark.parametrize("sort", [(), (SortBy("_id", "id"),)], ids=["unsorted", "sorted"])
async def test_a_search_page_ends_at_its_bytes_whichever_way_it_is_read(store: Store, sort: tuple[SortBy, ...]) -> None:
    sizes = [30, 40, 31, 100, 70, 1, 1]
    for number, size in enumerate(sizes):
        await store.commit(put(Key("Slot", str(number)), content=b"x" * size))
    query = Query(("Slot", "Schedule"), EVERYTHING, sort)

    def read(found: Matches) -> list[int]:
        return [len(match.stored.body or b"") for match in found.matches]

    async with store.snapshot() as snapshot:
        found = await snapshot.search(query, Page(50, bytes=101))
        pages = [read(found)]
        while found.more:
            found = await snapshot.search(query, Page(50, after=found.matches[-1].cursor, bytes=101))
            pages.append(read(found))
        assert pages == [[30, 40, 31], [100], [70, 1, 1]]
        before = await snapshot.search(query, Page(50, before=found.matches[0].cursor, bytes=139))
        assert (read(before), before.more) == ([31, 100], True)
        alone = await snapshot.search(query, Page(50, bytes=1))
        assert (read(alone), alone.more) == ([30], True)


async def test_a_history_of_nothing_asked_is_empty(store: Store, past: list[Stored]) -> None:
    async with store.snapshot() as snapshot:
        nothing = await snapshot.history(Scope(), HistoryPage(0))
        assert (nothing.versions, nothing.more) == ((), True)
        end = await snapshot.history(Scope("Slot", "a"), HistoryPage(5, after=Address(1, 0)))
        assert (end.versions, end.more) == ((), False)


async def test_each_version_is_read_by_its_number(store: Store, past: list[Stored]) -> None:
    async with store.snapshot() as snapshot:
        for version in past:
            assert await snapshot.vread(version.key, version.version) == version


async def test_deletions_are_told_among_versions(store: Store, past: list[Stored]) -> None:
    versions = [(version.key, version.version) for version in past]
    expected = {(version.key, version.version) for version in past if version.is_deleted}
    async with store.snapshot() as snapshot:
        assert len(expected) == 1
        assert await snapshot.deletions([*versions, (SLOT, 99), (Key("Patient", "none"), 1)]) == expected
        assert await snapshot.deletions([]) == frozenset()


# --- time ------------------------------------------------------------------------------------------------------------


async def test_a_query_past_its_time_is_stopped_and_the_store_goes_on(make_store: OpenStore) -> None:
    store = make_store(limits=StoreLimits(query_seconds=0.02))
    await store.open()
    words = {Key("Slot", str(n)): (Text("name", f"word {n}", f"Word {n}"),) for n in range(4_000)}
    await put_all(store, words)
    slow = Query(("Slot",), Or(tuple(TextContains("name", tuple(f"none {n}" for n in range(100))) for _ in range(5))))
    async with store.snapshot() as snapshot:
        with pytest.raises(QueryTimeout):
            await snapshot.search(slow, Page(10))
        with pytest.raises(QueryTimeout):
            await snapshot.count(slow, seconds=0.02)
        assert await snapshot.count(SLOTS, seconds=30) == 4_000
    assert await store.read(Key("Slot", "1")) is not None


async def test_a_count_that_may_take_no_time_is_no_count(store: Store) -> None:
    await store.commit(put(SLOT, [Equality("status", "free")]))
    free = Query(("Slot",), Equal("status", ("free",)))

    async def both(reads: Snapshot) -> int:
        with pytest.raises(QueryTimeout):
            await reads.count(free, seconds=0)
        return await reads.count(free)

    async with store.snapshot() as snapshot:
        assert await both(snapshot) == 1
        assert await snapshot.together(both) == 1


async def test_a_count_among_reads_together_is_stopped_in_its_own_time(store: Store) -> None:
    words = {Key("Slot", str(n)): (Text("name", f"word {n}", f"Word {n}"),) for n in range(4_000)}
    await put_all(store, words)
    slow = Query(("Slot",), Or(tuple(TextContains("name", tuple(f"none {n}" for n in range(100))) for _ in range(5))))

    async def reads(snapshot: Snapshot) -> int:
        with pytest.raises(QueryTimeout):
            await snapshot.count(slow, seconds=0.02)
        return await snapshot.count(SLOTS)

    async with store.snapshot() as snapshot:
        assert await snapshot.together(reads) == 4_000


async def test_a_cancelled_search_leaves_the_snapshot_whole(store: Store) -> None:
    await put_all(store, {Key("Slot", str(n)): (Equality("status", "free"),) for n in range(500)})
    chain = Query(("Slot",), Or((EndsWith("status", ("x",)), Equal("status", References("Slot", EVERYTHING)))))
    async with store.snapshot() as snapshot:
        task = asyncio.ensure_future(snapshot.search(chain, Page(10)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await snapshot.count(SLOTS) == 500
