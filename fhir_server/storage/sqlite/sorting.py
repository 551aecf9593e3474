"""The order of matches: sort values, then the ordinal; a missing value comes last whichever way one sorts.

A page is found by *keyset*: the condition that a row comes after (or before) the last one read.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.search.query import Cursor, SortBy
from fhir_server.storage.sqlite.names import Kind, Names
from fhir_server.storage.sqlite.sql import FALSE, Sql, bind, build, every, some

NULL = Sql("NULL")


def sort_value(by: SortBy, names: Names, type: int, ordinal: str) -> Sql:
    """Return the expression of a resource's sort value: its least entry, or the greatest if descending."""
    least = "max" if by.descending else "min"
    if by.kind in {"id", "updated"}:
        return Sql(f"(SELECT {by.kind} FROM resource WHERE ordinal = {ordinal})")  # noqa: S608
    table: Kind
    match by.kind:
        case "equality":
            table, value = "equality", Sql("value")
        case "text":
            table, value = "text", Sql("folded")
        case "span":
            table, value = "span", Sql("high" if by.descending else "low")
        case "near":
            table, value = "point", Sql("metres(latitude, longitude, ?, ?)", by.place or (0.0, 0.0))
        case _:
            raise ValueError(f"unknown kind of sort: {by.kind}")
    field = names.field(type, by.parameter, table)
    if field is None:
        return NULL
    select = f"(SELECT {least}({{}}) FROM {table} WHERE ordinal = {ordinal} AND field = {{}})"  # noqa: S608
    return build(select, value, bind(field))


def order_by(sort: Sequence[SortBy], columns: Sequence[str], *, backward: bool) -> str:
    """Return the terms of ``ORDER BY`` for columns of sort values, the ordinal last."""
    terms = []
    for by, column in zip(sort, columns, strict=False):
        down = by.descending != backward
        terms.append(f"{column} IS NULL {'DESC' if backward else 'ASC'}")
        terms.append(f"{column} {'DESC' if down else 'ASC'}")
    terms.append(f"{columns[-1]} {'DESC' if backward else 'ASC'}")
    return ", ".join(terms)


def keyset(sort: Sequence[SortBy], columns: Sequence[str], cursor: Cursor, *, backward: bool) -> Sql:
    """Return the condition that a row comes after the cursor (before it, if backward)."""
    ways = []
    same: list[Sql] = []
    for by, column, value in zip(sort, columns, cursor, strict=False):
        ways.append(every([*same, beyond(by, column, value, backward=backward)]))
        same.append(Sql(f"{column} IS ?", (value,)))
    ways.append(every([*same, Sql(f"{columns[-1]} {'<' if backward else '>'} ?", (cursor[-1],))]))
    return some(ways)


def beyond(by: SortBy, column: str, value: str | float | None, *, backward: bool) -> Sql:
    """Return the condition that a sort value comes strictly after (before) another."""
    if backward:
        comparison = ">" if by.descending else "<"
        return Sql(f"{column} IS NOT NULL") if value is None else Sql(f"{column} {comparison} ?", (value,))
    comparison = "<" if by.descending else ">"
    return FALSE if value is None else Sql(f"({column} {comparison} ? OR {column} IS NULL)", (value,))
