"""Where no filter is selective: walk an index that is in the order wanted, checking each resource on the way.

A result sorted by one value is read in *segments*, one after the other until the page is full: what shares the cursor's
value, what lies beyond it, what has no value. Each is one range of one index, so a page deep in a result costs what
the first costs.
"""

# ruff: noqa: S608 - a statement is made of our own words; every value is bound

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from fhir_server.search.query import Cursor, Equal, Keys, Node, SortBy, Spans, StartsWith, TextStarts, Updated
from fhir_server.storage.prefixes import successor
from fhir_server.storage.sqlite.checks import MILLISECOND
from fhir_server.storage.sqlite.names import Kind, Names
from fhir_server.storage.sqlite.sorting import keyset, order_by, sort_value
from fhir_server.storage.sqlite.sql import TRUE, Sql, bind, build, every, going_on

OF_TYPE: Final = "resource c INDEXED BY resource_type WHERE c.type = ? AND c.deleted = 0"


@dataclass(frozen=True, slots=True)
class Index:
    """An index in the order of one sort: ``column`` is its value, ``least`` tells that this row is the resource's."""

    source: Sql
    column: str
    least: Sql
    missing: Sql | None
    """Selects what has no value, if that can be."""
    field: int | None = None
    lower: Sql = TRUE
    upper: Sql = TRUE
    """The part of the index that matters."""


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
        field,
    )


def walk_ordinals(source: Sql, check: Sql, cursor: Cursor | None, count: int, *, backward: bool) -> Sql:
    """Select a page of ordinals from ``source``, which ends in a condition."""
    after = TRUE if cursor is None else Sql(f"c.ordinal {'<' if backward else '>'} ?", (cursor[-1],))
    order = "DESC" if backward else "ASC"
    select = f"SELECT c.ordinal FROM {{}}{{}} ORDER BY c.ordinal {order} LIMIT {{}}"
    return build(select, source, going_on([after, check]), bind(count))


Range: TypeAlias = tuple[str | float | None, str | float | None]


def narrowed(index: Index, by: SortBy, nodes: Sequence[Node], names: Names) -> Index:
    """Keep to the part of an index where filters by the same parameter hold, if each resource has one value."""
    if by.kind != "updated":
        if index.field is None or names.is_many(index.field):
            return index
        index = replace(index, least=TRUE)
    ranges = [_range(node, by) for node in nodes]
    lowers = [low for low, _ in ranges if low is not None]
    uppers = [high for _, high in ranges if high is not None]
    if not lowers and not uppers:
        return index
    by_high = by.kind == "span" and by.descending
    column = index.column
    return replace(
        index,
        lower=Sql(f"{column} {'>' if by_high else '>='} ?", (max(lowers),)) if lowers else TRUE,
        upper=Sql(f"{column} {'<=' if by_high else '<'} ?", (min(uppers),)) if uppers else TRUE,
        missing=None,
    )


def _range(node: Node, by: SortBy) -> Range:
    """Return what a filter says of the sort's value: a range that contains all that match.

    Half-open; of the ends of spans, by which one sorts descending, open below and closed above.
    """
    match node:
        case Updated(any_of) if by.kind == "updated":
            return Spans("", any_of, None, MILLISECOND).lows()
        case Equal(parameter, tuple(values)) if (parameter, by.kind) == (by.parameter, "equality") and values:
            return min(values), f"{max(values)}\0"
        case StartsWith(parameter, prefixes) if (parameter, by.kind) == (by.parameter, "equality") and prefixes:
            return _prefixed(prefixes)
        case TextStarts(parameter, folded) if (parameter, by.kind) == (by.parameter, "text") and folded:
            return _prefixed(folded)
        case Spans(parameter, any_of, keys) if (parameter, by.kind) == (by.parameter, "span") and any_of:
            if not isinstance(keys, Keys):
                return _highs(node) if by.descending else node.lows()
    return None, None


def _highs(node: Spans) -> Range:
    """Return ``(above, to)``: every span that matches has ``above < high <= to``."""
    above = [_greatest(bounds.high_above, bounds.low_from) for bounds in node.any_of]
    to = [_least(bounds.high_to, _sum(bounds.low_below, node.width)) for bounds in node.any_of]
    lowest = None if None in above else min(value for value in above if value is not None)
    highest = None if None in to else max(value for value in to if value is not None)
    return lowest, highest


def _prefixed(prefixes: Sequence[str]) -> Range:
    ends = [successor(prefix) for prefix in prefixes]
    return min(prefixes), None if None in ends else max(text for text in ends if text is not None)


