"""The journal of what was told to the platform: each step is there after a crash, and what is wrong with it is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.france.sas.push.journal import Item, Journal, State
from fhir_server.maintenance.progress import CommandFailed
from tests.france.sas.telling import told

HERE = "https://sas.example.org/rdv"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.sas-journal"


def opened(path: Path, log_id: str = "log", platform: str = HERE) -> closing[Journal]:
    return closing(Journal(path, log_id, platform))


def items(journal: Journal) -> Iterator[Item]:
    place = 0
    while (item := journal.next(place)) is not None:
        yield item
        place = item.seq


def filled(path: Path) -> None:
    with opened(path) as journal, journal.together():
        journal.plan("a", 1, told())
        journal.plan("b", 1, told(value="b"))
        journal.plan("a", 2, told("fulfilled"))
        journal.cannot("c", 1, "no number")
        journal.reach(7)


def test_everything_is_there_when_it_is_opened_again(path: Path) -> None:
    filled(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with opened(path) as journal:
        assert journal.position == 7
        assert [(one.id, one.version, one.tried) for one in items(journal)] == [
            ("a", 1, False),
            ("b", 1, False),
            ("a", 2, False),
        ]
        assert journal.last("a") == told("fulfilled")
        assert [row[1:] for row in journal.unsendable()] == [("c", 1)]


def test_what_is_being_tried_is_known_after_a_crash(path: Path) -> None:
    filled(path)
    with opened(path) as journal:
        first = next(items(journal))
        journal.trying(first)
    with opened(path) as journal:
        assert [(one.version, one.tried) for one in items(journal) if one.id == "a"] == [(1, True), (2, True)]
        journal.sent(next(items(journal)))
        assert [(one.id, one.version) for one in items(journal)] == [("b", 1), ("a", 2)]


def test_what_is_refused_waits_for_the_next_run_and_what_is_sent_later_settles_it(path: Path) -> None:
    filled(path)
    with opened(path) as journal:
        first, _, last = items(journal)
        journal.refused(first, "422")
        assert [one.version for one in items(journal) if one.id == "a"] == [2]
        journal.again()
        assert next(items(journal)).seq == first.seq
        journal.refused(first, "422")
        journal.sent(last)
        assert journal.count(State.REFUSED) == 0


def test_what_fails_in_the_middle_is_undone(path: Path) -> None:
    filled(path)
    with opened(path) as journal:
        with pytest.raises(KeyError), journal.together():
            journal.plan("d", 1, told())
            journal.reach(9)
            raise KeyError
        assert journal.position == 7
        assert journal.last("d") is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def garbled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def no_database(path: Path) -> None:
    path.write_bytes(b"nothing of the kind" * 1000)


def another_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE x (y)")


@pytest.mark.parametrize("damage", [cut, garbled, no_database, another_database])
def test_damage_is_told(path: Path, damage: Callable[[Path], None]) -> None:
    filled(path)
    damage(path)
    with pytest.raises(CommandFailed, match="journal") as caught:
        Journal(path, "log", HERE)
    assert str(path) in str(caught.value)


def test_damage_that_shows_later_is_told(path: Path) -> None:
    filled(path)
    with opened(path) as journal:
        journal._connection.execute("DROP TABLE outbox")
        with pytest.raises(CommandFailed, match="cannot be used: no such table"):
            journal.next(0)


def test_journal_of_another_log_or_platform_is_refused(path: Path) -> None:
    filled(path)
    with pytest.raises(CommandFailed, match="another store"):
        Journal(path, "other", HERE)
    with pytest.raises(CommandFailed, match="another platform"):
        Journal(path, "log", "https://other.example.org")


def test_one_process_at_a_time(path: Path) -> None:
    filled(path)
    with opened(path), pytest.raises(CommandFailed, match="in use"):
        Journal(path, "log", HERE)
    with opened(path) as journal:
        assert journal.position == 7


def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="cannot be opened: No such file"):
        Journal(tmp_path / "none" / "x", "log", HERE)
