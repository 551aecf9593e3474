"""What a full disk leaves behind, and slow readers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from fhir_server.model.reference import Key
from fhir_server.storage.protocol import StoreFull, StoreLimits
from fhir_server.storage.sqlite import SqliteStore
from tests.storage.contract.test_commit import whole_log
from tests.storage.writing import SLOT, FixedClock, put


async def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, clock: FixedClock) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=clock)
    await store.open()
    try:
        await store.commit(put(SLOT))
        (pages,) = store.parts.connection.execute("PRAGMA page_count").fetchone()
        limit_pages(store, pages + 5)
        small = [put(Key("Slot", f"small{n}")) for n in range(3)]
        large = put(Key("Slot", "large"), content=b"x" * 500_000)
        results = await asyncio.gather(
            *[store.commit(plan) for plan in (small[0], small[1], large, small[2])], return_exceptions=True
        )
        assert [type(result).__name__ for result in results] == ["Committed", "Committed", "StoreFull", "Committed"]
        with pytest.raises(StoreFull):
            await store.commit(large)
        assert await store.read(Key("Slot", "large")) is None
        limit_pages(store, 1_000_000)
        assert (await store.commit(large)).answer == 1
        log = await whole_log(store)
        assert [commit.number for commit in log] == list(range(1, len(log) + 1))
        assert sum(len(commit.changes) for commit in log) == 5
    finally:
        await store.close()


def limit_pages(store: SqliteStore, count: int) -> None:
    """Let the file grow no more than a full disk does."""
    store.parts.connection.execute(f"PRAGMA max_page_count = {count:d}")


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
