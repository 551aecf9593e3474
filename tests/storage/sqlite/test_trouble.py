"""What goes wrong while the store is open: the file is taken away, damaged, or the disk is full; readers are few."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import EVERYTHING, Page, Query
from fhir_server.storage.protocol import HistoryPage, Scope, Snapshot, StoreFull, StoreLimits, StoreUnavailable
from fhir_server.storage.sqlite import SqliteStore
from fhir_server.storage.sqlite.locks import Turns
from fhir_server.storage.sqlite.readers import Reader
from tests.storage.contract.test_log import whole_log
from tests.storage.writing import SLOT, FixedClock, put

SLOTS = Query(("Slot",), EVERYTHING)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

if sys.platform != "win32":
    import resource

OpenSqlite = Callable[..., Awaitable[SqliteStore]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def opened(path: Path, clock: FixedClock) -> AsyncIterator[OpenSqlite]:
    stores: list[SqliteStore] = []

    async def open_store(**limits: Any) -> SqliteStore:
        store = SqliteStore(path, clock=clock, limits=StoreLimits(**limits))
        await store.open()
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        with suppress(sqlite3.Error):  # what the test has damaged
            await store.close()


# --- readers ---------------------------------------------------------------------------------------------------------


async def test_reader_that_comes_back_broken_while_the_store_closes_harms_no_other(opened: OpenSqlite) -> None:
    readers = (await opened(readers=3)).parts.readers
    broken, *others = [await readers.take() for _ in range(3)]
    broken.connection.close()

    class Closing:
        """A connection during whose closing another request gives its reader back."""

        def close(self) -> None:
            readers.give_back(broken)

    closed = others[1].connection
    others[1].connection = cast("sqlite3.Connection", Closing())
    readers.close()
    closed.close()
    with pytest.raises(sqlite3.ProgrammingError):
        others[0].connection.execute("SELECT 1")


async def hold(store: SqliteStore, until: asyncio.Event, entered: asyncio.Semaphore) -> None:
    async with store.snapshot():
        entered.release()
        await until.wait()


async def test_who_waits_for_a_reader_is_told_in_time(opened: OpenSqlite) -> None:
    store = await opened(readers=4, query_seconds=0.3)
    await store.commit(put(SLOT))

    async def slow() -> None:
        async with store.snapshot() as snapshot:
            for _ in range(6):
                with pytest.raises(Exception, match="stopped after"):
                    await snapshot._run(endless)  # type: ignore[attr-defined]

    running = [asyncio.create_task(slow()) for _ in range(4)]
    await asyncio.sleep(0.1)
    before = time.monotonic()
    with pytest.raises(StoreUnavailable, match="readers"):
        async with store.snapshot():
            pass
    assert time.monotonic() - before < 1
    with pytest.raises(StoreUnavailable, match="readers"):
        await whole_log(store)
    assert await store.read(SLOT) is not None
    await asyncio.gather(*running)
    async with store.snapshot() as snapshot:
        assert await snapshot.count(SLOTS) == 1


def endless(reader: Reader) -> object:
    return reader.connection.execute(ENDLESS).fetchone()


@pytest.mark.parametrize("ended", ["cancelled", "late"])
async def test_who_leaves_the_queue_takes_no_place_along(opened: OpenSqlite, ended: str) -> None:
    store = await opened(readers=2, query_seconds=0.2 if ended == "late" else 5)
    free, entered = asyncio.Event(), asyncio.Semaphore(0)
    holding = [asyncio.create_task(hold(store, free, entered)) for _ in range(2)]
    for _ in holding:
        await entered.acquire()
    waiting = [asyncio.create_task(hold(store, free, entered)) for _ in range(20)]
    await asyncio.sleep(0.4 if ended == "late" else 0)
    if ended == "late":
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailable}
    free.set()
    for delay in range(5):  # some before the holders leave, some as they leave
        for task in waiting[delay * 2 : delay * 2 + 2]:
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*holding, *waiting, return_exceptions=True)
    again, entered = asyncio.Event(), asyncio.Semaphore(0)
    both = [asyncio.create_task(hold(store, again, entered)) for _ in range(2)]
    async with asyncio.timeout(2):
        for _ in both:
            await entered.acquire()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), store.snapshot():
            pass
    again.set()
    await asyncio.gather(*both)


async def test_a_search_ends_with_its_caller_whenever_he_leaves(opened: OpenSqlite) -> None:
    """Also if the statement has not begun yet, and if the caller is cancelled twice."""
    store = await opened(readers=1, query_seconds=30)
    ended = False

    def late(reader: Reader) -> object:
        nonlocal ended
        time.sleep(0.2)
        try:
            return endless(reader)
        finally:
            ended = True

    async def search() -> None:
        async with store.snapshot() as snapshot:
            await snapshot._run(late)  # type: ignore[attr-defined]

    task = asyncio.create_task(search())
    await asyncio.sleep(0.05)
    before = time.monotonic()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended
    assert time.monotonic() - before < 5
    async with store.snapshot() as snapshot:
        assert await snapshot.count(SLOTS) == 0


async def test_a_connection_that_fails_leaves_its_place(opened: OpenSqlite) -> None:
    store = await opened(readers=1, query_seconds=0.5)
    with suppress(StoreUnavailable):
        async with store.snapshot() as snapshot:
            snapshot._reader.connection.close()  # type: ignore[attr-defined]
    async with store.snapshot() as snapshot:
        assert await snapshot.count(SLOTS) == 0


# --- the file is taken away ------------------------------------------------------------------------------------------


def put_back(path: Path, is_log: bool) -> None:
    path.with_name("elsewhere").rename(path.with_name("store.db-wal") if is_log else path)


def remove(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def files_beside(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def replace(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.write_bytes(path.with_name("elsewhere").read_bytes())


def remove_log(path: Path) -> None:
    path.with_name("store.db-wal").rename(path.with_name("elsewhere"))


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
@pytest.mark.parametrize("take_away", [remove, replace, remove_log])
async def test_a_store_whose_file_is_gone_acknowledges_nothing(
    opened: OpenSqlite, path: Path, take_away: Callable[[Path], None]
) -> None:
    store = await opened()
    await store.commit(put(SLOT))
    assert await store.healthy() == []
    take_away(path)
    results = await asyncio.gather(*[store.commit(put(SLOT)) for _ in range(3)], return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.healthy()
    stored = await store.read(SLOT)
    assert stored is not None
    assert stored.version == 1
    with pytest.raises(StoreUnavailable):  # a new connection would see another file, or make it
        async with store.snapshot():
            pass
    assert ("store.db" in files_beside(path)) == (take_away is not remove)
    put_back(path, take_away is remove_log)
    assert (await store.commit(put(SLOT))).answer == 2
    assert await store.healthy() == []


# --- the file is damaged ---------------------------------------------------------------------------------------------


def damage(path: Path, start: int) -> bytes:
    """Overwrite the file with what is no database, from a place on; return what was there."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE meta SET value = 1 WHERE name = 'written'")  # so that no page is known from before
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    was = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * (len(was) - start))
    return was


