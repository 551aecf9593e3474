"""What is searched and what is found by: index entries, and the engine-neutral query over them.

Written by ``search.index`` and ``search.plan``, read by the engines. No engine sees FHIRPath or a query string, and
nothing here depends on one. Spec: https://hl7.org/fhir/R4/search.html

**Index entries** belong to one resource and carry the code of a search parameter, or a *derived* code made of it:
``identifier:of-type``, ``schedule:identifier`` (a logical reference), or the name of a compound such as
``schedule+status+start``.

How values are written into entries:

=============  ================  ====================================================================================
parameter      entry             value
=============  ================  ====================================================================================
token          Equality          ``code␟system`` (␟ is U+001F): prefix ``code␟`` finds the code in any system
reference      Equality          ``Type/id`` for ours (``Type/id/_history/vid`` too where versioned), else the URL
uri            Equality          the URI
string         Text              folded (case, accents, spaces), and as written
date           Span              microseconds since the epoch, half-open; open ends are ``LOWEST`` and ``HIGHEST``
number         Span              the number itself, ``[number, next float)``; float
quantity       Span              the same, with ``code␟system`` as key (and the unit's text, where it differs)
special: near  Point             degrees
compound       Span              key is the values of its equality parts joined by ␞ (U+001E)
=============  ================  ====================================================================================

A parameter whose element is there but cannot be searched (a CodeableConcept with a text only) has one
``Equality(code, "")``, so that ``:missing`` is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

UNIT_SEPARATOR: Final = "\x1f"
RECORD_SEPARATOR: Final = "\x1e"

LOWEST: Final = -(2**62)
HIGHEST: Final = 2**62
"""Ends of an open period, in the unit of dates."""


class Equality(NamedTuple):
    parameter: str
    value: str


class Text(NamedTuple):
    parameter: str
    folded: str
    exact: str


class Span(NamedTuple):
    parameter: str
    key: str
    low: int | float
    high: int | float


class Point(NamedTuple):
    parameter: str
    latitude: float
    longitude: float


IndexEntry: TypeAlias = Equality | Text | Span | Point


# --- nodes of a query: each is true or false of one resource ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class References:
    """The texts ``Type/id`` of the resources of ``type`` that match ``where``: the far end of a chain."""

    type: str
    where: Node


@dataclass(frozen=True, slots=True)
class Equal:
    """An Equality entry has one of the values."""

    parameter: str
    values: tuple[str, ...] | References


@dataclass(frozen=True, slots=True)
class StartsWith:
    """An Equality entry's value starts with one of the texts (a code in any system, ``:below``)."""

    parameter: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndsWith:
    """An Equality entry's value ends with one of the texts (``system|`` without code). Never indexed."""

    parameter: str
    suffixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextStarts:
    """A Text entry, folded, starts with one of the folded texts: the plain string search."""

    parameter: str
    folded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextIs:
    """A Text entry is one of the texts, as written: ``:exact``. Each value is (folded, exact)."""

    parameter: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TextContains:
    """A Text entry, folded, contains one of the folded texts: ``:contains``. Never indexed."""

    parameter: str
    folded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds of one span: each bound given must. ``low >= low_from``, ``low < low_below``, ``high > high_above``,
    ``high <= high_to``."""

    low_from: int | float | None = None
    low_below: int | float | None = None
    high_above: int | float | None = None
    high_to: int | float | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of a compound: one choice of each part, joined by U+001E."""

    parts: tuple[tuple[str, ...] | References, ...]


