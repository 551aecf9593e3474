"""What a connection sees, read by key: head, current versions, one version, histories, the log."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.storage.budget import within
from fhir_server.storage.protocol import ENDED, SCHEMA, Address, Commit, Head, HistoryPage, Scope, Stored, Versions
from fhir_server.storage.sqlite.connection import Meter
from fhir_server.storage.sqlite.names import Names
from fhir_server.storage.sqlite.schema import POSITION_BITS
from fhir_server.storage.sqlite.sql import Sql, bind, build, every

INTERACTIONS: Final = {str(interaction): interaction for interaction in Interaction}
MASK: Final = (1 << POSITION_BITS) - 1
HIGHEST: Final = (1 << 63 - POSITION_BITS) - 1
"""The highest number of a commit."""

_CURRENT: Final = """
    SELECT v.version, v.instant, v.interaction, v.body, v.address, r.generation
    FROM resource r CROSS JOIN version v ON v.address = r.address
    WHERE r.type = ? AND r.id = ?
"""
_MANY: Final = """
    SELECT r.id, v.version, v.instant, v.interaction, v.body, v.address, r.generation
    FROM json_each(?) AS wanted
    CROSS JOIN resource r INDEXED BY resource_key ON r.type = ? AND r.id = wanted.value
    CROSS JOIN version v ON v.address = r.address
"""
_FIRST: Final = """
    SELECT v.version, v.instant, v.interaction, v.body, v.address, v.generation
    FROM resource r CROSS JOIN version v ON v.address = r.ordinal
    WHERE r.type = ? AND r.id = ?
"""
_LATER: Final = """
    SELECT version, instant, interaction, body, address, generation
    FROM version INDEXED BY version_instance WHERE type = ? AND id = ? AND version = ? AND version > 1
"""
_BY_ORDINAL: Final = """
    SELECT r.ordinal, v.type, v.id, v.version, v.instant, v.interaction, v.body, v.address, r.generation
    FROM json_each(?) AS wanted CROSS JOIN resource r ON r.ordinal = wanted.value
    CROSS JOIN version v ON v.address = r.address
"""
_BY_ADDRESS: Final = """
    SELECT v.type, v.id, v.version, v.instant, v.interaction, v.body, v.address, v.generation
    FROM json_each(?) AS wanted CROSS JOIN version v ON v.address = wanted.value
"""
_LOG: Final = """
    SELECT type, id, version, instant, interaction, body, address, generation
    FROM version WHERE address >= ? ORDER BY address