def repair(path: Path, was: bytes) -> None:
    path.write_bytes(was)


async def first_of_log(store: SqliteStore, _: Snapshot) -> object:
    return await anext(store.log(0))


READS: dict[str, Callable[[SqliteStore, Snapshot], Awaitable[object]]] = {
    "read": lambda store, _: store.read(SLOT),
    "log": first_of_log,
    "several": lambda _, snapshot: snapshot.read([SLOT, Key("Slot", "b")]),
    "vread": lambda _, snapshot: snapshot.vread(SLOT, 1),
    "later vread": lambda _, snapshot: snapshot.vread(SLOT, 2),
    "history": lambda _, snapshot: snapshot.history(Scope("Slot", "a"), HistoryPage(10)),
    "everything": lambda _, snapshot: snapshot.history(Scope(), HistoryPage(10)),
    "search": lambda _, snapshot: snapshot.search(SLOTS, Page(10)),
    "count": lambda _, snapshot: snapshot.count(SLOTS),
    "entries": lambda _, snapshot: snapshot.entries([SLOT]),
    "references": lambda _, snapshot: snapshot.references([SLOT], "schedule"),
}


@pytest.mark.parametrize("start", [0, 4096])
@pytest.mark.parametrize("first", [False, True], ids=["new reader", "reader with a transaction"])
async def test_a_damaged_file_is_said_by_every_read(opened: OpenSqlite, path: Path, start: int, first: bool) -> None:
    store = await opened()
    for _ in range(2):
        await store.commit(put(SLOT))
    if first:
        async with store.snapshot() as snapshot:
            damage(path, start)
            failed = [name for name, read in READS.items() if await is_refused(read(store, snapshot))]
        assert failed
    else:
        damage(path, start)
        with pytest.raises(StoreUnavailable):
            async with store.snapshot():
                pass
        assert await is_refused(store.read(SLOT))
        assert await is_refused(whole_log(store))