def _greatest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _least(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


@dataclass(frozen=True, slots=True)
class Ties:
    """Those that share a value of the first sort key, None if they have none, and come after a cursor."""

    value: str | float | None
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A select, to be given a limit. ``loose``: what shares a value comes in no order, so that the last value read
    must be read again whole (``Walk.tied``)."""

    select: Sql
    loose: bool = False
    ties: Ties | None = None
    """Given where all of it shares one value."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk along the index of the first sort key; the other keys break its ties."""

    names: Names
    type: int
    sort: Sequence[SortBy]
    nodes: Sequence[Node]
    """What is filtered by."""
    index: Index
    check: Sql
    backward: bool

    @classmethod
    def along(
        cls, names: Names, type: int, sort: Sequence[SortBy], nodes: Sequence[Node], check: Sql, *, backward: bool
    ) -> Walk | None:
        """Return the walk along the part of the first key's index where filters by it hold; None without an index."""
        index = index_of(sort[0], names, type)
        if index is None:
            return None
        return cls(names, type, sort, nodes, narrowed(index, sort[0], nodes, names), check, backward)

    def segments(self, cursor: Cursor | None) -> Iterator[Segment]:
        """Yield the segments of one page in the order they are read."""
        if cursor is None:
            yield self._valued(None)
            if self.index.missing is not None:
                yield self._missing(None)
        elif cursor[0] is None:
            if self.index.missing is not None:
                yield self._missing(cursor)
            if self.backward:
                yield self._valued(None)
        else:
            yield self.tied(Ties(cursor[0], cursor))
            yield self._valued(cursor[0])
            if self.index.missing is not None and not self.backward:
                yield self._missing(None)

    def tied(self, ties: Ties) -> Segment:
        """Select what has one value, in the order of the other sort keys."""
        same = Sql(f"{self.index.column} = ?", (ties.value,))
        limits = every([same, self.index.least, self._beyond(ties)])
        return Segment(self._select(self.index.source, self.index.column, limits, self._rest()), ties=ties)

    def same(self, value: str | float | None) -> Sql:
        """Select the rows of the index that have a value."""
        same = Sql(f"{self.index.column} = ?", (value,))
        return build("SELECT 1 FROM {}{}", self.index.source, going_on([same]))

    def inside(self, ties: Ties) -> Walk | None:
        """Return the walk along the index of the second sort key that passes all that share a value of the first."""
        value = sort_value(self.sort[0], self.names, self.type, "c.ordinal")
        check = every([self.check, build("{} IS {}", value, bind(ties.value))])
        return Walk.along(self.names, self.type, self.sort[1:], self.nodes, check, backward=self.backward)

    def _valued(self, beyond: str | float | None) -> Segment:
        """Select by value alone, beyond one: an index cannot run down its values and up the ordinals, so what shares
        a value may come in any order (``Segment.loose``)."""
        down = self.sort[0].descending != self.backward
        lower, upper, column = self.index.lower, self.index.upper, self.index.column
        if beyond is not None and down:
            upper = Sql(f"{column} < ?", (beyond,))
        elif beyond is not None:
            lower = Sql(f"{column} > ?", (beyond,))
        limits = every([lower, upper, self.index.least])
        order = f"{column} {'DESC' if down else 'ASC'}"
        loose = len(self.sort) > 1 or self.sort[0].descending
        if not loose:
            order = f"{order}, {self._rest()}"
        return Segment(self._select(self.index.source, column, limits, order), loose=loose)

    def _missing(self, cursor: Cursor | None) -> Segment:
        assert self.index.missing is not None  # noqa: S101
        ties = Ties(None, cursor)
        return Segment(self._select(self.index.missing, "NULL", self._beyond(ties), self._rest()), ties=ties)

    def _rest(self) -> str:
        return order_by(self.sort[1:], self._columns(), backward=self.backward)

    def _columns(self) -> list[str]:
        return [*[f"k{place:d}" for place in range(1, len(self.sort))], "c.ordinal"]

    def _beyond(self, ties: Ties) -> Sql:
        if ties.cursor is None:
            return TRUE
        return keyset(self.sort[1:], self._columns(), ties.cursor[1:], backward=self.backward)

    def _select(self, source: Sql, column: str, limits: Sql, order: str) -> Sql:
        values = [sort_value(by, self.names, self.type, "c.ordinal") for by in self.sort[1:]]
        named = "".join(f"{{}} AS k{place:d}, " for place in range(1, len(self.sort)))
        return build(
            f"SELECT {column} AS k0, {named}c.ordinal FROM {{}}{{}} ORDER BY {order}",
            *values,
            source,
            going_on([limits, self.check]),
        )