@dataclass(frozen=True, slots=True)
class Spans:
    """A Span entry with one of the keys (None: any key) satisfies one of the bounds.

    ``width`` is the most that ``high - low`` can be for this parameter, where it is known: an instant is a point, 1.
    It lets an engine bound ``low`` on both sides.
    """

    parameter: str
    any_of: tuple[Bounds, ...]
    keys: tuple[str, ...] | Keys | None = None
    width: int | None = None
    codes: tuple[str, ...] = field(default=(), compare=False)
    """Of a compound: its parts, and last its span."""

    def apart(self) -> tuple[Node, ...]:
        """Return what a compound with ``Keys`` stands for: nodes that must all hold. None where that is not known."""
        if not self.codes or not isinstance(self.keys, Keys):
            return ()
        *parts, span = self.codes
        equals = (Equal(code, values) for code, values in zip(parts, self.keys.parts, strict=True))
        return (Spans(span, self.any_of, None, self.width), *equals)

    def lows(self) -> tuple[int | float | None, int | float | None]:
        """Return ``(from, below)``: every span that matches has ``from <= low < below``; None is unbounded."""
        froms: list[int | float | None] = []
        belows: list[int | float | None] = []
        for bounds in self.any_of:
            low = bounds.low_from
            if bounds.high_above is not None and self.width is not None:
                reach = bounds.high_above - self.width
                low = reach if low is None else max(low, reach)
            below = bounds.low_below
            if bounds.high_to is not None:  # a span is never empty, so low < high <= high_to
                below = bounds.high_to if below is None else min(below, bounds.high_to)
            froms.append(low)
            belows.append(below)
        lowest = None if None in froms else min(f for f in froms if f is not None)
        highest = None if None in belows else max(b for b in belows if b is not None)
        return lowest, highest


@dataclass(frozen=True, slots=True)
class Near:
    """A Point entry lies within ``metres`` (great circle) of one of the places (latitude, longitude)."""

    parameter: str
    places: tuple[tuple[float, float, float], ...]
    """(latitude, longitude, metres)"""


@dataclass(frozen=True, slots=True)
class Present:
    """The resource has an entry of the parameter, of whatever kind: ``:missing=false``."""

    parameter: str


@dataclass(frozen=True, slots=True)
class Ids:
    """The logical id is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Updated:
    """``meta.lastUpdated`` satisfies one of the bounds; its span is [instant, instant + 1 ms)."""

    any_of: tuple[Bounds, ...]


@dataclass(frozen=True, slots=True)
class ReferredBy:
    """Another resource, of ``type``, that matches ``where``, refers to this one by ``parameter``: ``_has``.

    ``compound``: the name of one made of ``parameter`` and of a span, or else of values, that ``where`` asks for.
    """

    type: str
    parameter: str
    where: Node
    compound: str = field(default="", compare=False)

    def window(self) -> Spans | None:
        """Return the span of ``where`` that the compound's entries have."""
        conjuncts = self.where.nodes if isinstance(self.where, And) else (self.where,)
        for node in conjuncts:
            if isinstance(node, Spans) and node.keys is None and f"{self.parameter}+{node.parameter}" == self.compound:
                return node
        return None

    def values(self) -> Equal | None:
        """Return what ``where`` asks for of the second part of the compound; what has no span is not in its entries."""
        conjuncts = self.where.nodes if isinstance(self.where, And) else (self.where,)
        for node in conjuncts:
            if isinstance(node, Equal) and self.compound.startswith(f"{self.parameter}+{node.parameter}+"):
                return node
        return None


@dataclass(frozen=True, slots=True)
class And:
    nodes: tuple[Node, ...]
    """None of them: everything."""


@dataclass(frozen=True, slots=True)
class Or:
    nodes: tuple[Node, ...]
    """None of them: nothing."""


@dataclass(frozen=True, slots=True)
class Not:
    node: Node


Node: TypeAlias = (
    Equal
    | StartsWith
    | EndsWith
    | TextStarts
    | TextIs
    | TextContains
    | Spans
    | Near
    | Present
    | Ids
    | Updated
    | ReferredBy
    | And
    | Or
    | Not
)

EVERYTHING: Final = And(())
NOTHING: Final = Or(())


class SortBy(NamedTuple):
    """One sort key. Ascending takes the least value of a resource, descending the greatest; missing comes last.

    ``kind``: ``id``, ``updated``, ``equality``, ``text`` (folded), ``span`` (ascending by low, descending by high),
    ``near`` (distance from ``place``).
    """

    parameter: str
    kind: str
    descending: bool = False
    place: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Which resources, in which order. Ties, and a query without ``sort``, are in the order of first creation."""

    types: tuple[str, ...]
    where: Node = EVERYTHING
    sort: tuple[SortBy, ...] = ()


Cursor: TypeAlias = tuple[str | int | float | None, ...]
"""The sort values of a match and, last, its ordinal. None is a missing value."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a result: ``count`` matches after a cursor, or the ``count`` just before it.

    ``bytes``: what their bodies may have together. The engine stops reading there, so the page ends early, with one
    match at least, and has ``more``.
    """

    count: int
    after: Cursor | None = None
    before: Cursor | None = None
    bytes: int | None = None
