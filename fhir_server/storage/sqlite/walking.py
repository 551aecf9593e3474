"""Where no filter is selective: walk an index that is in the order wanted, checking each resource on the way.

A result sorted by one value is read in *segments*, one after the other until the page is full: what shares the cursor's
value, what lies beyond it, what has no value. Each is one range of one index, so a page deep in a result costs what
the first costs.
"""

# ruff: noqa: S608 - a statement is made of our own words; every value is bound

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.search.query import Cursor, SortBy
from fhir_server.storage.sqlite.names import Kind, Names
from fhir_server.storage.sqlite.sorting import keyset, order_by, sort_value
from fhir_server.storage.sqlite.sql import TRUE, Sql, bind, build, every

OF_TYPE: Final = "resource c INDEXED BY resource_type WHERE c.type = ? AND c.deleted = 0"


@dataclass(frozen=True, slots=True)
class Index:
    """An index in the order of one sort: ``column`` is its value, ``least`` tells that this row is the resource's."""

    source: Sql
    column: str
    least: Sql
    missing: Sql | None
    """Selects what has no value, if that can be."""


def index_of(by: SortBy, names: Names, type: int) -> Index | None:
    """Return the index in the order of a sort, or None if there is none."""
    if by.kind == "id":
        source = "resource c INDEXED BY resource_key WHERE c.type = ? AND +c.deleted = 0"
        return Index(Sql(source, (type,)), "c.id", TRUE, None)
    if by.kind == "updated":
        source = "resource c INDEXED BY resource_updated WHERE c.type = ? AND c.deleted = 0"
        return Index(Sql(source, (type,)), "c.updated", TRUE, None)
    kinds: dict[str, tuple[Kind, str, str, str, str]] = {
        "equality": ("equality", "equality_value", "", "value", ""),
        "text": ("text", "text_value", "", "folded", "exact"),
        "span": ("span", "span_value", " AND c.key = ''", "low", "high"),
    }
    if by.kind not in kinds:
        return None
    table, index, only, column, other = kinds[by.kind]
    if by.kind == "span" and by.descending:
        index, column, other = "span_high", "high", "low"
    field = names.field(type, by.parameter, table)
    of_type = Sql(OF_TYPE, (type,))
    if field is None:
        nothing = Sql("(SELECT NULL AS value, 0 AS ordinal WHERE 0) c WHERE c.ordinal > 0")
        return Index(nothing, "c.value", TRUE, of_type)
    before = ">" if by.descending else "<"
    earlier = f"m.{column} {before} c.{column}"
    if other:
        earlier += f" OR (m.{column} = c.{column} AND m.{other} < c.{other})"
    mine = "m.ordinal = c.ordinal AND m.field = c.field"
    return Index(
        Sql(f"{table} c INDEXED BY {index} WHERE c.field = ?{only}", (field,)),
        f"c.{column}",
        Sql(f"NOT EXISTS (SELECT 1 FROM {table} m WHERE {mine} AND ({earlier}))"),
        build(
            f"{{}} AND NOT EXISTS (SELECT 1 FROM {table} m WHERE m.ordinal = c.ordinal AND m.field = {{}})",
            of_type,
            bind(field),
        ),
    )


def walk_ordinals(source: Sql, check: Sql, cursor: Cursor | None, count: int, *, backward: bool) -> Sql:
    """Select a page of ordinals from ``source``, which ends in a condition."""
    after = TRUE if cursor is None else Sql(f"c.ordinal {'<' if backward else '>'} ?", (cursor[-1],))
    order = "DESC" if backward else "ASC"
    select = f"SELECT c.ordinal FROM {{}}{{}} ORDER BY c.ordinal {order} LIMIT {{}}"
    return build(select, source, going_on([after, check]), bind(count))


def going_on(conditions: Sequence[Sql]) -> Sql:
    """Go on with further conditions; a constant must not be among them (see ``every``)."""
    further = every(conditions)
    return Sql("") if further == TRUE else build(" AND {}", further)


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk along the index of the first sort key; the other keys break its ties."""

    names: Names
    type: int
    sort: Sequence[SortBy]
    index: Index
    check: Sql
    backward: bool

    def segments(self, cursor: Cursor | None) -> Iterator[Sql]:
        """Yield the selects of one page in the order they are read, each to be given a limit."""
        if cursor is None:
            yield self._valued(TRUE)
            if self.index.missing is not None:
                yield self._missing(None)
        elif cursor[0] is None:
            if self.index.missing is not None:
                yield self._missing(cursor)
            if self.backward:
                yield self._valued(TRUE)
        else:
            column = self.index.column
            yield self._select(
                self.index.source,
                column,
                every([Sql(f"{column} = ?", (cursor[0],)), self.index.least, self._ties(cursor)]),
                tied=True,
            )
            down = self.sort[0].descending != self.backward
            yield self._valued(Sql(f"{column} {'<' if down else '>'} ?", (cursor[0],)))
            if self.index.missing is not None and not self.backward:
                yield self._missing(None)

    def _valued(self, limits: Sql) -> Sql:
        return self._select(self.index.source, self.index.column, every([limits, self.index.least]), tied=False)

    def _missing(self, cursor: Cursor | None) -> Sql:
        assert self.index.missing is not None  # noqa: S101
        ties = TRUE if cursor is None else self._ties(cursor)
        return self._select(self.index.missing, "NULL", ties, tied=True)

    def _columns(self) -> list[str]:
        return [*[f"k{place:d}" for place in range(1, len(self.sort))], "c.ordinal"]

    def _ties(self, cursor: Cursor) -> Sql:
        return keyset(self.sort[1:], self._columns(), cursor[1:], backward=self.backward)

    def _select(self, source: Sql, column: str, limits: Sql, *, tied: bool) -> Sql:
        values = [sort_value(by, self.names, self.type, "c.ordinal") for by in self.sort[1:]]
        named = "".join(f"{{}} AS k{place:d}, " for place in range(1, len(self.sort)))
        order = order_by(self.sort[1:], self._columns(), backward=self.backward)
        if not tied:
            order = f"{column} {'DESC' if self.sort[0].descending != self.backward else 'ASC'}, {order}"
        return build(
            f"SELECT {column} AS k0, {named}c.ordinal FROM {{}}{{}} ORDER BY {order}",
            *values,
            source,
            going_on([limits, self.check]),
        )
