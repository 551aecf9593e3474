"""What killed processes leave behind, on every engine."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import EVERYTHING, Equal, Page, Query
from fhir_server.storage.protocol import Store
from tests.rounds import FULL
from tests.storage.conftest import store_at
from tests.storage.contract import processes
from tests.storage.contract.test_commit import whole_log
from tests.storage.writing import FixedClock

ROUNDS = 100 if FULL else 4
SERIES = 8


async def check_after_kill(store: Store, acknowledged: dict[str, int]) -> None:
    """The log has no gap, has all that was acknowledged, has plans whole, and what is read says what it says."""
    log = await whole_log(store)
    assert [commit.number for commit in log] == list(range(1, len(log) + 1))
    versions: dict[str, int] = {}
    for commit in log:
        assert commit.changes
        for change in commit.changes:
            assert change.version == versions.get(change.key.id, 0) + 1
            versions[change.key.id] = change.version
    for name, version in acknowledged.items():
        assert versions.get(name, 0) >= version, "an acknowledged write is gone"
    for name, version in versions.items():
        if not name.endswith("-twin"):
            assert versions[f"{name}-twin"] == version, "a plan was written in part"
    async with store.snapshot() as snapshot:
        current = await snapshot.read([Key("Slot", name) for name in versions])
        assert {key.id: stored.version for key, stored in current.items()} == versions
        assert await snapshot.count(Query(("Slot",), EVERYTHING)) == len(versions)
        for series in range(SERIES):
            found = await snapshot.search(Query(("Slot",), Equal("series", (str(series),))), Page(100))
            assert len(found.matches) == sum(f"-{series}" in name for name in versions)


@pytest.mark.torture
async def test_a_killed_process_loses_nothing_acknowledged(place: str, clock: FixedClock) -> None:
    chance = random.Random(20)
    acknowledged: dict[str, int] = {}
    for round_ in range(ROUNDS):
        running = [processes.start(place, "torture", f"w{round_ % 3}p{n}", SERIES) for n in range(2)]
        for worker in running:
            await asyncio.to_thread(processes.until_ready, worker)
        for worker in running:
            processes.go(worker)
        await asyncio.sleep(chance.uniform(0.0, 0.4))
        for worker in running:
            worker.send_signal(signal.SIGKILL)
        for n, worker in enumerate(running):
            said, _ = await asyncio.to_thread(worker.communicate)
            for line in said.splitlines(keepends=True):
                if line.endswith("\n"):
                    series, version = line.split()
                    acknowledged[f"w{round_ % 3}p{n}-{series}"] = int(version)
        store = store_at(place, clock)
        await store.open()
        try:
            await check_after_kill(store, acknowledged)
        finally:
            await store.close()
