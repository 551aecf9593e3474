"""Types and parameters by number: a row holds a small integer where it would repeat a name."""

from __future__ import annotations

import sqlite3
from typing import Final, Literal

Kind = Literal["equality", "text", "span", "point"]
KINDS: Final[tuple[Kind, ...]] = ("equality", "text", "span", "point")
"""The tables of entries."""


class Names:
    """What one connection knows of the names; it never knows more than its file, so forget after a rollback."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._types: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._fields: dict[tuple[int, str, Kind], int] = {}
        self._many: set[int] = set()

    def forget(self) -> None:
        self._types.clear()
        self._names.clear()
        self._fields.clear()
        self._many.clear()

    def type(self, name: str) -> int | None:
        """Return a type's number, or None if no resource of it was ever stored."""
        number = self._types.get(name)
        if number is None:
            row = self._connection.execute("SELECT number FROM type WHERE name = ?", (name,)).fetchone()
            if row is not None:
                number = self._types[name] = int(row[0])
        return number

    def type_name(self, number: int) -> str:
        name = self._names.get(number)
        if name is None:
            row = self._connection.execute("SELECT name FROM type WHERE number = ?", (number,)).fetchone()
            name = self._names[number] = str(row[0])
        return name

    def field(self, type: int, parameter: str, kind: Kind) -> int | None:
        """Return the number of a type's parameter, or None if no resource ever had such an entry."""
        number = self._fields.get((type, parameter, kind))
        if number is None:
            row = self._connection.execute(
                "SELECT number FROM field WHERE type = ? AND parameter = ? AND kind = ?", (type, parameter, kind)
            ).fetchone()
            if row is not None:
                number = self._fields[type, parameter, kind] = int(row[0])
        return number

    def add_type(self, name: str) -> int:
        number = self.type(name)
        if number is None:
            cursor = self._connection.execute("INSERT INTO type (name) VALUES (?)", (name,))
            number = self._types[name] = _inserted(cursor)
        return number

    def add_field(self, type: int, parameter: str, kind: Kind) -> int:
        number = self.field(type, parameter, kind)
        if number is None:
            cursor = self._connection.execute(
                "INSERT INTO field (type, parameter, kind) VALUES (?, ?, ?)", (type, parameter, kind)
            )
            number = self._fields[type, parameter, kind] = _inserted(cursor)
        return number

    def is_many(self, field: int) -> bool:
        """Tell whether a resource ever had several entries of a parameter; asked anew for each snapshot."""
        row = self._connection.execute("SELECT many FROM field WHERE number = ?", (field,)).fetchone()
        return bool(row[0])

    def mark_many(self, field: int) -> None:
        if field not in self._many:
            self._connection.execute("UPDATE field SET many = 1 WHERE number = ? AND many = 0", (field,))
            self._many.add(field)


def _inserted(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT has just run
    return cursor.lastrowid
