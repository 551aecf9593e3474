"""What was told to the platform and what is still to be: a small SQLite file that outlives a crash.

It belongs to one log and one platform, and one process at a time works with it. Every step is on the disk before the
next begins. It holds the bodies that leave (``outgoing``), so nothing of patients.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.formats import Resource, parse, serialize

_MARK: Final = 0x53415352
"""The ``application_id`` of such a file."""

_FORMAT: Final = 1

_SCHEMA: Final = f"""
BEGIN;
CREATE TABLE journal (log_id TEXT, platform TEXT, position INTEGER);
CREATE TABLE appointment (id TEXT PRIMARY KEY, body BLOB, tried INTEGER) WITHOUT ROWID;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, version INTEGER, body BLOB, state TEXT, reason TEXT
);
CREATE INDEX outbox_id ON outbox (id);
CREATE INDEX outbox_state ON outbox (state, seq);
PRAGMA application_id = {_MARK};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


class State(StrEnum):
    """Of what is in the outbox; what was sent is no longer there."""

    WAITING = "waiting"
    TRYING = "trying"
    """It was sent, and nobody knows what came of it."""
    REFUSED = "refused"
    UNSENDABLE = "unsendable"


class Item(NamedTuple):
    """One version of an appointment that is to be told; ``tried``: the platform may have heard of the appointment."""

    seq: int
    id: str
    version: int
    body: bytes
    tried: bool


class Journal:
    """One journal, open; closed, another process may work with it."""

    def __init__(self, path: Path, log_id: str, platform: str) -> None:
        """Open or make it. Raises ``CommandFailed`` for a damaged or foreign one, or one that is in use."""
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise CommandFailed(f"The journal {path} cannot be opened: {error.strerror}.") from None
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            with self._told():
                self._open(log_id, platform)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Leave it to others."""
        self._connection.close()

    def _open(self, log_id: str, platform: str) -> None:
        self._run("PRAGMA locking_mode = EXCLUSIVE")
        self._run("PRAGMA synchronous = FULL")
        self._run("BEGIN EXCLUSIVE")
        self._run("COMMIT")
        if self._run("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("it is damaged")
        marks = self._run("PRAGMA application_id").fetchone(), self._run("PRAGMA user_version").fetchone()
        if marks == ((0,), (0,)) and not self._run("SELECT 1 FROM sqlite_schema").fetchone():
            self._connection.executescript(_SCHEMA)
            self._run("INSERT INTO journal VALUES (?, ?, 0)", log_id, platform)
        elif marks != ((_MARK,), (_FORMAT,)):
            raise CommandFailed(f"{self._path} is no journal of this program; give another file with --journal.")
        row = self._run("SELECT log_id, platform FROM journal").fetchone()
        if row is None:  # killed before its first line was written: nothing was sent
            self._run("INSERT INTO journal VALUES (?, ?, 0)", log_id, platform)
        elif row != (log_id, platform):
            what = "store (its log has another id)" if row[0] != log_id else "platform"
            told = "what was told already is then told again, and stays one appointment"
            raise CommandFailed(
                f"The journal {self._path} is that of another {what}; give another with --journal: {told}."
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what an error of the file means."""
        try:
            yield
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise CommandFailed(f"The journal {self._path} is in use by another process.") from None
            remedy = "move it away and run again: what was told already is told again, and stays one appointment"
            told = f"The journal {self._path} cannot be used: {error}. If it is damaged, {remedy}."
            raise CommandFailed(told) from None

    def _run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do all that the block does, or nothing."""
        with self._told():
            self._run("BEGIN")
            try:
                yield
                self._run("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._run("ROLLBACK")

    # --- following the log: inside of ``together`` --------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The number of the last commit of the log that was looked at."""
        return int(self._run("SELECT position FROM journal").fetchone()[0])

    def reach(self, position: int) -> None:
        """Keep how far the log was looked at."""
        self._run("UPDATE journal SET position = ?", position)

    def last(self, id_: str) -> Resource | None:
        """Return what is the last to be told of an appointment so far; None: nothing."""
        row = self._run("SELECT body FROM appointment WHERE id = ?", id_).fetchone()
        return None if row is None else parse(row[0])

    def plan(self, id_: str, version: int, body: Resource) -> None:
        """Put a body behind all others that are to be told."""
        text = serialize(body)
        self._run("INSERT INTO outbox VALUES (NULL, ?, ?, ?, ?, NULL)", id_, version, text, State.WAITING)
        change = "ON CONFLICT (id) DO UPDATE SET body = excluded.body"
        self._run(f"INSERT INTO appointment VALUES (?, ?, 0) {change}", id_, text)  # noqa: S608 no value

    def cannot(self, id_: str, version: int, reason: str) -> None:
        """Keep that a version cannot be told."""
        self._run("INSERT INTO outbox VALUES (NULL, ?, ?, NULL, ?, ?)", id_, version, State.UNSENDABLE, reason)

    def settle(self, id_: str) -> None:
        """Forget what of an appointment could not be told: something later can."""
        self._run("DELETE FROM outbox WHERE id = ? AND state = ?", id_, State.UNSENDABLE)

    def unsendable(self) -> list[tuple[int, str, int]]:
        """Return (place in the outbox, id, version) of what cannot be told."""
        return self._run(
            "SELECT seq, id, version FROM outbox WHERE state = ? ORDER BY seq", State.UNSENDABLE
        ).fetchall()

    def drop(self, seq: int) -> None:
        """Take one place out of the outbox."""
        self._run("DELETE FROM outbox WHERE seq = ?", seq)

    # --- sending ------------------------------------------------------------------------------------------------------

    def again(self) -> None:
        """Let what was refused be tried once more, in its place."""
        with self.together():
            self._run("UPDATE outbox SET state = ? WHERE state = ?", State.WAITING, State.REFUSED)

    def forget_refused(self) -> int:
        """Forget what was refused; return how much that was."""
        with self.together():
            return self._run("DELETE FROM outbox WHERE state = ?", State.REFUSED).rowcount

    def next(self, after: int) -> Item | None:
        """Return what is to be told next behind a place of the outbox."""
        with self._told():
            row = self._run(
                "SELECT seq, id, version, outbox.body, tried FROM outbox JOIN appointment USING (id)"
                " WHERE seq > ? AND state IN (?, ?) ORDER BY seq LIMIT 1",
                after,
                State.WAITING,
                State.TRYING,
            ).fetchone()
        return None if row is None else Item(row[0], row[1], row[2], row[3], bool(row[4]))

    def trying(self, item: Item) -> None:
        """Keep that an item is about to be sent."""
        with self.together():
            self._run("UPDATE outbox SET state = ? WHERE seq = ?", State.TRYING, item.seq)
            self._run("UPDATE appointment SET tried = 1 WHERE id = ?", item.id)

    def sent(self, item: Item) -> None:
        """Keep that the platform has an item: what came before it is past."""
        with self.together():
            self._run("DELETE FROM outbox WHERE id = ? AND seq <= ?", item.id, item.seq)

    def refused(self, item: Item, reason: str) -> None:
        """Keep that the platform does not want an item."""
        with self.together():
            self._run("UPDATE outbox SET state = ?, reason = ? WHERE seq = ?", State.REFUSED, reason, item.seq)

    def count(self, *states: State) -> int:
        """Return how much is in the outbox in one of some states."""
        marks = ", ".join("?" * len(states))
        with self._told():
            found = self._run(f"SELECT count(*) FROM outbox WHERE state IN ({marks})", *states)  # noqa: S608 no value
            return int(found.fetchone()[0])
