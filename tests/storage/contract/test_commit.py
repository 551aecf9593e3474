"""What a commit promises, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.search.query import Equality
from fhir_server.storage.protocol import (
    Address,
    Change,
    Commit,
    CommitTooLarge,
    Planned,
    Store,
    StoreLimits,
    StoreUnavailable,
    View,
)
from tests.storage.conftest import OpenStore
from tests.storage.writing import SLOT, START, FixedClock, Refused, Written, body, delete, following, put


async def whole_log(store: Store) -> list[Commit]:
    return [commit async for commit in store.log(0)]


async def test_a_write_is_read_back_with_its_bytes(store: Store) -> None:
    committed = await store.commit(put(SLOT, content=b'{"a": 72.50}'))
    assert (committed.answer, committed.number, committed.first) == (1, 1, 0)
    stored = await store.read(SLOT)
    assert stored is not None
    assert stored.body == b'{"a": 72.50}'
    assert (stored.key, stored.version, stored.instant, stored.address) == (SLOT, 1, START, Address(1, 0))
    assert stored.interaction is Interaction.CREATE
    assert not stored.is_deleted


async def test_what_never_was_is_none(store: Store) -> None:
    assert await store.read(SLOT) is None
    await store.commit(put(SLOT))
    assert await store.read(Key("Slot", "b")) is None
    assert await store.read(Key("Patient", "a")) is None
    async with store.snapshot() as snapshot:
        assert await snapshot.read([SLOT, Key("Slot", "b")]) == {SLOT: await store.read(SLOT)}
        assert await snapshot.vread(SLOT, 2) is None
        assert await snapshot.vread(Key("Patient", "a"), 1) is None


async def test_a_plan_without_changes_is_no_commit(store: Store) -> None:
    async def plan(view: View) -> Planned[str]:
        return Planned((), "exists")

    committed = await store.commit(plan)
    assert (committed.answer, committed.number, committed.first) == ("exists", None, None)
    assert await whole_log(store) == []


async def test_the_exception_of_a_plan_is_the_callers_alone(store: Store) -> None:
    async def refusing(view: View) -> Planned[int]:
        raise Refused("412")

    results = await asyncio.gather(
        store.commit(put(SLOT)), store.commit(refusing), store.commit(put(SLOT)), return_exceptions=True
    )
    assert isinstance(results[1], Refused)
    assert [result.answer for result in (results[0], results[2]) if not isinstance(result, BaseException)] == [1, 2]
    stored = await store.read(SLOT)
    assert stored is not None
    assert stored.version == 2


async def test_a_plan_that_awaits_anything_but_its_view_fails_aloud(store: Store) -> None:
    async def waiting(view: View) -> Planned[int]:
        await asyncio.sleep(0.01)
        return Planned((), 0)

    with pytest.raises(RuntimeError, match="awaits nothing but its view"):
        await store.commit(waiting)
    await store.commit(put(SLOT))


async def test_plans_of_one_group_see_each_other(store: Store) -> None:
    results = await asyncio.gather(*[store.commit(put(SLOT)) for _ in range(40)])
    assert sorted(result.answer for result in results) == list(range(1, 41))
    log = await whole_log(store)
    assert [commit.number for commit in log] == list(range(1, len(log) + 1))
    changes = [change for commit in log for change in commit.changes]
    assert [change.version for change in changes] == list(range(1, 41))
    by_place = {(result.number, result.first): result.answer for result in results}
    assert by_place == {tuple(change.address): change.version for change in changes}


async def test_a_view_tells_the_commit_to_be(store: Store, clock: FixedClock) -> None:
    seen: list[tuple[int, int, int]] = []

    async def plan(view: View) -> Planned[int]:
        seen.append((view.head.number, view.number, view.instant))
        return Planned([following(None, Key("Slot", str(len(seen))), body())], 0)

    await store.commit(plan)
    clock.now += 2_345
    await store.commit(plan)
    assert seen == [(0, 1, START), (1, 2, START + 2_000)]


async def test_last_updated_never_goes_back(store: Store, clock: FixedClock) -> None:
    await store.commit(put(SLOT))
    clock.now -= 1_000_000
    await store.commit(put(SLOT))
    clock.now += 1_000_000 + 1_500
    await store.commit(put(SLOT))
    assert [commit.instant for commit in await whole_log(store)] == [START, START, START + 1_000]


async def test_a_deletion_leaves_a_tombstone_and_recreation_goes_on_counting(store: Store) -> None:
    entry = Equality("status", "free")
    await store.commit(put(SLOT, [entry]))
    assert (await store.commit(delete(SLOT))).answer == 2
    gone = await store.read(SLOT)
    assert gone is not None
    assert (gone.is_deleted, gone.version, gone.interaction) == (True, 2, Interaction.DELETE)
    assert (await store.commit(delete(SLOT))).answer == 0
    assert await holders(store, entry) == ()
    assert (await store.commit(put(SLOT, [entry]))).answer == 3
    assert await holders(store, entry) == (SLOT,)


async def holders(store: Store, entry: Equality) -> tuple[Key, ...]:
    async def plan(view: View) -> Planned[Any]:
        found, nothing, unknown = await view.holders(
            [("Slot", entry), ("Slot", Equality("other", "x")), ("Patient", entry)]
        )
        assert (nothing, unknown) == ((), ())
        return Planned((), found)

    found: tuple[Key, ...] = (await store.commit(plan)).answer
    return found


async def test_one_identifier_is_taken_once(store: Store) -> None:
    """Many conditional creates at once: one creates, the others find it, in the group too."""
    entry = Equality("identifier", "1\x1furn:x")

    def create(name: str) -> Written:
        async def plan(view: View) -> Planned[int]:
            ((*found,),) = await view.holders([("Slot", entry)])
            if found:
                return Planned((), 0)
            return Planned([following(None, Key("Slot", name), body(), (entry,))], 1)

        return plan

    results = await asyncio.gather(*[store.commit(create(str(n))) for n in range(30)])
    assert sum(result.answer for result in results) == 1


async def test_matching_sees_the_head(store: Store) -> None:
    from fhir_server.search.query import Equal  # noqa: PLC0415

    async def plan(view: View) -> Planned[list[str]]:
        found = await view.matching("Slot", Equal("status", ("free",)), 2)
        return Planned((), [stored.key.id for stored in found])

    for name in ("c", "a", "b"):
        await store.commit(put(Key("Slot", name), [Equality("status", "free")]))
    assert (await store.commit(plan)).answer == ["c", "a"]
    await store.commit(delete(Key("Slot", "c")))
    assert (await store.commit(plan)).answer == ["a", "b"]


async def test_an_entry_may_be_given_twice(store: Store) -> None:
    entry = Equality("status", "free")
    await store.commit(put(SLOT, [entry, entry]))
    assert await holders(store, entry) == (SLOT,)


async def test_a_change_of_definitions_begins_a_generation_seen_within_the_group(store: Store) -> None:
    generations: list[tuple[int, int]] = []

    async def looking(view: View) -> Planned[int]:
        generations.append((view.head.generation, view.number))
        return Planned([following(None, Key("Slot", str(len(generations))), body())], 0)

    definition = Key("SearchParameter", "s")
    await asyncio.gather(store.commit(looking), store.commit(put(definition)), store.commit(looking))
    log = await whole_log(store)
    assert all(commit.generation == 0 for commit in log if commit.number < defined(log))
    assert all(commit.generation == defined(log) for commit in log if commit.number >= defined(log))
    assert generations[0][0] == 0
    assert generations[1][0] == defined(log)
    async with store.snapshot() as snapshot:
        assert snapshot.head.generation == defined(log)


def defined(log: list[Commit]) -> int:
    return next(c.number for c in log if any(change.key.type == "SearchParameter" for change in c.changes))


async def test_versions_follow_each_other(store: Store) -> None:
    async def skipping(view: View) -> Planned[int]:
        return Planned([Change(SLOT, 5, Interaction.UPDATE, body())], 0)

    with pytest.raises(Exception, match="version 5 cannot follow version 0"):
        await store.commit(skipping)
    assert await whole_log(store) == []


async def test_two_versions_of_one_resource_in_one_plan(store: Store) -> None:
    async def twice(view: View) -> Planned[int]:
        first = Change(SLOT, 1, Interaction.CREATE, b"1", (Equality("status", "free"),))
        return Planned([first, Change(SLOT, 2, Interaction.UPDATE, b"2", (Equality("status", "busy"),))], 0)

    await store.commit(twice)
    assert await holders(store, Equality("status", "free")) == ()
    assert await holders(store, Equality("status", "busy")) == (SLOT,)


async def test_too_large_a_plan_is_refused_and_the_others_are_not(make_store: OpenStore) -> None:
    store = make_store(limits=StoreLimits(commit_bytes=10_000))
    await store.open()
    other = Key("Slot", "b")
    results = await asyncio.gather(
        store.commit(put(other)), store.commit(put(SLOT, content=b"x" * 10_001)), return_exceptions=True
    )
    assert isinstance(results[1], CommitTooLarge)
    assert (results[1].size, results[1].limit) == (10_001, 10_000)
    assert await store.read(SLOT) is None
    assert await store.read(other) is not None


async def test_plans_that_fit_alone_share_no_commit_that_is_too_large(make_store: OpenStore) -> None:
    store = make_store(limits=StoreLimits(commit_bytes=10_000))
    await store.open()
    await asyncio.gather(*[store.commit(put(Key("Slot", str(n)), content=b"x" * 4_000)) for n in range(20)])
    for commit in await whole_log(store):
        assert sum(len(change.body or b"") for change in commit.changes) <= 10_000


async def test_a_full_queue_is_said_and_loses_nothing(make_store: OpenStore) -> None:
    store = make_store(limits=StoreLimits(queue_plans=5))
    await store.open()
    results = await asyncio.gather(*[store.commit(put(Key("Slot", str(n)))) for n in range(60)], return_exceptions=True)
    refused = [n for n, result in enumerate(results) if isinstance(result, StoreUnavailable)]
    assert 0 < len(refused) < 60
    for n, result in enumerate(results):
        assert n in refused or not isinstance(result, BaseException)
        assert (await store.read(Key("Slot", str(n))) is None) == (n in refused)


async def test_cancelling_a_caller_drops_the_answer_never_the_commit(store: Store) -> None:
    async def caller() -> None:
        await store.commit(put(SLOT))

    tasks = [asyncio.create_task(caller()) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [task.cancelled() for task in tasks] == [True, False] * 10
    committed = await store.commit(put(SLOT))
    assert committed.answer == 21


async def test_closing_writes_what_is_queued(make_store: OpenStore) -> None:
    store = make_store()
    await store.open()
    waiting: list[Awaitable[Any]] = [asyncio.ensure_future(store.commit(put(SLOT))) for _ in range(30)]
    await asyncio.sleep(0)
    await store.close()
    assert len(await asyncio.gather(*waiting)) == 30
    with pytest.raises(StoreUnavailable):
        await store.commit(put(SLOT))
    again = make_store()
    await again.open()
    stored = await again.read(SLOT)
    assert stored is not None
    assert stored.version == 30


async def test_a_store_that_is_well_says_nothing(store: Store, clock: FixedClock) -> None:
    await store.commit(put(SLOT))
    assert await store.healthy() == []
    clock.now -= 6_000_000
    (warning,) = await store.healthy()
    assert "ahead" in warning
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.healthy()
