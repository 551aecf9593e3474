"""The oracle of the query compilers: what each node means, decided slowly and obviously, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from fhir_server.model.reference import Key
from fhir_server.search.query import (
    RECORD_SEPARATOR,
    And,
    Bounds,
    Cursor,
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
    Query,
    References,
    ReferredBy,
    SortBy,
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


@dataclass(frozen=True)
class Resource:
    key: Key
    ordinal: int
    updated: int
    entries: tuple[IndexEntry, ...]


World = Mapping[Key, Resource]


def matches(world: World, resource: Resource, node: Node) -> bool:  # noqa: PLR0911, PLR0912
    """Decide whether a resource matches."""
    equalities = [e for e in resource.entries if isinstance(e, Equality)]
    texts = [e for e in resource.entries if isinstance(e, Text)]
    spans = [e for e in resource.entries if isinstance(e, Span)]
    points = [e for e in resource.entries if isinstance(e, Point)]
    match node:
        case Equal(parameter, values):
            wanted = referenced(world, values) if isinstance(values, References) else set(values)
            return any(e.parameter == parameter and e.value in wanted for e in equalities)
        case StartsWith(parameter, prefixes):
            return any(e.parameter == parameter and e.value.startswith(prefixes) for e in equalities)
        case EndsWith(parameter, suffixes):
            return any(e.parameter == parameter and e.value.endswith(suffixes) for e in equalities)
        case TextStarts(parameter, folded):
            return any(e.parameter == parameter and e.folded.startswith(folded) for e in texts)
        case TextIs(parameter, pairs):
            return any(e.parameter == parameter and (e.folded, e.exact) in pairs for e in texts)
        case TextContains(parameter, folded):
            return any(e.parameter == parameter and any(part in e.folded for part in folded) for e in texts)
        case Spans(parameter, any_of, keys):
            return any(
                e.parameter == parameter and has_key(world, e.key, keys) and within(e.low, e.high, any_of)
                for e in spans
            )
        case Near(parameter, places):
            return any(
                e.parameter == parameter and metres(e.latitude, e.longitude, latitude, longitude) <= distance
                for e in points
                for latitude, longitude, distance in places
            )
        case Present(parameter):
            return any(e.parameter == parameter for e in resource.entries)
        case Ids(ids):
            return resource.key.id in ids
        case Updated(any_of):
            return within(resource.updated, resource.updated + 1000, any_of)
        case ReferredBy(type_, parameter, where):
            return any(
                other.key.type == type_
                and Equality(parameter, str(resource.key)) in other.entries
                and matches(world, other, where)
                for other in world.values()
            )
        case And(nodes):
            return all(matches(world, resource, each) for each in nodes)
        case Or(nodes):
            return any(matches(world, resource, each) for each in nodes)
        case Not(inner):
            return not matches(world, resource, inner)


def referenced(world: World, references: References) -> set[str]:
    return {
        str(resource.key)
        for resource in world.values()
        if resource.key.type == references.type and matches(world, resource, references.where)
    }


def has_key(world: World, key: str, keys: tuple[str, ...] | Keys | None) -> bool:
    if keys is None:
        return True
    if not isinstance(keys, Keys):
        return key in keys
    parts = key.split(RECORD_SEPARATOR)
    if len(parts) != len(keys.parts):
        return False
    return all(
        part in (referenced(world, choice) if isinstance(choice, References) else choice)
        for part, choice in zip(parts, keys.parts, strict=True)
    )


def within(low: float, high: float, any_of: Sequence[Bounds]) -> bool:
    return any(
        (bounds.low_from is None or low >= bounds.low_from)
        and (bounds.low_below is None or low < bounds.low_below)
        and (bounds.high_above is None or high > bounds.high_above)
        and (bounds.high_to is None or high <= bounds.high_to)
        for bounds in any_of
    )


def sort_value(resource: Resource, by: SortBy) -> str | float | None:
    choose = max if by.descending else min
    values: list[str] | list[float]
    match by.kind:
        case "id":
            return resource.key.id
        case "updated":
            return resource.updated
        case "equality":
            values = [e.value for e in resource.entries if isinstance(e, Equality) and e.parameter == by.parameter]
        case "text":
            values = [e.folded for e in resource.entries if isinstance(e, Text) and e.parameter == by.parameter]
        case "span":
            spans = [e for e in resource.entries if isinstance(e, Span) and e.parameter == by.parameter]
            values = [e.high if by.descending else e.low for e in spans]
        case _:
            assert by.place is not None
            points = [e for e in resource.entries if isinstance(e, Point) and e.parameter == by.parameter]
            values = [metres(e.latitude, e.longitude, *by.place) for e in points]
    return choose(values) if values else None


def search(world: World, query: Query) -> list[tuple[Key, Cursor]]:
    """Return every match, in order."""

    def compare(one: Cursor, other: Cursor) -> int:
        for by, mine, theirs in zip(query.sort, one, other, strict=False):
            if mine == theirs:
                continue
            if mine is None or theirs is None:
                return 1 if mine is None else -1
            less = mine < theirs  # type: ignore[operator]
            return -1 if less is not by.descending else 1
        return int(one[-1]) - int(other[-1])  # type: ignore[arg-type]

    found: list[tuple[Key, Cursor]] = [
        (resource.key, (*[sort_value(resource, by) for by in query.sort], resource.ordinal))
        for resource in world.values()
        if resource.key.type in query.types and matches(world, resource, query.where)
    ]
    rank = cmp_to_key(compare)
    return sorted(found, key=lambda match: rank(match[1]))