async def is_refused(read: Awaitable[object]) -> bool:
    """Any other exception is a failure of the test."""
    try:
        await read
    except StoreUnavailable:
        return True
    return False


@pytest.mark.parametrize("start", [0, 4096])
async def test_a_damaged_file_is_written_no_more(opened: OpenSqlite, path: Path, start: int) -> None:
    store = await opened()
    await store.commit(put(SLOT))
    was = damage(path, start)
    for _ in range(2):
        results = await asyncio.gather(*[store.commit(put(SLOT)) for _ in range(3)], return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailable}
    repair(path, was)
    with pytest.raises(StoreUnavailable, match="damaged"):
        await store.commit(put(SLOT))
    with pytest.raises(StoreUnavailable, match="damaged"):
        await store.healthy()
    await store.close()
    await store.open()
    assert (await store.commit(put(SLOT))).answer == 2
    assert await store.healthy() == []


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_commit_that_lost_its_changes_is_still_told(opened: OpenSqlite, path: Path, number: int) -> None:
    """Else who checks the log would not see that something is missing."""
    store = await opened()
    for _ in range(3):
        await store.commit(put(SLOT))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("DELETE FROM version WHERE address >> 20 = ?", (number,))
    other.close()
    assert [(commit.number, len(commit.changes)) for commit in await whole_log(store)] == [
        (each, int(each != number)) for each in (1, 2, 3)
    ]


# --- a write fails ---------------------------------------------------------------------------------------------------


async def test_a_failed_commit_is_warned_of_until_one_succeeds(opened: OpenSqlite, path: Path) -> None:
    store = await opened()
    connection = store.parts.connection
    connection.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await store.commit(put(SLOT))
    (warning,) = await store.healthy()
    assert "locked" in warning
    other.close()
    assert len(await store.healthy()) == 1
    await store.commit(put(SLOT))
    assert await store.healthy() == []
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreFull):
        await store.commit(put(Key("Slot", "large"), content=b"x" * 500_000))
    (warning,) = await store.healthy()
    assert "full" in warning
    connection.execute("PRAGMA max_page_count = 1000000")
    await store.commit(put(SLOT))
    assert await store.healthy() == []


