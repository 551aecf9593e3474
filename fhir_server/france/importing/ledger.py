"""What an import wants and what it will change, on the disk: a file without a name, gone with the process.

Memory holds a page of it, however long the files are.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

from fhir_server.france.importing.findings import Place
from fhir_server.france.importing.source import TYPES, Wanted
from fhir_server.france.importing.tagged import is_active
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.draft import Draft
from fhir_server.model.formats import parse, serialize
from fhir_server.model.reference import Key

_SCHEMA: Final = """
PRAGMA cache_size = -8000;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE wanted (
    type TEXT, id TEXT, rank INTEGER, file TEXT, line INTEGER, col INTEGER, weak INTEGER, active INTEGER, body BLOB
);
CREATE UNIQUE INDEX wanted_key ON wanted (type, id);
CREATE INDEX wanted_order ON wanted (rank, type, id);
CREATE TABLE decision (type TEXT, id TEXT, action TEXT, PRIMARY KEY (type, id)) WITHOUT ROWID;
CREATE TABLE alias (type TEXT, id TEXT, known TEXT, PRIMARY KEY (type, id)) WITHOUT ROWID;
CREATE INDEX alias_known ON alias (type, known);
CREATE TABLE claim (number TEXT PRIMARY KEY, type TEXT, id TEXT) WITHOUT ROWID;
CREATE TABLE contested (type TEXT, id TEXT, PRIMARY KEY (type, id)) WITHOUT ROWID;
CREATE TABLE taken (number TEXT PRIMARY KEY, id TEXT) WITHOUT ROWID;
CREATE TABLE kept (type TEXT, id TEXT, PRIMARY KEY (type, id)) WITHOUT ROWID;
CREATE TABLE change (
    number INTEGER PRIMARY KEY, action TEXT, type TEXT, id TEXT, version INTEGER, place TEXT, draft BLOB, before BLOB
);
"""


class Action(StrEnum):
    """What becomes of a resource."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    DEACTIVATE = "deactivate"
    LEFT = "left"


class Noted(NamedTuple):
    """A resource that is wanted, as it was noted down: ``body`` is its JSON."""

    key: Key
    place: Place
    level: int
    weak: bool
    is_active: bool
    body: bytes

    @property
    def wanted(self) -> Wanted:
        """What the source said."""
        return Wanted(parse(self.body), self.place, self.level, self.weak)


class Change(NamedTuple):
    """One write: ``version`` is the one it replaces, 0 where there is none; ``before`` what is there now.

    ``draft``: what is to be stored, checked and indexed.
    """

    number: int
    action: Action
    key: Key
    version: int
    place: str
    draft: Draft
    before: Json | None

    @property
    def after(self) -> Json:
        """The resource that is to be stored."""
        resource: Json = parse(self.draft.stamped(self.version + 1, 0))
        del resource["meta"]["versionId"], resource["meta"]["lastUpdated"]
        return resource


