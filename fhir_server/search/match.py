"""Whether one resource, known by its own index entries, matches: for what is not in the store yet.

Spec: https://hl7.org/fhir/R4/http.html#trules (criteria see what their own transaction writes)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Issue, IssueType
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
    ReferredBy,
    Span,
    Spans,
    StartsWith,
    Text,
    TextContains,
    TextIs,
    TextStarts,
    Updated,
)
from fhir_server.search.sphere import metres

Follow: TypeAlias = Callable[[str, References], bool]
"""Tells whether the text of a reference leads to one of the resources meant: the far end of a chain."""


class Unmatchable(BadRequest):
    """The criteria need what the resource's own entries do not tell: ``_has``, ``_lastUpdated``, or a chain."""


def matches(node: Node, key: Key, entries: Sequence[IndexEntry], follow: Follow | None = None) -> bool:
    """Return whether a resource with this key and these entries matches.

    Raises ``Unmatchable`` only if what can be told does not decide it. Without ``follow`` no chain can be told.
    """
    if isinstance(node, And | Or):
        return _combined(node, key, entries, follow)
    if isinstance(node, Not):
        return not matches(node.node, key, entries, follow)
    if isinstance(node, Ids):
        return key.id in node.ids
    if isinstance(node, Updated | ReferredBy):
        raise unmatchable("_has or _lastUpdated")
    test = _test(node, follow)
    return any(test(entry) for entry in entries if entry.parameter == node.parameter)


def unmatchable(what: str) -> Unmatchable:
    """Return the refusal of criteria by what they use."""
    told = f"criteria that may find what the same transaction writes cannot use {what}"
    return Unmatchable(Issue(IssueType.NOT_SUPPORTED, told, id="transaction-criteria"))


def chains(node: Node) -> Iterator[tuple[str, References]]:
    """Yield the chains of a node: the code of the reference, and what is at its other end."""
    if isinstance(node, And | Or):
        for inner in node.nodes:
            yield from chains(inner)
    elif isinstance(node, Not):
        yield from chains(node.node)
    elif isinstance(node, Equal) and isinstance(node.values, References):
        yield node.parameter, node.values
    elif isinstance(node, Spans) and isinstance(node.keys, Keys):
        for code, part in zip(node.parameter.split("+"), node.keys.parts, strict=False):
            if isinstance(part, References):
                yield code, part


def depth(node: Node) -> int:
    """Return how many links the longest chain of a node has."""
    return max((1 + depth(far.where) for _, far in chains(node)), default=0)


def _combined(node: And | Or, key: Key, entries: Sequence[IndexEntry], follow: Follow | None) -> bool:
    deciding = isinstance(node, Or)
    untold: Unmatchable | None = None
    for inner in node.nodes:
        try:
            if matches(inner, key, entries, follow) is deciding:
                return deciding
        except Unmatchable as error:
            untold = error
    if untold is not None:
        raise untold
    return not deciding


def satisfies(span: Span, any_of: Iterable[Bounds]) -> bool:
    """Return whether a span satisfies one of the bounds."""
    return any(
        (bounds.low_from is None or span.low >= bounds.low_from)
        and (bounds.low_below is None or span.low < bounds.low_below)
        and (bounds.high_above is None or span.high > bounds.high_above)
        and (bounds.high_to is None or span.high <= bounds.high_to)
        for bounds in any_of
    )


def _test(node: Node, follow: Follow | None) -> Callable[[IndexEntry], bool]:  # noqa: PLR0911 one line for each kind
    match node:
        case Present():
            return lambda _: True
        case Equal(_, tuple() as values):
            return lambda entry: isinstance(entry, Equality) and entry.value in values
        case Equal(_, References() as far) if follow is not None:
            return lambda entry: isinstance(entry, Equality) and follow(entry.value, far)
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
            has_key = _key_test(keys, follow)
            return lambda entry: isinstance(entry, Span) and has_key(entry.key) and satisfies(entry, any_of)
        case Near(_, places):
            return lambda entry: (
                isinstance(entry, Point)
                and any(
                    metres(entry.latitude, entry.longitude, latitude, longitude) <= distance
                    for latitude, longitude, distance in places
                )
            )
    raise unmatchable("chains")


def _key_test(keys: tuple[str, ...] | Keys | None, follow: Follow | None) -> Callable[[str], bool]:
    if keys is None:
        return lambda _: True
    if isinstance(keys, tuple):
        return lambda key: key in keys
    tests = [_part_test(part, follow) for part in keys.parts]
    return lambda key: all(test(text) for text, test in zip(key.split(RS), tests, strict=True))


def _part_test(part: tuple[str, ...] | References, follow: Follow | None) -> Callable[[str], bool]:
    if isinstance(part, tuple):
        return lambda text: text in part
    if follow is None:
        raise unmatchable("chains")
    return lambda text: follow(text, part)
