"""The file: its layout and migrations, its place, the turns of those who write it."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from fhir_server.storage.prefixes import successor
from fhir_server.storage.protocol import SchemaTooNew, StoreLimits, StoreUnavailable
from fhir_server.storage.sqlite import SqliteStore, filesystem, migrations
from fhir_server.storage.sqlite.locks import Turns
from tests.storage.writing import SLOT, FixedClock, put


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(tmp_path / "file.db", isolation_level=None)


# --- layout ----------------------------------------------------------------------------------------------------------


def add_colour(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE resource ADD COLUMN colour TEXT")


def fail(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE resource ADD COLUMN shape TEXT")
    raise ValueError("this step fails half-way")


def test_a_new_file_takes_every_step_and_an_old_one_the_missing(connection: sqlite3.Connection) -> None:
    assert migrations.migrate(connection) == len(migrations.STEPS)
    assert migrations.migrate(connection) == 0
    steps = (*migrations.STEPS, add_colour)
    assert migrations.migrate(connection, steps) == 1
    assert migrations.layout(connection) == len(steps)
    assert "colour" in {row[1] for row in connection.execute("PRAGMA table_info (resource)")}
    connection.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(connection: sqlite3.Connection) -> None:
    migrations.migrate(connection)
    with pytest.raises(ValueError, match="half-way"):
        migrations.migrate(connection, (*migrations.STEPS, add_colour, fail))
    assert migrations.layout(connection) == len(migrations.STEPS) + 1
    columns = {row[1] for row in connection.execute("PRAGMA table_info (resource)")}
    assert "colour" in columns
    assert "shape" not in columns
    connection.close()


async def test_a_file_of_a_newer_program_is_not_opened(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=FixedClock())
    await store.open()
    await store.close()
    newer(tmp_path / "store.db")
    with pytest.raises(SchemaTooNew):
        await store.open()


async def test_a_file_migrated_meanwhile_is_not_written(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=FixedClock())
    await store.open()
    await store.commit(put(SLOT))
    newer(tmp_path / "store.db")
    with pytest.raises(SchemaTooNew):
        await store.commit(put(SLOT))
    assert await store.read(SLOT) is not None
    await store.close()


def newer(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"PRAGMA user_version = {len(migrations.STEPS) + 1:d}")
    other.close()


async def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailable, match=r"store\.db cannot be opened"):
        await SqliteStore(tmp_path / "store.db", clock=FixedClock()).open()


async def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE accounts (name)")
    other.close()
    before = file.read_bytes()
    with pytest.raises(StoreUnavailable, match="of another program"):
        await SqliteStore(file, clock=FixedClock()).open()
    assert file.read_bytes() == before


def file_modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


async def test_a_store_is_its_owners_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=FixedClock())
    await store.open()
    await store.commit(put(SLOT))
    modes = file_modes(tmp_path)
    await store.close()
    assert set(modes.values()) == {0o600}, modes


async def test_every_commit_is_flushed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=FixedClock())
    await store.open()
    assert store.parts.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store.parts.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()


async def test_readers_cannot_write(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=FixedClock(), limits=StoreLimits(readers=1))
    await store.open()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.parts.inline.connection.execute("DELETE FROM resource")
    await store.close()


# --- turns -----------------------------------------------------------------------------------------------------------


def test_writers_take_turns(tmp_path: Path) -> None:
    """While one holds the turn, a second waits; whoever had it last comes after the second."""
    database = tmp_path / "store.db"
    order: list[str] = []
    first, second = Turns(database), Turns(database)
    queued = threading.Event()

    def other() -> None:
        queued.set()
        with second.turn():
            order.append("second")

    thread = threading.Thread(target=other)
    with first.turn():
        thread.start()
        queued.wait()
        thread.join(0.1)
        order.append("first")
    thread.join()
    with first.turn():
        order.append("first again")
    assert order == ["first", "second", "first again"]
    first.close()
    second.close()


# --- place -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    lines = [
        "/dev/vda / ext4 rw 0 0",
        "server:/data /mnt/nfs nfs4 rw 0 0",
        "/dev/vdb /mnt/nfs/local ext4 rw 0 0",
        "host /shared\\040folder 9p rw 0 0",
    ]
    (tmp_path / "mounts").write_text("\n".join(lines) + "\n")
    return tmp_path / "mounts"


def test_a_network_file_system_is_refused(mounts: Path) -> None:
    with pytest.raises(StoreUnavailable, match="network file system"):
        filesystem.check(Path("/mnt/nfs/store.db"), mounts)
    assert filesystem.check(Path("/mnt/nfs/local/store.db"), mounts) is None
    assert filesystem.check(Path("/var/store.db"), mounts) is None


def test_a_shared_file_system_is_warned_about(mounts: Path) -> None:
    assert "9p" in str(filesystem.check(Path("/shared folder/store.db"), mounts))


def test_a_system_that_does_not_tell_is_trusted(tmp_path: Path) -> None:
    assert filesystem.check(tmp_path, tmp_path / "none") is None


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("a", "b"),
        ("az", "a{"),
        ("\ud7ff", "\ue000"),
        ("a\U0010ffff", "b"),
        ("\U0010ffff", None),
        ("", None),
    ],
)
def test_the_texts_with_a_prefix_end_before_its_successor(prefix: str, expected: str | None) -> None:
    assert successor(prefix) == expected
