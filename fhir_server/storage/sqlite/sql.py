"""Pieces of SQL with the values they bind: no value ever becomes part of a statement's text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from fhir_server.storage.prefixes import successor

Value: TypeAlias = str | int | float | None

LISTED: Final = 40
"""Longer lists are bound as one JSON array, so that statements stay few and short."""

CHAINED: Final = 50
UNITED: Final = 400
"""SQLite takes at most 500 selects in one union."""


class Sql(NamedTuple):
    """A piece of a statement: its text is ours alone, its values are bound."""

    text: str
    values: tuple[Value, ...] = ()


TRUE: Final = Sql("1")
FALSE: Final = Sql("0")


def build(template: str, *parts: Sql) -> Sql:
    """Put pieces into the ``{}`` of a template."""
    values: list[Value] = []
    for piece in parts:
        values.extend(piece.values)
    return Sql(template.format(*[piece.text for piece in parts]), tuple(values))


def bind(value: Value) -> Sql:
    return Sql("?", (value,))


def join(separator: str, parts: Iterable[Sql], empty: Sql) -> Sql:
    """Join pieces, each in parentheses; ``empty`` if there are none.

    Many are joined as a tree of chains: SQLite counts the depth of an expression, and a chain is as deep as it is long.
    """
    pieces = list(parts)
    if not pieces:
        return empty
    if len(pieces) == 1:
        return pieces[0]
    if len(pieces) > CHAINED:
        chains = [pieces[start : start + CHAINED] for start in range(0, len(pieces), CHAINED)]
        return join(separator, (join(separator, chain, empty) for chain in chains), empty)
    values: list[Value] = []
    for piece in pieces:
        values.extend(piece.values)
    return Sql(f"({separator.join(f'({piece.text})' for piece in pieces)})", tuple(values))


def every(parts: Iterable[Sql]) -> Sql:
    """All hold. A constant never stays inside: SQLite would simplify the whole and no longer know a partial index."""
    pieces = [piece for piece in parts if piece != TRUE]
    return FALSE if FALSE in pieces else join(" AND ", pieces, TRUE)


def some(parts: Iterable[Sql]) -> Sql:
    pieces = [piece for piece in parts if piece != FALSE]
    return TRUE if TRUE in pieces else join(" OR ", pieces, FALSE)


def going_on(conditions: Sequence[Sql]) -> Sql:
    """Go on with further conditions; a constant must not be among them (see ``every``)."""
    further = every(conditions)
    return Sql("") if further == TRUE else build(" AND {}", further)


def neither(piece: Sql) -> Sql:
    """The contrary."""
    return TRUE if piece == FALSE else FALSE if piece == TRUE else build("NOT ({})", piece)


def among(column: str, values: Sequence[Value]) -> Sql:
    """``column`` is one of the values."""
    if not values:
        return FALSE
    if len(values) == 1:
        return Sql(f"{column} = ?", (values[0],))
    if len(values) <= LISTED:
        return Sql(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))
    return Sql(f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(values),))  # noqa: S608


def union(selects: Sequence[Sql]) -> Sql:
    """All rows of several selects; duplicates may remain."""
    values: list[Value] = []
    for select in selects:
        values.extend(select.values)
    return Sql(" UNION ALL ".join(select.text for select in selects), tuple(values))


def starts(column: str, prefix: str) -> Sql:
    """``column`` starts with the prefix, as a range that an index serves."""
    end = successor(prefix)
    if end is None:
        return Sql(f"{column} >= ?", (prefix,))
    return Sql(f"{column} >= ? AND {column} < ?", (prefix, end))
