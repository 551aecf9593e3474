"""What a node says of other resources, replaced by what they are: chains, ``_has`` and distances become plain values.

Without a *domain* a chain is resolved from its far end, which must be small (``TooMany`` otherwise). Within a domain,
some resources of the near end, only what they lead to is looked at: so a chain whose far end is large is answered for
a chunk of candidates at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Final, TypeAlias

from fhir_server.search.query import (
    RECORD_SEPARATOR,
    And,
    Equal,
    Ids,
    Keys,
    Near,
    Node,
    Not,
    Or,
    References,
    ReferredBy,
    Spans,
)
from fhir_server.search.sphere import latitudes, metres
from fhir_server.storage.mongo.connection import Document
from fhir_server.storage.mongo.filters import among, every, filter_of, in_band
from fhir_server.storage.mongo.indexes import LIVE
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.reading import BATCH
from fhir_server.storage.mongo.values import values_of
from fhir_server.storage.protocol import QueryTooCostly

RESOLVED: Final = 10_000
"""Resources at the far end of a chain, keys of a compound, places within a distance."""

Domain: TypeAlias = frozenset[str] | None
"""Logical ids of resources of the near end; None: all."""


class TooMany(Exception):
    """The far end is too large to be written out."""


class Resolving:
    """Resolves nodes for one question; what it has found it keeps."""

    def __init__(self, log: Log, milliseconds: int) -> None:
        self._log = log
        self._milliseconds = milliseconds
        self._found: dict[tuple[str, Node], frozenset[str]] = {}
        self._referring: dict[tuple[str, ReferredBy], frozenset[str]] = {}

    async def resolved(self, type: str, node: Node, domain: Domain = None) -> Node:  # noqa: PLR0911 as its kinds are
        """Return a node that is true of the same resources of the domain and reaches no others. Raises ``TooMany``."""
        match node:
            case And(nodes):
                return And(tuple([await self.resolved(type, each, domain) for each in nodes]))
            case Or(nodes):
                return Or(tuple([await self.resolved(type, each, domain) for each in nodes]))
            case Not(inner):
                return Not(await self.resolved(type, inner, domain))
            case Equal(parameter, References() as there):
                return Equal(parameter, await self._texts(type, parameter, there, domain))
            case Spans(keys=Keys()):
                return await self._spans(type, node, domain)
            case ReferredBy():
                return Ids(tuple(sorted(await self._referred(type, node, domain))))
            case Near():
                return Ids(tuple(sorted(await self._near(type, node, domain))))
        return node

    # --- references --------------------------------------------------------------------------------------------------

    async def _texts(self, type: str, parameter: str, there: References, domain: Domain) -> tuple[str, ...]:
        within = None if domain is None else await self._led_to(type, parameter, there.type, domain)
        ids = await self._ids(there.type, there.where, within)
        return tuple(f"{there.type}/{id_}" for id_ in sorted(ids))

    async def _led_to(self, type: str, parameter: str, target: str, domain: frozenset[str]) -> frozenset[str]:
        """Return the ids of the targets that the domain's resources refer to."""
        prefix = f"{target}/"
        values = await self._values(type, parameter, {"_id": {"$in": list(domain)}})
        return frozenset(value.removeprefix(prefix) for value in values if value.startswith(prefix))

    async def _ids(self, type: str, where: Node, domain: Domain) -> frozenset[str]:
        """Return the ids of what matches, within a domain."""
        known = self._found.get((type, where))
        if known is not None:
            return known if domain is None else known & domain
        if domain is not None and not domain:
            return frozenset()
        conditions = filter_of(await self.resolved(type, where, domain))
        if domain is not None:
            conditions = every([{"_id": {"$in": list(domain)}}, conditions])
        found = await self._find(type, conditions, {"_id": 1})
        ids = frozenset(document["_id"] for document in found)
        if domain is None:
            self._found[type, where] = ids
        return ids

    async def _values(self, type: str, parameter: str, where: Document) -> set[str]:
        found = await self._find(type, where, {"equal": 1}, bounded=False)
        return {value for document in found for value in values_of(document, parameter)}

    async def _find(
        self, type: str, where: Document, fields: dict[str, int], *, bounded: bool = True
    ) -> list[Document]:
        cursor = self._log.resources(type).find(
            every([where, LIVE]), fields, batch_size=BATCH + 1, max_time_ms=self._milliseconds
        )
        found = await (cursor.limit(RESOLVED + 1) if bounded else cursor).to_list(None)
        if bounded and len(found) > RESOLVED:
            raise TooMany
        return found

    # --- compounds ---------------------------------------------------------------------------------------------------

    async def _spans(self, type: str, node: Spans, domain: Domain) -> Node:
        """Write the keys of a compound out, or say what it stands for where they are too many."""
        assert isinstance(node.keys, Keys)  # noqa: S101
        try:
            parts = [await self._part(type, node, place, part, domain) for place, part in enumerate(node.keys.parts)]
            return replace(node, keys=_written_out(parts))
        except TooMany:
            apart = node.apart()
            if not apart:
                raise
            return And(tuple([await self.resolved(type, each, domain) for each in apart]))

    async def _part(
        self, type: str, node: Spans, place: int, part: tuple[str, ...] | References, domain: Domain
    ) -> tuple[str, ...]:
        if not isinstance(part, References):
            return part
        within = None
        if domain is not None:
            within = await self._in_keys(type, node, place, part.type, domain)
        return tuple(f"{part.type}/{id_}" for id_ in sorted(await self._ids(part.type, part.where, within)))

    async def _in_keys(self, type: str, node: Spans, place: int, target: str, domain: frozenset[str]) -> Domain:
        """Return the ids of the targets that stand at one place of the domain's keys."""
        of, prefix = f"{node.parameter}|", f"{target}/"
        found = await self._find(type, {"_id": {"$in": list(domain)}}, {"span.of": 1}, bounded=False)
        keys = [
            span["of"].removeprefix(of) for one in found for span in one.get("span", ()) if span["of"].startswith(of)
        ]
        texts = [parts[place] for parts in (key.split(RECORD_SEPARATOR) for key in keys) if place < len(parts)]
        return frozenset(text.removeprefix(prefix) for text in texts if text.startswith(prefix))

    # --- the other way round -----------------------------------------------------------------------------------------

    async def _referred(self, type: str, node: ReferredBy, domain: Domain) -> frozenset[str]:
        """Return the ids of those that a matching resource refers to."""
        prefix = f"{type}/"
        if domain is None:
            known = self._referring.get((type, node))
            if known is None:
                where = filter_of(await self.resolved(node.type, node.where))
                known = self._referring[type, node] = _ids_in(
                    await self._find(node.type, where, {"equal": 1}), node.parameter, prefix
                )
            return known
        texts = [f"{prefix}{id_}" for id_ in sorted(domain)]
        if not texts:
            return frozenset()
        mine = among("equal", [f"{node.parameter}|{text}" for text in texts])
        candidates = await self._find(node.type, mine, {"_id": 1}, bounded=False)
        ids = frozenset(document["_id"] for document in candidates)
        there = filter_of(await self.resolved(node.type, node.where, ids))
        found = await self._find(node.type, every([{"_id": {"$in": list(ids)}}, there]), {"equal": 1}, bounded=False)
        return _ids_in(found, node.parameter, prefix) & domain

    # --- distances ---------------------------------------------------------------------------------------------------

    async def _near(self, type: str, node: Near, domain: Domain) -> frozenset[str]:
        found: set[str] = set()
        for latitude, longitude, distance in node.places:
            where = in_band(node.parameter, *latitudes(latitude, distance))
            if domain is not None:
                where = every([{"_id": {"$in": list(domain)}}, where])
            for document in await self._find(type, where, {"point": 1}, bounded=domain is None):
                if _is_near(document, node.parameter, latitude, longitude, distance):
                    found.add(document["_id"])
        return frozenset(found)


def _is_near(document: Document, parameter: str, latitude: float, longitude: float, distance: float) -> bool:
    return any(
        point["of"] == parameter and metres(point["latitude"], point["longitude"], latitude, longitude) <= distance
        for point in document["point"]
    )


def _ids_in(documents: Iterable[Document], parameter: str, prefix: str) -> frozenset[str]:
    return frozenset(
        value.removeprefix(prefix)
        for document in documents
        for value in values_of(document, parameter)
        if value.startswith(prefix)
    )


def _written_out(parts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    size = 1
    for part in parts:
        size *= len(part)
    if size > RESOLVED:
        raise TooMany
    return tuple(RECORD_SEPARATOR.join(chosen) for chosen in product(*parts))


def too_costly() -> QueryTooCostly:
    return QueryTooCostly(
        f"the search leads through more than {RESOLVED} other resources or combines more values; search more narrowly"
    )
