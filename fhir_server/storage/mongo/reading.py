"""What is read by key: current versions, one version, histories, index entries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pymongo import ASCENDING, DESCENDING

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality, IndexEntry
from fhir_server.storage.budget import within
from fhir_server.storage.mongo.connection import Collection, Document, told
from fhir_server.storage.mongo.documents import HEADER, place, stored_of, version_of
from fhir_server.storage.mongo.gathering import Gathered
from fhir_server.storage.mongo.indexes import LIVE
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.values import FIELDS, UNKNOWN, entries_of, values_of
from fhir_server.storage.prefixes import successor
from fhir_server.storage.protocol import Address, HistoryPage, Scope, Stored, StoreUnavailable, Versions

_CURRENT: Final = dict.fromkeys(HEADER, 1)
_SINGLY: Final = 100
"""So many versions are read together."""
BATCH: Final = 10_000
"""Documents in one answer, which the server bounds by 16 MB besides."""


class _Row(NamedTuple):
    """A row of a version, known by its place."""

    place: int
    row: Document

    def __hash__(self) -> int:
        return self.place


class Reading:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._reads = Gathered(self._read)
        self._rows = Gathered(self._row)
        self._versions = Gathered(self._version)

    async def read(self, key: Key) -> Stored | None:
        """Return one current version; those of callers at the same time are read together."""
        return await self._reads.get(key)

    async def _read(self, keys: Sequence[Key]) -> dict[Key, Stored]:
        found = await self.current(keys)
        return {key: stored for key, (stored, _) in found.items()}

    async def current(self, keys: Iterable[Key]) -> dict[Key, tuple[Stored, int]]:
        """Return what is current of those that ever were, each with its place in the order of creation."""
        found: dict[Key, tuple[Stored, int]] = {}
        for type_, documents in await self._documents(keys, _CURRENT):
            for document in documents:
                stored = stored_of(type_, document)
                found[stored.key] = stored, document["ordinal"]
        return found

    async def _documents(self, keys: Iterable[Key], fields: Mapping[str, int]) -> list[tuple[str, list[Document]]]:
        by_type: dict[str, list[str]] = {}
        for key in dict.fromkeys(keys):
            by_type.setdefault(key.type, []).append(key.id)

        async def of_type(type_: str, ids: list[str]) -> tuple[str, list[Document]]:
            return type_, await _identified(self._log.resources(type_), ids, fields)

        with told():
            return await asyncio.gather(*[of_type(type_, ids) for type_, ids in by_type.items()])

    async def outdated(self, type: str, generation: int, limit: int) -> tuple[Stored, ...]:
        """Return current resources whose entries an older generation has made, the oldest first."""
        where = {**LIVE, "generation": {"$lt": generation}}
        cursor = (
            self._log.resources(type).find(where, _CURRENT).sort([("generation", ASCENDING), ("ordinal", ASCENDING)])
        )
        with told():
            return tuple([stored_of(type, document) async for document in cursor.limit(limit)])

    # --- index entries -----------------------------------------------------------------------------------------------

    async def references(self, keys: Sequence[Key], parameter: str) -> dict[Key, tuple[str, ...]]:
        found = await self._documents(keys, {"equal": 1})
        pairs = ((Key(type_, one["_id"]), values_of(one, parameter)) for type_, own in found for one in own)
        return {key: values for key, values in pairs if values}

    async def targets(self, keys: Sequence[Key], parameter: str) -> tuple[str, ...]:
        by_type: dict[str, list[str]] = {}
        for key in keys:
            by_type.setdefault(key.type, []).append(key.id)
        with told():
            parts = await asyncio.gather(*[self._targets(type_, ids, parameter) for type_, ids in by_type.items()])
        return tuple(sorted(set[str]().union(*parts)))

    async def _targets(self, type: str, ids: list[str], parameter: str) -> list[str]:
        """Let MongoDB tell them apart: of hundreds of resources there are a few."""
        prefix = f"{parameter}|"
        stages: list[Document] = [
            {"$match": {"_id": {"$in": ids}}},
            {"$project": {"equal": 1}},
            {"$unwind": "$equal"},
            {"$match": {"equal": {"$gte": prefix, "$lt": successor(prefix)}}},
            {"$group": {"_id": "$equal"}},
        ]
        found = await self._log.resources(type).aggregate(stages, batchSize=BATCH).to_list(None)
        return [document["_id"][len(prefix) :] for document in found]

    async def entries(self, keys: Sequence[Key]) -> dict[Key, tuple[IndexEntry, ...]]:
        found = await self._documents(keys, dict.fromkeys(FIELDS, 1))
        return {Key(type_, one["_id"]): entries_of(one) for type_, own in found for one in own}

    async def holders(self, lookups: Sequence[tuple[str, Equality]]) -> list[list[tuple[Key, int]]]:
        """Return, for each (type, entry), who has it and their places in the order of creation."""
        wanted: dict[str, set[str]] = {}
        for type_, entry in lookups:
            wanted.setdefault(type_, set()).add(_text(entry))

        async def of_type(type_: str, texts: set[str]) -> dict[tuple[str, str], list[tuple[Key, int]]]:
            where = {"equal": {"$in": [*sorted(texts), UNKNOWN]}}
            cursor = self._log.resources(type_).find(where, {"equal": 1, "ordinal": 1}, batch_size=BATCH)
            held: dict[tuple[str, str], list[tuple[Key, int]]] = {}
            for document in await cursor.to_list(None):
                if UNKNOWN in document["equal"]:
                    raise StoreUnavailable(f"what {type_}/{document['_id']} is found by is not known: run reindex")
                for text in texts.intersection(document["equal"]):
                    held.setdefault((type_, text), []).append((Key(type_, document["_id"]), document["ordinal"]))
            return held

        found: dict[tuple[str, str], list[tuple[Key, int]]] = {}
        with told():
            for held in await asyncio.gather(*[of_type(type_, texts) for type_, texts in wanted.items()]):
                found.update(held)
        return [found.get((type_, _text(entry)), []) for type_, entry in lookups]

    # --- versions ----------------------------------------------------------------------------------------------------

    async def vread(self, key: Key, version: int, until: int) -> Stored | None:
        """Return one version, if it is no newer than the commit ``until``."""
        row = await self._rows.get((key, version))
        if row is None or row["_id"] >= place(Address(until + 1, 0)):
            return None
        return version_of(row, None) if row["deleted"] else await self._versions.get(_Row(row["_id"], row))

    async def _row(self, wanted: Sequence[tuple[Key, int]]) -> dict[tuple[Key, int], Document]:
        found = await self._rows_of(wanted, {})
        return {(Key(row["type"], row["id"]), row["version"]): row for row in found}

    async def _rows_of(self, wanted: Sequence[tuple[Key, int]], more: Document) -> list[Document]:
        """Return the rows of versions that are there."""
        ways = [{"type": key.type, "id": key.id, "version": version, **more} for key, version in wanted]
        found: list[Document] = []
        with told():
            for start in range(0, len(ways), _SINGLY):
                some = ways[start : start + _SINGLY]
                if len(some) == 1:  # which costs less than to ask for some
                    one = await self._log.versions.find_one(some[0])
                    found += [] if one is None else [one]
                else:
                    found += await self._log.versions.find({"$or": some}, batch_size=BATCH).to_list(None)
        return found

    async def _version(self, wanted: Sequence[_Row]) -> dict[_Row, Stored]:
        versions = await self._with_bodies([one.row for one in wanted])
        return dict(zip(wanted, versions, strict=True))

    async def deletions(self, versions: Sequence[tuple[Key, int]]) -> frozenset[tuple[Key, int]]:
        """Return those of the versions that are deletions."""
        rows = await self._rows_of(versions, {"deleted": True})
        return frozenset((Key(row["type"], row["id"]), row["version"]) for row in rows)

    async def history(self, scope: Scope, page: HistoryPage, until: int) -> Versions:
        """Return one page of a history that ends with the commit ``until``."""
        with told():
            where = await self._where(scope, page, until)
            if where is None:
                return Versions((), more=False)
            order = ASCENDING if page.ascending else DESCENDING
            by = "version" if scope.id is not None else "_id"
            cursor = self._log.versions.find(where, batch_size=BATCH).sort(by, order).limit(page.count + 1)
            rows = await cursor.to_list(None)
        versions = await self._fitting(rows[: page.count], page.bytes)
        return Versions(tuple(versions), more=len(rows) > len(versions))

    async def _fitting(self, rows: Sequence[Document], limit: int | None) -> list[Stored]:
        """Return the first versions, as many as the limit holds, reading some at a time."""
        found: list[Stored] = []
        for start in range(0, len(rows), _SINGLY):
            chunk = rows[start : start + _SINGLY]
            found += await self._with_bodies(chunk)
            kept = list(within(found, limit))
            if len(kept) < len(found):
                return kept
        return found

    async def _where(self, scope: Scope, page: HistoryPage, until: int) -> Document | None:
        """Instants never go back along the log, so they are ranges of addresses; versions neither."""
        low, high = 0, place(Address(until + 1, 0))
        where: Document = {}
        if page.after is not None and page.ascending:
            low = place(page.after) + 1
        elif page.after is not None:
            high = min(high, place(page.after))
        if page.since is not None:
            first = await self._first_at(page.since)
            if first is None:
                return None
            low = max(low, place(Address(first, 0)))
        if page.before_instant is not None:
            first = await self._first_at(page.before_instant)
            high = high if first is None else min(high, place(Address(first, 0)))
        if scope.id is not None:
            where = {"type": scope.type, "id": scope.id, **await self._beyond(page)}
        elif scope.type is not None:
            where = {"type": scope.type}
        elif scope.types:
            where = {"type": {"$in": sorted(set(scope.types))}}
        return {**where, "_id": {"$gte": low, "$lt": high}}

    async def _beyond(self, page: HistoryPage) -> Document:
        """Return where an instance's page begins, in the order of its index."""
        if page.after is None:
            return {}
        row = await self._log.versions.find_one({"_id": place(page.after)}, {"version": 1})
        return {} if row is None else {"version": {"$gt" if page.ascending else "$lt": row["version"]}}

    async def _first_at(self, instant: int) -> int | None:
        found = await self._log.commits.find_one(
            {"instant": {"$gte": instant}}, {"_id": 1}, sort=[("instant", ASCENDING), ("_id", ASCENDING)]
        )
        return None if found is None else int(found["_id"])

    async def _with_bodies(self, rows: Sequence[Document]) -> list[Stored]:
        """Fetch the bodies of rows from their commits."""
        wanted: dict[int, list[str]] = {}
        for row in rows:
            if not row["deleted"]:
                number, position = divmod(row["_id"], place(Address(1, 0)))
                wanted.setdefault(number, []).append(str(position))
        bodies = await self._bodies(wanted) if wanted else {}
        return [version_of(row, bodies.get(row["_id"])) for row in rows]

    async def _bodies(self, wanted: Mapping[int, list[str]]) -> dict[int, bytes]:
        positions = {position for own in wanted.values() for position in own}
        fields = {f"bodies.{position}": 1 for position in positions}
        found: dict[int, bytes] = {}
        with told():
            commits = await _identified(self._log.commits, list(wanted), fields)
        for commit in commits:
            for position in wanted[commit["_id"]]:
                found[place(Address(commit["_id"], int(position)))] = commit["bodies"][position]
        return found


async def _identified(
    collection: Collection, ids: Sequence[str] | Sequence[int], fields: Mapping[str, int]
) -> list[Document]:
    """Return the documents of ids; to ask for one costs less than to ask for some."""
    if len(ids) == 1:
        one = await collection.find_one({"_id": ids[0]}, fields)
        return [] if one is None else [one]
    return await collection.find({"_id": {"$in": list(ids)}}, fields, batch_size=BATCH).to_list(None)


def _text(entry: Equality) -> str:
    return f"{entry.parameter}|{entry.value}"
