"""A store of index entries in memory: answers a query node by node, as its docstrings say. For tests of planning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key
from typing import Any

from fhir_server.model.reference import Key
from fhir_server.search.match import matches
from fhir_server.search.query import (
    And,
    Equal,
    Equality,
    IndexEntry,
    Keys,
    Node,
    Not,
    Or,
    Page,
    Point,
    Query,
    References,
    ReferredBy,
    SortBy,
    Span,
    Spans,
    Text,
    Updated,
)
from fhir_server.search.sphere import metres


@dataclass(frozen=True)
class Record:
    """One resource as the engine has it."""

    key: Key
    entries: tuple[IndexEntry, ...]
    is_deleted: bool = False
    updated: int = 0


@dataclass(frozen=True)
class Found:
    stored: Record


@dataclass(frozen=True)
class FoundPage:
    matches: Sequence[Found]
    more: bool


class MemoryEngine:
    """Records in order of creation; counts what it is asked."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = {record.key: record for record in records}
        self.asked: list[str] = []

    # --- what includes need

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, Record]:
        self.asked.append("read")
        return {key: self.records[key] for key in keys if key in self.records}

    async def targets(self, keys: Sequence[Key], parameter: str) -> tuple[str, ...]:
        self.asked.append(f"targets {parameter}")
        found = {
            entry.value
            for key in keys
            for entry in self.records[key].entries
            if isinstance(entry, Equality) and entry.parameter == parameter
        }
        return tuple(sorted(found))

    async def search(self, query: Query, page: Page) -> FoundPage:
        self.asked.append(f"search {','.join(query.types)}")
        keys = self.find(query)
        found = [Found(self.records[key]) for key in keys[: page.count]]
        return FoundPage(found, len(keys) > page.count)

    # --- searching

    def find(self, query: Query) -> list[Key]:
        """Return the keys of the matches, sorted."""
        live = [record for record in self.records.values() if not record.is_deleted]
        found = [r for r in live if r.key.type in query.types and self.holds(query.where, r)]
        for sort in reversed(query.sort):
            found = _sorted(found, sort)
        return [record.key for record in found]

    def holds(self, node: Node, record: Record) -> bool:  # noqa: PLR0911 a line for each kind of node
        """Return whether a node is true of a record."""
        match node:
            case And(nodes):
                return all(self.holds(inner, record) for inner in nodes)
            case Or(nodes):
                return any(self.holds(inner, record) for inner in nodes)
            case Not(inner):
                return not self.holds(inner, record)
            case ReferredBy(type_, parameter, where):
                wanted = Equality(parameter, str(record.key))
                return any(
                    wanted in other.entries and self.holds(where, other)
                    for other in self.records.values()
                    if other.key.type == type_ and not other.is_deleted
                )
            case Updated(any_of):
                span = Span("", "", record.updated, record.updated + 1000)
                return matches(Spans("", any_of), record.key, (span,))
            case Equal(_, References() as references):
                return matches(replace(node, values=self._texts(references)), record.key, record.entries)
            case Spans(_, _, Keys(parts)):
                plain = tuple(self._texts(part) if isinstance(part, References) else part for part in parts)
                return matches(replace(node, keys=Keys(plain)), record.key, record.entries)
        return matches(node, record.key, record.entries)

    def _texts(self, references: References) -> tuple[str, ...]:
        return tuple(
            str(record.key)
            for record in self.records.values()
            if record.key.type == references.type and not record.is_deleted and self.holds(references.where, record)
        )


def _sorted(records: list[Record], sort: SortBy) -> list[Record]:
    def value(record: Record) -> Any:
        values = list(_values(record, sort))
        return None if not values else max(values) if sort.descending else min(values)

    def compare(one: tuple[Any, Record], other: tuple[Any, Record]) -> int:
        if one[0] is None or other[0] is None:
            return (one[0] is None) - (other[0] is None)
        order = int(one[0] > other[0]) - int(one[0] < other[0])
        return -order if sort.descending else order

    return [record for _, record in sorted(((value(r), r) for r in records), key=cmp_to_key(compare))]


def _values(record: Record, sort: SortBy) -> Iterable[Any]:
    if sort.kind == "id":
        yield record.key.id
    if sort.kind == "updated":
        yield record.updated
    for entry in record.entries:
        if entry.parameter != sort.parameter:
            continue
        match entry:
            case Equality(_, value) if sort.kind == "equality" and value:
                yield value
            case Text(_, folded, _) if sort.kind == "text":
                yield folded
            case Span(_, _, low, high) if sort.kind == "span":
                yield high if sort.descending else low
            case Point(_, latitude, longitude) if sort.kind == "near" and sort.place:
                yield metres(latitude, longitude, *sort.place)
