"""What a commit writes: its changes, the current resources, their index entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_server.search.query import IndexEntry
from fhir_server.storage.following import WRITTEN, another_log, check_commit, check_room, check_version
from fhir_server.storage.protocol import SCHEMA, Change, Commit, Head, Stored, StoreError
from fhir_server.storage.sqlite import entries as entry_rows
from fhir_server.storage.sqlite.names import KINDS, Kind
from fhir_server.storage.sqlite.reading import Reading, address

_INSERT_VERSION = "INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_RESOURCE = "INSERT INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE_RESOURCE = """
    UPDATE resource SET version = ?, address = ?, updated = ?, generation = ?, deleted = ? WHERE ordinal = ?
"""
_INSERT_COMMIT = "INSERT INTO commits VALUES (?, ?, ?, ?)"


class Appender:
    """Appends to the log on the writer's connection, inside its transaction."""

    def __init__(self, reading: Reading, definition_types: frozenset[str]) -> None:
        self._reading = reading
        self._connection = reading.connection
        self._definition_types = definition_types
        self._fresh: dict[Kind, list[entry_rows.Row]] = {kind: [] for kind in KINDS}

    def add(self, changes: Sequence[Change], number: int, first: int, instant: int) -> bool:
        """Write a plan's changes at (number, first …); return whether a definition is among them."""
        check_room(first + len(changes))
        for rows in self._fresh.values():
            rows.clear()  # of a plan that failed half-way
        defines = False
        for position, change in enumerate(changes, first):
            self._add(change, address(number, position), instant, change.entries)
            defines = defines or change.key.type in self._definition_types
        self._flush()
        return defines

    def close(self, number: int, instant: int, generation: int) -> None:
        """Write the commit itself: nothing of a number counts without it."""
        self._connection.execute(_INSERT_COMMIT, (number, instant, generation, SCHEMA))
        self._connection.execute("UPDATE meta SET value = 1 WHERE name = 'written' AND value = 0")

    def _add(self, change: Change | Stored, place: int, instant: int, entries: Iterable[IndexEntry]) -> None:
        version, body = change.version, change.body
        number = self._reading.names.add_type(change.key.type)
        execute = self._connection.execute
        row = execute(
            "SELECT ordinal, version FROM resource WHERE type = ? AND id = ?", (number, change.key.id)
        ).fetchone()
        current = 0 if row is None else row[1]
        check_version(change.key, version, current)
        generation, deleted = change.generation, int(body is None)
        execute(
            _INSERT_VERSION, (place, number, change.key.id, version, str(change.interaction), instant, generation, body)
        )
        ordinal = place if row is None else row[0]
        wanted = entry_rows.rows(self._reading.names, number, ordinal, () if body is None else entries)
        if row is None:
            execute(_INSERT_RESOURCE, (ordinal, number, change.key.id, version, place, instant, generation, deleted))
            for kind, rows in wanted.items():
                self._fresh[kind].extend(rows)
        else:
            self._flush()
            execute(_UPDATE_RESOURCE, (version, place, instant, generation, deleted, ordinal))
            entry_rows.replace(self._connection, ordinal, wanted)

    def _flush(self) -> None:
        """Insert the entries of new resources together: a statement for each would cost as much as its rows."""
        for kind, rows in self._fresh.items():
            if rows:
                self._connection.executemany(entry_rows.INSERT[kind], rows)
                rows.clear()

    # --- verbatim ----------------------------------------------------------------------------------------------------

    def copy(self, commits: Sequence[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]], log_id: str) -> None:
        """Append commits as they are, into a store that no plan has written."""
        head = self._reading.head()
        (written,) = self._connection.execute("SELECT value FROM meta WHERE name = 'written'").fetchone()
        if written:
            raise StoreError(WRITTEN)
        if head.number == 0:
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'log_id'", (log_id,))
        elif head.log_id != log_id:
            raise another_log(head.log_id, log_id)
        for commit, entries in commits:
            self._copy(commit, entries, head)
            head = Head(log_id, commit.number, commit.instant, commit.generation, commit.schema)

    def _copy(self, commit: Commit, entries: Sequence[tuple[IndexEntry, ...]], head: Head) -> None:
        check_commit(commit, head)
        for position, (change, own) in enumerate(zip(commit.changes, entries, strict=True)):
            self._add(change, address(commit.number, position), change.instant, own)
        self._flush()
        row = (commit.number, commit.instant, commit.generation, commit.schema)
        self._connection.execute(_INSERT_COMMIT, row)
