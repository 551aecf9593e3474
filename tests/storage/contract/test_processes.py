"""Several processes that write one store, on every engine."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality
from fhir_server.storage.protocol import Planned, Store, View
from tests.rounds import FULL
from tests.storage.contract.processes import Crew
from tests.storage.contract.test_commit import holders, whole_log
from tests.storage.writing import SLOT, body, following

WRITES = 9_999 if FULL else 150
"""Of each process; a third of each kind."""
WORKERS = 4


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with closing(Crew(WORKERS)) as made:
        yield made


async def test_no_update_is_lost_among_processes(store: Store, place: str, crew: Crew) -> None:
    said = crew.together(place, "count-up", 25)
    assert sorted(int(line) for lines in said for line in lines) == list(range(1, 101))
    log = await whole_log(store)
    assert [commit.number for commit in log] == list(range(1, len(log) + 1))
    assert [change.version for commit in log for change in commit.changes] == list(range(1, 101))
    assert all(one.instant <= other.instant for one, other in pairwise(log))
    stored = await store.read(SLOT)
    assert stored is not None
    assert stored.version == 100


async def test_an_identifier_is_taken_by_one_process(store: Store, place: str, crew: Crew) -> None:
    said = crew.together(place, "identify", 100)
    assert sorted(int(line) for lines in said for line in lines) == list(range(100))
    for number in (0, 50, 99):
        assert len(await holders(store, Equality("identifier", str(number)))) == 1


async def test_processes_take_turns(store: Store, place: str, crew: Crew) -> None:
    """One among several that all write without pause is not left behind."""
    done = [int(line) for (line,) in crew.together(place, "saturate", 1_000)]
    assert min(done) * 2 >= sum(done) / len(done), done


@pytest.mark.torture
async def test_nothing_is_lost_or_done_twice_among_processes(store: Store, place: str, crew: Crew) -> None:
    """Updates with If-Match, conditional creates and transactions, that all contend for the same resources."""
    said = await asyncio.to_thread(crew.together, place, "mix", WRITES)
    told: dict[str, list[int]] = {"update": [], "create": [], "transfer": []}
    for line in itertools.chain.from_iterable(said):
        kind, number = line.split()
        told[kind].append(int(number))
    log = await whole_log(store)
    assert [commit.number for commit in log] == list(range(1, len(log) + 1))
    versions: dict[Key, int] = {}
    for change in itertools.chain.from_iterable(commit.changes for commit in log):
        assert change.version == versions.get(change.key, 0) + 1
        versions[change.key] = change.version
    schedules = [version for key, version in versions.items() if key.type == "Schedule"]
    assert sorted(told["update"]) == list(range(1, versions[SLOT] + 1))
    assert sorted(told["create"]) == list(range(WRITES // 3))
    assert sorted(told["transfer"]) == list(range(1, schedules[0] + 1))
    assert schedules == [4 * (WRITES // 3)] * 3
    async with store.snapshot() as snapshot:
        current = await snapshot.read(versions)
        assert {key: stored.version for key, stored in current.items()} == versions


async def test_a_long_transaction_has_its_turn_among_those_who_write_without_pause(
    store: Store, place: str, crew: Crew
) -> None:
    keys = [Key("Schedule", str(number)) for number in range(500)]
    runs = 0

    async def plan(view: View) -> Planned[int]:
        nonlocal runs
        runs += 1
        for key in keys:
            await view.read([key])
        return Planned([following(None, key, body()) for key in keys], runs)

    async def others() -> list[int]:
        found = await asyncio.gather(*[store.read(Key("Slot", f"worker{number}")) for number in range(WORKERS)])
        return [0 if stored is None else stored.version for stored in found]

    with crew.at_work(place, "busy"):
        async with asyncio.timeout(30):
            while 0 in (before := await others()):  # noqa: ASYNC110 other processes write them
                await asyncio.sleep(0.05)
            await store.commit(plan)
    assert all(now > was for now, was in zip(await others(), before, strict=True))
