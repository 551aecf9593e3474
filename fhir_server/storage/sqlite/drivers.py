"""A node of a query as a *driver*: the rows of an index from which candidates come.

Every driver names its index, so that no statistics, and no lack of them, can change the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Final

from fhir_server.search.query import (
    Equal,
    Ids,
    Keys,
    Near,
    Node,
    Present,
    References,
    Spans,
    StartsWith,
    TextIs,
    TextStarts,
    Updated,
)
from fhir_server.search.sphere import latitudes
from fhir_server.storage.sqlite.checks import MILLISECOND, instants, within
from fhir_server.storage.sqlite.names import KINDS, Kind
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.sql import FALSE, TRUE, UNITED, Sql, among, bind, build, every, starts, union

DISTINCT_KEYS: Final = 50
"""A span searched with any key is looked up key by key, if its parameter has no more keys than this."""


@dataclass(frozen=True, slots=True)
class Driver:
    """``sql`` selects the ordinals of exactly the resources that match, perhaps several times each; ``rows`` selects
    what SQLite reads for it. ``ordered``: one index range in the order of ordinals."""

    sql: Sql
    rows: Sql
    ordered: bool = False


NONE: Final = Driver(Sql("SELECT 0 AS ordinal WHERE 0"), Sql("SELECT 0 AS ordinal WHERE 0"), ordered=True)


class Drivers:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._names = reading.names

    def drivers(self, node: Node, type: int) -> list[Driver]:
        """Return the ways to find what matches a node that reaches no other resource; none if no index serves it."""
        return self._drivers(node, type)

    @singledispatchmethod
    def _drivers(self, node: Node, type: int) -> list[Driver]:
        return []

    def _rows(self, kind: Kind, parameter: str, type: int, ranges: Sql, also: Sql = TRUE, *, index: str = "") -> Driver:
        field = self._names.field(type, parameter, kind)
        if field is None or FALSE in {ranges, also}:
            return NONE
        select = f"SELECT ordinal FROM {kind} INDEXED BY {index or f'{kind}_value'} WHERE field = {{}} AND {{}}"  # noqa: S608
        return Driver(build(select, bind(field), every([ranges, also])), build(select, bind(field), ranges))

    @_drivers.register
    def _(self, node: Equal, type: int) -> list[Driver]:
        if isinstance(node.values, References):
            return []
        values = tuple(dict.fromkeys(node.values))
        if not values:
            return [NONE]
        found = self._rows("equality", node.parameter, type, among("value", values))
        return [Driver(found.sql, found.rows, ordered=len(values) == 1)]

    @_drivers.register
    def _(self, node: StartsWith, type: int) -> list[Driver]:
        return self._ranges("equality", node.parameter, type, [starts("value", text) for text in node.prefixes])

    @_drivers.register
    def _(self, node: TextStarts, type: int) -> list[Driver]:
        return self._ranges("text", node.parameter, type, [starts("folded", text) for text in node.folded])

    def _ranges(self, kind: Kind, parameter: str, type: int, ranges: list[Sql]) -> list[Driver]:
        return unite([self._rows(kind, parameter, type, each) for each in ranges])

    @_drivers.register
    def _(self, node: TextIs, type: int) -> list[Driver]:
        parts = [
            self._rows("text", node.parameter, type, Sql("folded = ?", (folded,)), Sql("exact = ?", (exact,)))
            for folded, exact in node.values
        ]
        return unite(parts)

    @_drivers.register
    def _(self, node: Spans, type: int) -> list[Driver]:
        field = self._names.field(type, node.parameter, "span")
        if field is None or not node.any_of:
            return [NONE]
        if isinstance(node.keys, Keys):
            return []
        keys = self._keys(field) if node.keys is None else tuple(dict.fromkeys(node.keys))
        if keys == ():
            return [NONE]
        low, below = node.lows()
        exact = within(node.any_of, "low", "high")
        ranges = every(
            [
                TRUE if keys is None else among("key", keys),
                TRUE if low is None else Sql("low >= ?", (low,)),
                TRUE if below is None else Sql("low < ?", (below,)),
            ]
        )
        found = [self._rows("span", node.parameter, type, ranges, exact)]
        if keys == ("",) and low is None:
            found += self._by_high(node, type, exact)
        return found

    def _by_high(self, node: Spans, type: int, exact: Sql) -> list[Driver]:
        """By the end of the span, where its beginning is open."""
        above = [bounds.high_above for bounds in node.any_of]
        known = [value for value in above if value is not None]
        if len(known) < len(above):
            return []
        ranges = Sql("key = '' AND high > ?", (min(known),))
        return [self._rows("span", node.parameter, type, ranges, exact, index="span_high")]

    def _keys(self, field: int) -> tuple[str, ...] | None:
        """Return the keys that a field's spans have, or None if they are many."""
        keys: list[str] = []
        select = "SELECT key FROM span INDEXED BY span_value WHERE field = ? AND key {} ? ORDER BY key LIMIT 1"
        row = self._reading.connection.execute(select.format(">="), (field, "")).fetchone()
        while row is not None:
            keys.append(row[0])
            if len(keys) > DISTINCT_KEYS:
                return None
            row = self._reading.connection.execute(select.format(">"), (field, row[0])).fetchone()
        return tuple(keys)

    @_drivers.register
    def _(self, node: Near, type: int) -> list[Driver]:
        parts = []
        for latitude, longitude, distance in node.places:
            band = Sql("latitude >= ? AND latitude <= ?", latitudes(latitude, distance))
            exact = Sql("metres(latitude, longitude, ?, ?) <= ?", (latitude, longitude, distance))
            parts.append(self._rows("point", node.parameter, type, band, exact))
        return unite(parts)

    @_drivers.register
    def _(self, node: Present, type: int) -> list[Driver]:
        return unite([self._rows(kind, node.parameter, type, TRUE) for kind in KINDS])

    @_drivers.register
    def _(self, node: Ids, type: int) -> list[Driver]:
        ids = tuple(dict.fromkeys(node.ids))
        select = build(
            "SELECT ordinal FROM resource INDEXED BY resource_key WHERE type = {} AND {} AND deleted = 0",
            bind(type),
            among("id", ids),
        )
        return [Driver(select, select)] if ids else [NONE]

    @_drivers.register
    def _(self, node: Updated, type: int) -> list[Driver]:
        select = "SELECT ordinal FROM resource INDEXED BY resource_updated WHERE type = {} AND deleted = 0 AND {}"
        found = []
        for bounds in node.any_of:
            froms = [value for value in (bounds.low_from, _less(bounds.high_above)) if value is not None]
            belows = [value for value in (bounds.low_below, bounds.high_to) if value is not None]
            ranges = every(
                [
                    Sql("updated >= ?", (max(froms),)) if froms else TRUE,
                    Sql("updated < ?", (min(belows),)) if belows else TRUE,
                ]
            )
            exact = every([ranges, instants((bounds,), "updated")])
            found.append(Driver(build(select, bind(type), exact), build(select, bind(type), ranges)))
        return unite(found)


def _less(above: float | None) -> float | None:
    return None if above is None else above - MILLISECOND


def unite(parts: list[Driver]) -> list[Driver]:
    """Return the driver for what any of several finds; none if they are too many for one statement."""
    parts = [each for each in parts if each is not NONE]
    if not parts:
        return [NONE]
    if len(parts) == 1:
        return parts
    if len(parts) > UNITED:
        return []
    return [Driver(union([each.sql for each in parts]), union([each.rows for each in parts]))]
