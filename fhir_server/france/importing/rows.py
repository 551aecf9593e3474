"""Rows of a register set in order on the disk: a person or structure stands in many, and not one after the other."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

_SCHEMA: Final = """
PRAGMA cache_size = -8000;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE row (key TEXT, sorted TEXT, line INTEGER, data TEXT);
"""


class Row(NamedTuple):
    """One row: the number of its line, its fields by the key of their column."""

    line: int
    fields: Mapping[str, str]


class Rows:
    """Rows by a key; within one key, by a text to sort by, then by line."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)  # an empty name: a private file, deleted at once
        self._connection.executescript(_SCHEMA)
        self._connection.execute("BEGIN")

    def close(self) -> None:
        """Forget all."""
        self._connection.close()

    def add(self, key: str, sorted_by: str, line: int, fields: Mapping[str, Any]) -> None:
        """Keep a row."""
        row = (key, sorted_by, line, json.dumps(fields, ensure_ascii=False))
        self._connection.execute("INSERT INTO row VALUES (?, ?, ?, ?)", row)

    def groups(self) -> Iterator[tuple[str, list[Row]]]:
        """Yield each key with its rows."""
        found = self._connection.execute("SELECT key, line, data FROM row ORDER BY key, sorted, line")
        for key, rows in groupby(found, lambda row: row[0]):
            yield key, [Row(line, json.loads(data)) for _, line, data in rows]
