"""What a killed process and a full disk leave behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import EVERYTHING, Equal, Page, Query
from fhir_server.storage.protocol import Store, StoreFull, StoreLimits
from fhir_server.storage.sqlite import SqliteStore
from tests.storage.contract import processes
from tests.storage.contract.test_commit import whole_log
from tests.storage.writing import SLOT, FixedClock, put

FULL = os.environ.get("FHIR_TORTURE") == "full"
ROUNDS = 100 if FULL else 4
SERIES = 8


async def check_after_kill(store: Store, acknowledged: dict[str, int]) -> None:
    """The log has no gap, has all that was acknowledged, has plans whole, and the tables say what it says."""
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
async def test_a_killed_process_loses_nothing_acknowledged(tmp_path: Path, clock: FixedClock) -> None:
    chance = random.Random(20)
    acknowledged: dict[str, int] = {}
    place = f"sqlite:{tmp_path}"
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
        store = SqliteStore(tmp_path / "store.db", clock=clock)
        await store.open()
        try:
            await check_after_kill(store, acknowledged)
        finally:
            await store.close()


async def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, clock: FixedClock) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=clock)
    await store.open()
    try:
        await store.commit(put(SLOT))
        (pages,) = await limit_pages(store, None)
        await limit_pages(store, pages + 5)
        small = [put(Key("Slot", f"small{n}")) for n in range(3)]
        large = put(Key("Slot", "large"), content=b"x" * 500_000)
        results = await asyncio.gather(
            *[store.commit(plan) for plan in (small[0], small[1], large, small[2])], return_exceptions=True
        )
        assert [type(result).__name__ for result in results] == ["Committed", "Committed", "StoreFull", "Committed"]
        with pytest.raises(StoreFull):
            await store.commit(large)
        assert await store.read(Key("Slot", "large")) is None
        await limit_pages(store, 1_000_000)
        assert (await store.commit(large)).answer == 1
        log = await whole_log(store)
        assert [commit.number for commit in log] == list(range(1, len(log) + 1))
        assert sum(len(commit.changes) for commit in log) == 5
    finally:
        await store.close()


async def limit_pages(store: SqliteStore, count: int | None) -> tuple[int]:
    """Tell how many pages the file has; limit them, as a full disk does."""

    def work(connection: object) -> tuple[int]:
        execute = store._connection.execute  # type: ignore[union-attr]
        (pages,) = execute("PRAGMA page_count").fetchone()
        if count is not None:
            execute(f"PRAGMA max_page_count = {count:d}")
        return (pages,)

    return work(None)


async def test_the_write_ahead_log_stays_small_beside_readers(tmp_path: Path, clock: FixedClock) -> None:
    """No read transaction outlives a page, so the log is emptied again and again."""
    store = SqliteStore(tmp_path / "store.db", clock=clock, limits=StoreLimits(readers=2))
    await store.open()
    until = time.monotonic() + 2
    written = 0
    try:

        async def read() -> None:
            while time.monotonic() < until:
                async for _ in store.log(0):
                    await asyncio.sleep(0.001)

        async def write() -> None:
            nonlocal written
            while time.monotonic() < until:
                await store.commit(put(Key("Slot", str(written % 50)), content=b"x" * 200_000))
                written += 1

        await asyncio.gather(read(), write())
        wal = (tmp_path / "store.db-wal").stat().st_size
        assert wal < 64_000_000, f"{wal} bytes after {written} commits of 200 kB"
    finally:
        await store.close()
