"""Connections that are cut or slow, around any message: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality
from fhir_server.storage.mongo import MongoStore
from fhir_server.storage.protocol import Committed, Planned, Store, StoreUnavailable, View
from tests.rounds import FULL
from tests.storage.contract.test_commit import holders, whole_log
from tests.storage.mongo.conftest import OpenMongo, through
from tests.storage.mongo.proxy import Direction, Fate, Proxy
from tests.storage.writing import SLOT, Written, body, following, put

ROUNDS: Final = 200 if FULL else 12
FATES: Final[tuple[Fate, ...]] = ("cut before", "cut after", "delay")


class Once:
    """One message of the wire, the so-many-th, meets its fate; all others pass."""

    def __init__(self, place: int, fate: Fate) -> None:
        self.place, self.fate = place, fate

    def __call__(self, direction: Direction, message: bytes) -> Fate:
        self.place -= 1
        return self.fate if self.place == 0 else "pass"


def create(name: str, content: bytes) -> Written:
    """Create unless the identifier is taken; the answer tells who has it."""
    entry = Equality("identifier", name)

    async def plan(view: View) -> Planned[int]:
        ((*found,),) = await view.holders([("Slot", entry)])
        if found:
            return Planned((), 0)
        return Planned([following(None, Key("Slot", name), content, (entry,))], 1)

    return plan


def count_up(seen: list[int]) -> Written:
    """Update one resource; note what was read each time."""

    async def plan(view: View) -> Planned[int]:
        current = (await view.read([SLOT])).get(SLOT)
        change = following(current, SLOT, body())
        seen.append(change.version)
        return Planned([change], change.version)

    return plan


async def outcome(store: Store, plan: Written) -> Committed[int] | None:
    """Return what a caller is told; None: 503."""
    try:
        return await store.commit(plan)
    except StoreUnavailable:
        return None


async def wait_until_well(store: MongoStore) -> None:
    for _ in range(100):
        try:
            await store.healthy()
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("the store does not recover")


@pytest.mark.torture
async def test_no_cut_loses_or_doubles_a_write(make_mongo: OpenMongo, proxy: Proxy, uri: str) -> None:
    chance = random.Random(7)
    store = make_mongo(at=through(proxy, uri))
    await store.open()
    told: list[int] = []
    created: dict[str, list[Committed[int]]] = {}
    for round_ in range(ROUNDS):
        proxy.decide = Once(chance.randint(1, 14), chance.choice(FATES))
        name = f"i{round_}"
        answers = await asyncio.gather(
            *[outcome(store, create(name, f"{round_} {n}".encode())) for n in range(3)],
            *[outcome(store, count_up([])) for _ in range(3)],
        )
        proxy.decide = lambda _direction, _message: "pass"
        await wait_until_well(store)
        created[name] = [answer for answer in answers[:3] if answer is not None]
        told += [answer.answer for answer in answers[3:] if answer is not None]
    await check(store, told, created)


async def check(store: MongoStore, told: list[int], created: dict[str, list[Committed[int]]]) -> None:
    """The log has no gap, has what was told and has it once, and the projection is what it says."""
    log = await whole_log(store)
    assert [commit.number for commit in log] == list(range(1, len(log) + 1))
    versions: dict[Key, int] = {}
    for commit in log:
        for change in commit.changes:
            assert change.version == versions.get(change.key, 0) + 1
            versions[change.key] = change.version
    assert len(told) == len(set(told)), "two callers were told the same version"
    assert set(told) <= set(range(1, versions[SLOT] + 1)), "an acknowledged write is gone"
    for name, answers in created.items():
        made = [answer for answer in answers if answer.answer]
        assert len(made) <= 1, "a conditional create happened twice"
        assert not made or versions[Key("Slot", name)] == 1, "an acknowledged create is gone"
        assert len(await holders(store, Equality("identifier", name))) == (Key("Slot", name) in versions)
        if answers and not made:
            assert Key("Slot", name) in versions, "told that it exists, and it does not"
    async with store.snapshot() as snapshot:
        current = await snapshot.read(versions)
        assert {key: stored.version for key, stored in current.items()} == versions


async def test_a_primary_that_is_lost_is_503_soon_and_comes_back(
    make_mongo: OpenMongo, proxy: Proxy, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.storage.mongo.connection.SELECT_MILLISECONDS", 300)
    monkeypatch.setattr("fhir_server.storage.mongo.committing.DEADLINE_SECONDS", 2.0)
    store = make_mongo(at=through(proxy, uri))
    await store.open()
    await store.commit(put(SLOT))
    proxy.decide = lambda _direction, _message: "cut before"
    proxy.cut()
    since = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.commit(put(SLOT))
    with pytest.raises(StoreUnavailable):
        await store.read(SLOT)
    with pytest.raises(StoreUnavailable):
        await store.healthy()
    assert time.monotonic() - since < 10
    proxy.decide = lambda _direction, _message: "pass"
    await wait_until_well(store)
    assert (await store.commit(put(SLOT))).answer == 2
    assert await store.healthy() == []