"""


def address(number: int, position: int = 0) -> int:
    """Return an address as one integer."""
    return (number << POSITION_BITS) | position


def _order(page: HistoryPage) -> str:
    return "ASC" if page.ascending else "DESC"


class Reading:
    """Reads on one connection; the caller holds the transaction that makes them agree."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.names = Names(connection)
        self.meter = Meter(connection)

    def head(self) -> Head:
        """Return the end of the log; the mark behind the last commit of one that has ended is no commit."""
        row = self.connection.execute(
            "SELECT number, instant, generation, schema FROM commits ORDER BY number DESC LIMIT 1"
        ).fetchone()
        (log_id,) = self.connection.execute("SELECT value FROM meta WHERE name = 'log_id'").fetchone()
        number, instant, generation, schema = row or (0, 0, 0, SCHEMA)
        return Head(log_id, number - (schema == ENDED), instant, generation, schema)

    def read(self, key: Key) -> Stored | None:
        """Return the current version, or the tombstone, of a key; None if it never was."""
        number = self.names.type(key.type)
        if number is None:
            return None
        row = self.connection.execute(_CURRENT, (number, key.id)).fetchone()
        return None if row is None else stored(key, row)

    def read_many(self, keys: Iterable[Key]) -> dict[Key, Stored]:
        """Return the same of each key that ever was, in a statement a type."""
        by_type: dict[str, list[str]] = {}
        for key in keys:
            by_type.setdefault(key.type, []).append(key.id)
        found: dict[Key, Stored] = {}
        for name, ids in by_type.items():
            number = self.names.type(name)
            if number is not None:
                for row in self.connection.execute(_MANY, (json.dumps(ids), number)).fetchall():
                    key = make(Key, (name, row[0]))
                    found[key] = stored(key, row[1:])
        return found

    def vread(self, key: Key, version: int) -> Stored | None:
        """Return one version, deletions included. The first is found by its ordinal: the index holds the later ones."""
        number = self.names.type(key.type)
        if number is None:
            return None
        if version == 1:
            row = self.connection.execute(_FIRST, (number, key.id)).fetchone()
        else:
            row = self.connection.execute(_LATER, (number, key.id, version)).fetchone()
        return None if row is None else stored(key, row)

    def deletions(self, versions: Iterable[tuple[Key, int]]) -> frozenset[tuple[Key, int]]:
        """Return those of the versions that are deletions."""
        found = ((key, version, self.vread(key, version)) for key, version in versions)
        return frozenset((key, version) for key, version, there in found if there is not None and there.is_deleted)

    # --- histories ---------------------------------------------------------------------------------------------------

    def history(self, scope: Scope, page: HistoryPage) -> Versions:
        """Return one page of a history. Addresses are found first, so that no body is read in vain."""
        limits = every(self._limits(page))
        tail = build(f"ORDER BY address {_order(page)} LIMIT {{}}", bind(page.count + 1))
        if scope.id is not None:
            found = self._instance(scope, page, limits)
        elif scope.type is None and not scope.types:
            found = self._addresses(build("NOT INDEXED WHERE {} {}", limits, tail))
        else:
            found = []
            for name in dict.fromkeys((scope.type,) if scope.type is not None else scope.types):
                number = self.names.type(name)
                if number is not None:
                    where = build("INDEXED BY version_type WHERE type = {} AND {}", bind(number), limits)
                    found += self._addresses(build("{} {}", where, tail))
            found.sort(reverse=not page.ascending)
        versions = tuple(within(self._at(found[: page.count]), page.bytes))
        return Versions(versions, more=len(versions) < len(found))

    def _addresses(self, where: Sql) -> list[int]:
        rows = self.connection.execute(f"SELECT address FROM version {where.text}", where.values)  # noqa: S608
        return [place for (place,) in rows]

    def _at(self, addresses: Sequence[int]) -> Iterator[Stored]:
        """Yield the changes at addresses, in their order."""
        return self._versions(self.connection.execute(_BY_ADDRESS, (json.dumps(addresses),)))

    def _instance(self, scope: Scope, page: HistoryPage, limits: Sql) -> list[int]:
        """Versions of one resource are numbered in the order of their addresses; the first is not in the index."""
        type_ = self.names.type(scope.type or "")
        row = self.connection.execute(
            "SELECT ordinal FROM resource WHERE type = ? AND id = ?", (type_, scope.id)
        ).fetchone()
        if row is None:
            return []
        (ordinal,) = row
        where = [Sql("type = ? AND id = ? AND version > 1", (type_, scope.id)), limits]
        if page.after is not None:
            row = self.connection.execute(
                "SELECT version FROM version WHERE address = ? AND type = ? AND id = ?",
                (address(*page.after), type_, scope.id),
            ).fetchone()
            if row is not None:
                where.append(Sql("version > ?" if page.ascending else "version < ?", row))
        order = Sql(f"ORDER BY version {_order(page)}")
        later = build("INDEXED BY version_instance WHERE {} {} LIMIT {}", every(where), order, bind(page.count + 1))
        found = self._addresses(build("WHERE address = {} AND {}", bind(ordinal), limits)) + self._addresses(later)
        return sorted(found, reverse=not page.ascending)

    def _limits(self, page: HistoryPage) -> Iterable[Sql]:
        """Instants never go back along the log, so they are ranges of addresses too."""
        yield Sql("address >= 0")
        if page.after is not None:
            yield Sql("address > ?" if page.ascending else "address < ?", (address(*page.after),))
        if page.since is not None:
            first = self._first_at(page.since)
            yield Sql("address < 0") if first is None else Sql("address >= ?", (address(first),))
        if page.before_instant is not None:
            first = self._first_at(page.before_instant)
            if first is not None:
                yield Sql("address < ?", (address(first),))

    def _first_at(self, instant: int) -> int | None:
        row = self.connection.execute(
            "SELECT number FROM commits WHERE instant >= ? ORDER BY instant, number LIMIT 1", (instant,)
        ).fetchone()
        return None if row is None else int(row[0])

    # --- the log -----------------------------------------------------------------------------------------------------

    def commits(self, after: int, changes: int, size: int) -> list[Commit]:
        """Return the next commits: as many as have about that many changes, or bytes, together; one at least, if there
        is one."""
        grouped: dict[int, list[Stored]] = {}
        last = HIGHEST
        rows = self.connection.execute(_LOG, (address(after + 1),))
        for change in self._versions(rows):
            number = change.address.number
            if number not in grouped and (changes <= 0 or size <= 0):
                rows.close()
                last = number - 1
                break
            grouped.setdefault(number, []).append(change)
            changes, size = changes - 1, size - len(change.body or b"")
        heads = self.connection.execute(
            "SELECT number, instant, generation, schema FROM commits WHERE number > ? AND number <= ? ORDER BY number",
            (after, last),
        ).fetchall()
        return [
            Commit(number, instant, generation, schema, tuple(grouped.get(number, ())))
            for number, instant, generation, schema in heads
        ]

    def _versions(self, rows: Iterable[Sequence[Any]]) -> Iterator[Stored]:
        name = self.names.type_name
        for type_, id_, *row in rows:
            yield stored(Key(name(type_), id_), row)

    def by_ordinal(self, ordinals: Sequence[int], limit: int | None = None) -> dict[int, Stored]:
        """Return current resources by their place in the order of creation: the first of them, as many as the
        ``limit`` of bytes holds and one at least."""
        found: dict[int, Stored] = {}
        if not ordinals:
            return found
        left = math.inf if limit is None else limit
        names: dict[int, str] = {}
        rows = self.connection.execute(_BY_ORDINAL, (json.dumps(ordinals),))
        for ordinal, type_, id_, version, instant, interaction, body, place, generation in rows:
            # Written out: a page of a search has a thousand of them.
            left -= len(body or b"")
            if left < 0 and found:
                rows.close()
                break
            name = names.get(type_) or names.setdefault(type_, self.names.type_name(type_))
            key, where = make(Key, (name, id_)), make(Address, (place >> POSITION_BITS, place & MASK))
            row = (key, version, instant, INTERACTIONS[interaction], body, where, generation)
            found[ordinal] = make(Stored, row)
        return found


make: Final = tuple.__new__
"""Makes a named tuple without its own ``__new__``: a page of a search has a thousand of them."""


def stored(key: Key, row: Sequence[Any]) -> Stored:
    """Make a version of (version, instant, interaction, body, address, generation)."""
    version, instant, interaction, body, place, generation = row
    where = make(Address, (place >> POSITION_BITS, place & MASK))
    return make(Stored, (key, version, instant, INTERACTIONS[interaction], body, where, generation))
