"""A node of a query as a *check*: a condition on one resource, by its ordinal, that costs a few look-ups.

A check reads the clustered entry tables, where a resource's entries lie together; the unary plus keeps SQLite from
choosing the index by value instead. Nodes that reach other resources are checked forward, from the candidate on.
"""

# ruff: noqa: S608 - a statement is made of our own words; every value is bound

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatchmethod

from fhir_server.search.query import (
    RECORD_SEPARATOR,
    And,
    Bounds,
    EndsWith,
    Equal,
    Ids,
    Keys,
    Near,
    Node,
    Not,
    Or,
    Present,
    References,
    ReferredBy,
    Spans,
    StartsWith,
    TextContains,
    TextIs,
    TextStarts,
    Updated,
)
from fhir_server.storage.reach import conjunction
from fhir_server.storage.sqlite.names import KINDS, Kind, Names
from fhir_server.storage.sqlite.sql import FALSE, TRUE, Sql, among, bind, build, every, going_on, neither, some, starts

MILLISECOND = 1000

FEW_KEYS = 10
"""Values of a compound that are looked up by key."""


class Checks:
    """Writes checks; one for each statement, since aliases must differ inside it."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._aliases = 0

    def check(self, node: Node, type: str, ordinal: str) -> Sql:
        """Return the condition that the resource of ``type`` whose ordinal is the expression matches."""
        number = self._names.type(type)
        return FALSE if number is None else self._check(node, number, ordinal)

    def _alias(self, letter: str) -> str:
        self._aliases += 1
        return f"{letter}{self._aliases}"

    def _entry(self, kind: Kind, parameter: str, type: int, ordinal: str, condition: Sql) -> Sql:
        """There is an entry for which the condition holds; ``x.`` in it is the entry."""
        field = self._names.field(type, parameter, kind)
        if field is None or condition == FALSE:
            return FALSE
        alias = self._alias(kind[0])
        inner = Sql(condition.text.replace("x.", f"{alias}."), condition.values)
        where = f"{alias}.ordinal = {ordinal} AND {alias}.field = {{}} AND ({{}})"
        return build(f"EXISTS (SELECT 1 FROM {kind} {alias} WHERE {where})", bind(field), inner)

    @singledispatchmethod
    def _check(self, node: Node, type: int, ordinal: str) -> Sql:
        raise TypeError(f"not a node of a query: {node!r}")

    # --- equality ----------------------------------------------------------------------------------------------------

    @_check.register
    def _(self, node: Equal, type: int, ordinal: str) -> Sql:
        values = node.values
        if isinstance(values, References):
            alias = self._alias("v")
            field = self._names.field(type, node.parameter, "equality")
            if field is None:
                return FALSE
            where = f"{alias}.ordinal = {ordinal} AND {alias}.field = {{}} AND {{}}"
            there = self._referred(values, f"{alias}.value")
            return (
                FALSE
                if there == FALSE
                else build(f"EXISTS (SELECT 1 FROM equality {alias} WHERE {where})", bind(field), there)
            )
        return self._entry("equality", node.parameter, type, ordinal, among("+x.value", values))

    def _referred(self, references: References, text: str) -> Sql:
        """The text names a resource that the references are to."""
        number = self._names.type(references.type)
        if number is None:
            return FALSE
        prefix = f"{references.type}/"
        alias = self._alias("r")
        there = self._check(references.where, number, f"{alias}.ordinal")
        if there == FALSE:
            return FALSE
        return build(
            f"substr({text}, 1, {len(prefix):d}) = {{}} AND EXISTS (SELECT 1 FROM resource {alias} "
            f"WHERE {alias}.type = {{}} AND {alias}.id = substr({text}, {len(prefix) + 1:d}) "
            f"AND +{alias}.deleted = 0 AND {{}})",
            bind(prefix),
            bind(number),
            there,
        )

    @_check.register
    def _(self, node: StartsWith, type: int, ordinal: str) -> Sql:
        condition = some(starts("+x.value", prefix) for prefix in node.prefixes)
        return self._entry("equality", node.parameter, type, ordinal, condition)

    @_check.register
    def _(self, node: EndsWith, type: int, ordinal: str) -> Sql:
        condition = some(
            Sql(f"substr(x.value, -{len(suffix):d}) = ?", (suffix,)) if suffix else TRUE for suffix in node.suffixes
        )
        return self._entry("equality", node.parameter, type, ordinal, condition)

    # --- texts -------------------------------------------------------------------------------------------------------

    @_check.register
    def _(self, node: TextStarts, type: int, ordinal: str) -> Sql:
        condition = some(starts("+x.folded", prefix) for prefix in node.folded)
        return self._entry("text", node.parameter, type, ordinal, condition)

    @_check.register
    def _(self, node: TextIs, type: int, ordinal: str) -> Sql:
        condition = some(Sql("+x.folded = ? AND +x.exact = ?", value) for value in node.values)
        return self._entry("text", node.parameter, type, ordinal, condition)

    @_check.register
    def _(self, node: TextContains, type: int, ordinal: str) -> Sql:
        condition = some(Sql("instr(x.folded, ?) > 0", (text,)) for text in node.folded)
        return self._entry("text", node.parameter, type, ordinal, condition)

    # --- spans and points --------------------------------------------------------------------------------------------

    @_check.register
    def _(self, node: Spans, type: int, ordinal: str) -> Sql:
        condition = every([self._keys(node.keys, "x.key"), within(node.any_of, "+x.low", "+x.high")])
        return self._entry("span", node.parameter, type, ordinal, condition)

    def _keys(self, keys: tuple[str, ...] | Keys | None, column: str) -> Sql:
        if keys is None:
            return TRUE
        if not isinstance(keys, Keys):
            return among(f"+{column}", keys)
        parts = [Sql(f"part({column}, {len(keys.parts):d}) IS NULL")]
        for index, choice in enumerate(keys.parts):
            text = f"part({column}, {index:d})"
            parts.append(self._referred(choice, text) if isinstance(choice, References) else among(text, choice))
        return every(parts)

    @_check.register
    def _(self, node: Near, type: int, ordinal: str) -> Sql:
        condition = some(Sql("metres(x.latitude, x.longitude, ?, ?) <= ?", place) for place in node.places)
        return self._entry("point", node.parameter, type, ordinal, condition)

    # --- the resource itself -----------------------------------------------------------------------------------------

    @_check.register
    def _(self, node: Present, type: int, ordinal: str) -> Sql:
        return some(self._entry(kind, node.parameter, type, ordinal, TRUE) for kind in KINDS)

    @_check.register
    def _(self, node: Ids, type: int, ordinal: str) -> Sql:
        alias = self._alias("r")
        inner = among(f"+{alias}.id", node.ids)
        return (
            FALSE
            if inner == FALSE
            else build(f"EXISTS (SELECT 1 FROM resource {alias} WHERE {alias}.ordinal = {ordinal} AND {{}})", inner)
        )

    @_check.register
    def _(self, node: Updated, type: int, ordinal: str) -> Sql:
        alias = self._alias("r")
        inner = instants(node.any_of, f"+{alias}.updated")
        return (
            inner
            if inner in {TRUE, FALSE}
            else build(f"EXISTS (SELECT 1 FROM resource {alias} WHERE {alias}.ordinal = {ordinal} AND {{}})", inner)
        )

    @_check.register
    def _(self, node: ReferredBy, type: int, ordinal: str) -> Sql:
        other = self._names.type(node.type)
        field = None if other is None else self._names.field(other, node.parameter, "equality")
        if other is None or field is None:
            return FALSE
        mine = build(
            f"(SELECT {{}} || id FROM resource WHERE ordinal = {ordinal})", bind(f"{self._names.type_name(type)}/")
        )
        window = node.window()
        if window is not None:
            return self._spanned(node, window, other, mine)
        alias = self._alias("v")
        there = self._check(node.where, other, f"{alias}.ordinal")
        if there == FALSE:
            return FALSE
        each = build(
            f"EXISTS (SELECT 1 FROM equality {alias} INDEXED BY equality_value "
            f"WHERE {alias}.field = {{}} AND {alias}.value = {{}} AND {{}})",
            bind(field),
            mine,
            there,
        )
        return some([self._valued(node, other, mine), each])

    def _valued(self, node: ReferredBy, type: int, mine: Sql) -> Sql:
        """What refers to mine and has one of the values, as far as the compound has it: found by the key, however much
        refers to mine. It goes before the look at each, which is left to what is not in the compound."""
        equal = node.values()
        field = None if equal is None else self._names.field(type, node.compound, "span")
        if equal is None or field is None or not isinstance(equal.values, tuple) or len(equal.values) > FEW_KEYS:
            return FALSE
        alias = self._alias("s")
        keys = [build("{} || {}", mine, bind(f"{RECORD_SEPARATOR}{value}")) for value in equal.values]
        rest = And(tuple(each for each in conjunction(node.where) if each is not equal))
        source = f"span {alias} INDEXED BY span_value WHERE {alias}.field = {{}} AND {alias}.key IN ({{}})"
        there = self._check(rest, type, f"{alias}.ordinal")
        listed = build(", ".join(["{}"] * len(keys)), *keys)
        return build(f"EXISTS (SELECT 1 FROM {source}{{}})", bind(field), listed, going_on([there]))

    def _spanned(self, node: ReferredBy, span: Spans, type: int, mine: Sql) -> Sql:
        """What refers to mine and has the span is one range of the compound's index, however much refers to mine."""
        field = self._names.field(type, node.compound, "span")
        alias = self._alias("s")
        rest = And(tuple(each for each in conjunction(node.where) if each is not span))
        low, below = span.lows()
        there = every(
            [
                TRUE if low is None else Sql(f"{alias}.low >= ?", (low,)),
                TRUE if below is None else Sql(f"{alias}.low < ?", (below,)),
                within(span.any_of, f"+{alias}.low", f"{alias}.high"),
                self._check(rest, type, f"{alias}.ordinal"),
            ]
        )
        if field is None or there == FALSE:
            return FALSE
        source = f"span {alias} INDEXED BY span_value WHERE {alias}.field = {{}} AND {alias}.key = {{}}"
        return build(f"EXISTS (SELECT 1 FROM {source}{{}})", bind(field), mine, going_on([there]))

    # --- logic -------------------------------------------------------------------------------------------------------

    @_check.register
    def _(self, node: And, type: int, ordinal: str) -> Sql:
        return every(self._check(each, type, ordinal) for each in node.nodes)

    @_check.register
    def _(self, node: Or, type: int, ordinal: str) -> Sql:
        return some(self._check(each, type, ordinal) for each in node.nodes)

    @_check.register
    def _(self, node: Not, type: int, ordinal: str) -> Sql:
        return neither(self._check(node.node, type, ordinal))


def within(any_of: Sequence[Bounds], low: str, high: str) -> Sql:
    """One of the bounds holds of a span."""
    return some(
        every(
            Sql(f"{column} {comparison} ?", (value,))
            for column, comparison, value in (
                (low, ">=", bounds.low_from),
                (low, "<", bounds.low_below),
                (high, ">", bounds.high_above),
                (high, "<=", bounds.high_to),
            )
            if value is not None
        )
        for bounds in any_of
    )


def instants(any_of: Sequence[Bounds], updated: str) -> Sql:
    """One of the bounds holds of the millisecond that begins at an instant."""
    return within(any_of, updated, f"({updated} + {MILLISECOND:d})")