@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit of size there")
async def test_a_file_that_may_grow_no_more_is_a_full_disk(opened: OpenSqlite, path: Path) -> None:
    store = await opened()
    await store.commit(put(SLOT))
    size = path.with_name("store.db-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, hard))
    try:
        results = await asyncio.gather(
            store.commit(put(SLOT)),
            store.commit(put(Key("Slot", "large"), content=b"x" * 500_000)),
            store.commit(put(SLOT)),
            return_exceptions=True,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [type(result).__name__ for result in results] == ["Committed", "StoreFull", "Committed"]
    assert await store.read(Key("Slot", "large")) is None
    assert (await store.commit(put(Key("Slot", "large"), content=b"x" * 500_000))).answer == 1


class Bug(Exception):
    """What no engine raises."""


def in_the_clock(store: SqliteStore, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store.parts.writer._committer, "_clock", fail)


def in_the_turns(store: SqliteStore, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store.parts.writer._turns, "turn", fail)


def in_the_file(store: SqliteStore, patch: pytest.MonkeyPatch) -> None:
    def vanished() -> None:
        raise StoreUnavailable("gone")

    patch.setattr(store.parts.writer._identity, "check", vanished)


def fail(*_: object) -> object:
    raise Bug


@pytest.mark.parametrize("where", [in_the_clock, in_the_turns, in_the_file])
async def test_who_fails_together_gets_an_exception_of_his_own(
    opened: OpenSqlite, monkeypatch: pytest.MonkeyPatch, where: Callable[[SqliteStore, pytest.MonkeyPatch], None]
) -> None:
    """One instance raised by many tasks would gather the traces of all of them."""
    store = await opened()
    with monkeypatch.context() as patch:
        where(store, patch)
        results = await asyncio.gather(*[store.commit(put(SLOT)) for _ in range(5)], return_exceptions=True)
    assert len({id(result) for result in results}) == 5
    assert len({type(result) for result in results}) == 1
    for result in results:
        assert isinstance(result, RuntimeError | StoreUnavailable)
        assert isinstance(result.__cause__, Bug | StoreUnavailable)
    assert len(await store.healthy()) == 1
    assert (await store.commit(put(SLOT))).answer == 1


async def test_a_writer_that_ends_by_a_bug_leaves_nobody_waiting(
    opened: OpenSqlite, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = await opened()
    await store.commit(put(SLOT))
    with monkeypatch.context() as patch:
        patch.setattr(store.parts.writer, "_write", fail)
        async with asyncio.timeout(5):
            results = await asyncio.gather(*[store.commit(put(SLOT)) for _ in range(5)], return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}
    assert len({id(result) for result in results}) == 5
    assert "Bug" in caplog.text
    with pytest.raises(StoreUnavailable, match="the writer has stopped"):
        await store.commit(put(SLOT))
    with pytest.raises(StoreUnavailable, match="the writer has stopped"):
        await store.healthy()
    stored = await store.read(SLOT)
    assert stored is not None
    assert stored.version == 1
    other = await opened()  # neither the turn nor a transaction is kept
    assert (await other.commit(put(SLOT))).answer == 2
    await store.close()


# --- the place -------------------------------------------------------------------------------------------------------


def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "store.db"


def deep_below_a_file(tmp_path: Path) -> Path:
    return below_a_file(tmp_path) / "deeper" / "store.db"


def a_directory(tmp_path: Path) -> Path:
    (tmp_path / "store.db").mkdir()
    return tmp_path / "store.db"


def not_ours(tmp_path: Path) -> Path:
    if sys.platform == "win32" or os.geteuid() == 0:
        pytest.skip("everything may be written here")
    tmp_path.chmod(0o500)
    return tmp_path / "store.db"


def of_the_system(_: Path) -> Path:
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc here")
    return Path("/proc/x.sqlite")


@pytest.mark.parametrize("make", [below_a_file, deep_below_a_file, a_directory, not_ours, of_the_system])
async def test_a_place_that_takes_no_file_is_said(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened: ") as raised:
        await SqliteStore(make(tmp_path), clock=FixedClock()).open()
    assert "Errno" not in str(raised.value)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be counted here")
def test_locks_that_cannot_be_had_leave_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "store.db-write").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="cannot be opened"):
            Turns(tmp_path / "store.db")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
