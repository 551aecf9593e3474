"""Whether one resource, known by its own index entries, matches: for what is not in the store yet.

Spec: https://hl7.org/fhir/R4/http.html#trules (conditional references see what their own transaction writes)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest
from fhir_server.search.query import RECORD_SEPARATOR as RS
from fhir_server.search.query import (
    And,
    Bounds,
    EndsWith,
    Equal,
    Equality,
    Ids,
    IndexEntry,
    Keys,
    Near,
    Node,
    Not,
    Or,
    Point,
    Present,
    References,
    Span,
    Spans,
    StartsWith,
    Text,
    TextContains,
    TextIs,
    TextStarts,
    Updated,
)

EARTH_RADIUS: Final = 6_371_008.8
"""Metres: the mean radius."""


class Unmatchable(BadRequest):
    """The criteria need more than the resource's own entries: a chain, ``_has``, ``_lastUpdated``."""


def matches(node: Node, key: Key, entries: Sequence[IndexEntry]) -> bool:
    """Return whether a resource with this key and these entries matches. Raises ``Unmatchable``."""
    if isinstance(node, And):
        return all(matches(inner, key, entries) for inner in node.nodes)
    if isinstance(node, Or):
        return any(matches(inner, key, entries) for inner in node.nodes)
    if isinstance(node, Not):
        return not matches(node.node, key, entries)
    if isinstance(node, Ids):
        return key.id in node.ids
    if isinstance(node, Updated):
        raise _chained()
    test = _test(node)
    return any(test(entry) for entry in entries if entry.parameter == node.parameter)


def metres_between(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the great-circle distance of two places (latitude, longitude in degrees) by the haversine formula."""
    north, east = math.radians(other[0] - one[0]), math.radians(other[1] - one[1])
    cosines = math.cos(math.radians(one[0])) * math.cos(math.radians(other[0]))
    half = math.sin(north / 2) ** 2 + cosines * math.sin(east / 2) ** 2
    return 2 * EARTH_RADIUS * math.asin(min(1.0, math.sqrt(half)))


def satisfies(span: Span, any_of: Iterable[Bounds]) -> bool:
    """Return whether a span satisfies one of the bounds."""
    return any(
        (bounds.low_from is None or span.low >= bounds.low_from)
        and (bounds.low_below is None or span.low < bounds.low_below)
        and (bounds.high_above is None or span.high > bounds.high_above)
        and (bounds.high_to is None or span.high <= bounds.high_to)
        for bounds in any_of
    )


def _test(node: Node) -> Callable[[IndexEntry], bool]:  # noqa: PLR0911 one line for each kind of node
    match node:
        case Present():
            return lambda _: True
        case Equal(_, tuple() as values):
            return lambda entry: isinstance(entry, Equality) and entry.value in values
        case StartsWith(_, starts):
            return lambda entry: isinstance(entry, Equality) and entry.value.startswith(starts)
        case EndsWith(_, ends):
            return lambda entry: isinstance(entry, Equality) and entry.value.endswith(ends)
        case TextStarts(_, folded):
            return lambda entry: isinstance(entry, Text) and entry.folded.startswith(folded)
        case TextContains(_, folded):
            return lambda entry: isinstance(entry, Text) and any(part in entry.folded for part in folded)
        case TextIs(_, pairs):
            return lambda entry: isinstance(entry, Text) and (entry.folded, entry.exact) in pairs
        case Spans(_, any_of, keys, _):
            has_key = _key_test(keys)
            return lambda entry: isinstance(entry, Span) and has_key(entry.key) and satisfies(entry, any_of)
        case Near(_, places):
            return lambda entry: (
                isinstance(entry, Point)
                and any(
                    metres_between((entry.latitude, entry.longitude), (latitude, longitude)) <= metres
                    for latitude, longitude, metres in places
                )
            )
    raise _chained()


def _chained() -> Unmatchable:
    return Unmatchable("criteria that one transaction both writes and asks for cannot use chains, _has or _lastUpdated")


def _key_test(keys: tuple[str, ...] | Keys | None) -> Callable[[str], bool]:
    if keys is None:
        return lambda _: True
    if isinstance(keys, tuple):
        return lambda key: key in keys
    parts = keys.parts
    if any(isinstance(part, References) for part in parts):
        raise _chained()
    return lambda key: all(text in part for text, part in zip(key.split(RS), parts, strict=True))  # type: ignore[operator]
