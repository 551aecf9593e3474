"""The prefixes: from a comparison to bounds on the span of a stored value.

A value searched and a value stored are both ranges, half-open. R4's words, for the range searched [low, high):

==  ========================================================================  ============
eq  the range searched fully contains the stored one                          contained
ne  it does not
gt  the range above the one searched overlaps the stored one                  reaches above
lt  the range below the one searched overlaps the stored one                  reaches below
ge  reaches above, or is contained
le  reaches below, or is contained
sa  starts after: no overlap, and the range above contains the stored one
eb  ends before: no overlap, and the range below contains the stored one
ap  they overlap (the range searched was widened before)
==  ========================================================================  ============

Spec: https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.search.query import Bounds

Number = int | float

MOST: int = 64
"""Alternatives of merged bounds; beyond, they stay apart."""


def compare(prefix: str, low: Number, high: Number, is_point: bool) -> tuple[Bounds, ...]:
    """Return the bounds, one of which a stored span must satisfy. ``is_point``: stored values are points (the least
    span there is), and low and high fall on points: contained and overlapping are then the same, and one bound tells.
    """
    if is_point:
        return _compare_point(prefix, low, high)
    contained = Bounds(low_from=low, high_to=high)
    above, below = Bounds(high_above=high), Bounds(low_below=low)
    return {
        "eq": (contained,),
        "ne": (below, above),
        "gt": (above,),
        "lt": (below,),
        "ge": (contained, above),
        "le": (contained, below),
        "sa": (Bounds(low_from=high),),
        "eb": (Bounds(high_to=low),),
        "ap": (Bounds(low_below=high, high_above=low),),
    }[prefix]


def _compare_point(prefix: str, low: Number, high: Number) -> tuple[Bounds, ...]:
    inside = Bounds(low_from=low, low_below=high)
    above, below = Bounds(low_from=high), Bounds(low_below=low)
    return {
        "eq": (inside,),
        "ap": (inside,),
        "ne": (below, above),
        "gt": (above,),
        "sa": (above,),
        "lt": (below,),
        "eb": (below,),
        "ge": (Bounds(low_from=low),),
        "le": (Bounds(low_below=high),),
    }[prefix]


def intersect(groups: Iterable[tuple[Bounds, ...]]) -> tuple[Bounds, ...] | None:
    """Return the bounds of a span that satisfies one of each group: empty if none can, None if there are too many."""
    merged: tuple[Bounds, ...] = (Bounds(),)
    for group in groups:
        if len(merged) * len(group) > MOST:
            return None
        both = (_both(one, other) for one in merged for other in group)
        merged = tuple(dict.fromkeys(bounds for bounds in both if _is_possible(bounds)))
    return merged


def _both(one: Bounds, other: Bounds) -> Bounds:
    return Bounds(
        low_from=_largest(one.low_from, other.low_from),
        low_below=_least(one.low_below, other.low_below),
        high_above=_largest(one.high_above, other.high_above),
        high_to=_least(one.high_to, other.high_to),
    )


def _is_possible(bounds: Bounds) -> bool:
    """Return whether any span can satisfy them; a span is never empty."""
    low, below, above, high = bounds.low_from, bounds.low_below, bounds.high_above, bounds.high_to
    return (
        (low is None or below is None or low < below)
        and (above is None or high is None or above < high)
        and (low is None or high is None or low < high)
    )


def _largest(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else max(one, other)


def _least(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else min(one, other)
