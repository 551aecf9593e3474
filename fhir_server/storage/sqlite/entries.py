"""Index entries as rows of the four entry tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, TypeAlias

from fhir_server.search.query import Equality, IndexEntry, Point, Span, Text
from fhir_server.storage.sqlite.names import KINDS, Kind, Names

Row: TypeAlias = tuple[int | float | str, ...]
"""(ordinal, field, values …)"""

KIND: Final[dict[type[IndexEntry], Kind]] = {Equality: "equality", Text: "text", Span: "span", Point: "point"}

INSERT: Final[dict[Kind, str]] = {
    "equality": "INSERT INTO equality VALUES (?, ?, ?)",
    "text": "INSERT INTO text VALUES (?, ?, ?, ?)",
    "span": "INSERT INTO span VALUES (?, ?, ?, ?, ?)",
    "point": "INSERT INTO point VALUES (?, ?, ?, ?)",
}
SELECT: Final[dict[Kind, str]] = {
    "equality": "SELECT ordinal, field, value FROM equality WHERE ordinal = ?",
    "text": "SELECT ordinal, field, folded, exact FROM text WHERE ordinal = ?",
    "span": "SELECT ordinal, field, key, low, high FROM span WHERE ordinal = ?",
    "point": "SELECT ordinal, field, latitude, longitude FROM point WHERE ordinal = ?",
}
DELETE: Final[dict[Kind, str]] = {
    "equality": "DELETE FROM equality WHERE ordinal = ? AND field = ? AND value = ?",
    "text": "DELETE FROM text WHERE ordinal = ? AND field = ? AND folded = ? AND exact = ?",
    "span": "DELETE FROM span WHERE ordinal = ? AND field = ? AND key = ? AND low = ? AND high = ?",
    "point": "DELETE FROM point WHERE ordinal = ? AND field = ? AND latitude = ? AND longitude = ?",
}


def rows(names: Names, type: int, ordinal: int, entries: Iterable[IndexEntry]) -> dict[Kind, set[Row]]:
    """Return the rows of a resource's entries, each once."""
    found: dict[Kind, set[Row]] = {}
    for entry in entries:
        kind = KIND[entry.__class__]
        row = (ordinal, names.add_field(type, entry[0], kind), *entry[1:])
        kept = found.get(kind)
        if kept is None:
            found[kind] = {row}
        else:
            kept.add(row)
    for own in found.values():
        if len(own) > 1:
            _mark(names, own)
    return found


def _mark(names: Names, own: set[Row]) -> None:
    """Note the fields of which the resource has several rows."""
    fields = [row[1] for row in own]
    seen = set(fields)
    if len(seen) < len(fields):
        for field in seen:
            if fields.count(field) > 1:
                names.mark_many(int(field))


def replace(connection: sqlite3.Connection, ordinal: int, wanted: dict[Kind, set[Row]]) -> None:
    """Make the rows of a resource the wanted ones; those already there are left alone."""
    for kind in KINDS:
        old = set(connection.execute(SELECT[kind], (ordinal,)).fetchall())
        new = wanted.get(kind, set())
        if gone := old - new:
            connection.executemany(DELETE[kind], gone)
        if fresh := new - old:
            connection.executemany(INSERT[kind], fresh)