class Ledger:
    """The working file of one import."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)  # an empty name: a private file, deleted at once
        self._connection.executescript(_SCHEMA)
        self.has_aliases = False
        """Whether the store knows anything wanted by another id."""
        self._has_contested = False

    def close(self) -> None:
        """Forget all."""
        self._connection.close()

    # --- what the files want -----------------------------------------------------------------------------------------

    def want(self, wanted: Wanted, numbers: Iterable[str] = ()) -> Place | None:
        """Keep a resource. If another of its key says something else, return where that one stands, and keep it.

        ``numbers``: those that it may have alone.
        """
        key, body = wanted.key, serialize(wanted.resource)
        rank = TYPES.index(key.type) * 10 + wanted.level
        row = (key.type, key.id, rank, *wanted.place, wanted.weak, is_active(wanted.resource), body)
        added = self._run("INSERT OR IGNORE INTO wanted VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *row).rowcount
        if added:
            for number in numbers:
                self._claim(number, key)
            return None
        [there] = self._run("SELECT file, line, col, body FROM wanted WHERE type = ? AND id = ?", *key)
        return None if there[3] == body else Place(*there[:3])

    def _claim(self, number: str, key: Key) -> None:
        """Note whose a number is; where it is another's already, that both have to be looked at."""
        if self._run("INSERT OR IGNORE INTO claim VALUES (?, ?, ?)", number, *key).rowcount:
            return
        question = "INSERT OR IGNORE INTO contested SELECT type, id FROM claim WHERE number = ?"
        self._run(question, number)
        self._run("INSERT OR IGNORE INTO contested VALUES (?, ?)", *key)
        self._has_contested = True

    def wanted(self, size: int) -> Iterator[list[Noted]]:
        """Yield all that is wanted in the order in which it must be written, ``size`` at a time."""
        after: tuple[Any, ...] = (-1, "", "")
        question = (
            "SELECT rank, type, id, file, line, col, weak, active, body FROM wanted"
            " WHERE (rank, type, id) > (?, ?, ?) ORDER BY rank, type, id LIMIT ?"
        )
        while rows := self._run(question, *after, size).fetchall():
            after = rows[-1][:3]
            yield [
                Noted(Key(type_, id_), Place(file, line, column), rank % 10, bool(weak), bool(active), body)
                for rank, type_, id_, file, line, column, weak, active, body in rows
            ]

    def count_wanted(self) -> int:
        """Return how many resources are wanted."""
        return int(self._run("SELECT count(*) FROM wanted").fetchone()[0])

    def wants(self, keys: Iterable[Key]) -> set[Key]:
        """Return which keys are wanted under their own id or the one the store knows, or kept as they are."""
        question = (
            "SELECT 1 FROM wanted WHERE type = ?1 AND id = ?2 UNION ALL SELECT 1 FROM kept WHERE type = ?1"
            " AND id = ?2 UNION ALL SELECT 1 FROM alias WHERE type = ?1 AND known = ?2"
        )
        return {key for key in keys if self._run(question, *key).fetchone()}

    def decided(self, keys: Iterable[Key]) -> set[Key]:
        """Return of which keys, as the store has them, it is known what becomes of them."""
        question = (
            "SELECT 1 FROM decision WHERE type = ?1 AND id = ?2 UNION ALL SELECT 1 FROM alias"
            " JOIN decision USING (type, id) WHERE type = ?1 AND known = ?2"
        )
        return {key for key in keys if self._run(question, *key).fetchone()}

    def keep(self, keys: Iterable[Key]) -> None:
        """Protect what a refused line stands for: it does not count as vanished."""
        for key in keys:
            self._run("INSERT OR IGNORE INTO kept VALUES (?, ?)", *key)

    def is_contested(self, key: Key) -> bool:
        """Tell whether a number of a resource is wanted for another one too."""
        if not self._has_contested:
            return False
        return self._run("SELECT 1 FROM contested WHERE type = ? AND id = ?", *key).fetchone() is not None

    def take(self, number: str, key: Key) -> str | None:
        """Give a number to a resource; return the id of the one that has it already."""
        self._run("INSERT OR IGNORE INTO taken VALUES (?, ?)", number, key.id)
        [owner] = self._run("SELECT id FROM taken WHERE number = ?", number).fetchone()
        return None if owner == key.id else str(owner)

    # --- what the store knows by another id --------------------------------------------------------------------------

    def know(self, key: Key, known: str) -> None:
        """Remember that the store has a wanted resource under another id."""
        self.has_aliases = True
        self._run("INSERT OR REPLACE INTO alias VALUES (?, ?, ?)", *key, known)

    def known(self, key: Key) -> str:
        """Return the id of the store for a wanted resource."""
        row = self._run("SELECT known FROM alias WHERE type = ? AND id = ?", *key).fetchone()
        return row[0] if row else key.id

    # --- what becomes of it ------------------------------------------------------------------------------------------

    def decide(self, decisions: Iterable[tuple[Key, Action]]) -> None:
        """Note what becomes of wanted resources."""
        rows = [(*key, action) for key, action in decisions]
        self._connection.executemany("INSERT INTO decision VALUES (?, ?, ?)", rows)

    def change(self, action: Action, key: Key, place: str, draft: Draft, before: Json | None) -> None:
        """Note a write."""
        version = int(before["meta"]["versionId"]) if before else 0
        row = (action, *key, version, place, pickle.dumps(draft), None if before is None else serialize(before))
        self._run("INSERT INTO change VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", *row)

    def changes(self, size: int) -> Iterator[list[Change]]:
        """Yield the writes in their order, ``size`` at a time."""
        last = 0
        while rows := self._run("SELECT * FROM change WHERE number > ? ORDER BY number LIMIT ?", last, size).fetchall():
            last = rows[-1][0]
            yield [
                Change(number, Action(action), Key(type_, id_), version, place, _draft(draft), before and parse(before))
                for number, action, type_, id_, version, place, draft, before in rows
            ]

    def count_changes(self) -> int:
        """Return how many writes there are."""
        return int(self._run("SELECT count(*) FROM change").fetchone()[0])

    def lines(self) -> Iterator[tuple[str, int, list[Action]]]:
        """Yield file, number and actions of each line of the files that wants something."""
        question = (
            "SELECT file, line, group_concat(DISTINCT action) FROM wanted LEFT JOIN decision USING (type, id)"
            " WHERE line > 0 GROUP BY file, line ORDER BY file, line"
        )
        for file, line, actions in self._run(question):
            yield file, line, [Action(action) for action in (actions or "").split(",") if action]

    def _run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)


def _draft(data: bytes) -> Draft:
    found: Draft = pickle.loads(data)  # noqa: S301 - this very process has written it
    return found
