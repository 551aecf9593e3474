"""Searches and counts: one command where everything can be said in it, else candidates a chunk at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.search.query import And, Cursor, Node, Page, Query, SortBy
from fhir_server.search.sphere import metres
from fhir_server.storage.budget import within
from fhir_server.storage.mongo.connection import GRACE_SECONDS, Document, told
from fhir_server.storage.mongo.documents import HEADER, stored_of
from fhir_server.storage.mongo.filters import every, filter_of
from fhir_server.storage.mongo.indexes import LIVE
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.reading import BATCH
from fhir_server.storage.mongo.resolving import Resolving, TooMany, too_costly
from fhir_server.storage.mongo.sorting import cursor_of, flags, is_plain, keyset, order, path
from fhir_server.storage.protocol import Match, Matches, QueryTimeout, QueryTooCostly, Stored
from fhir_server.storage.ranking import ranking
from fhir_server.storage.reach import conjunction

CHUNK: Final = 500
"""Candidates of which is checked together what no filter can say."""
TAKEN: Final = 1_000
"""Documents that are taken out of an answer together."""
SORTED: Final = 100_000
"""Matches that are sorted here, by distance."""
_HEADER: Final = dict.fromkeys(HEADER, 1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of one type: a filter, and what must be checked of each candidate besides."""

    type: str
    where: Document
    rest: tuple[Node, ...]


class Searching:
    def __init__(self, log: Log, seconds: float) -> None:
        self._log = log
        self._seconds = seconds

    async def search(self, query: Query, page: Page) -> Matches:
        """Return one page of a result."""
        types = tuple(dict.fromkeys(query.types))
        async with self._limited(self._seconds) as milliseconds:
            found = _Search(self._log, query.sort, page, milliseconds)
            if len(types) == 1 and not found.by_distance:
                return await found.of_one(types[0], query.where)
            return await found.of_several(types, query.where)

    async def count(self, query: Query, seconds: float | None = None) -> int:
        seconds = self._seconds if seconds is None else seconds
        if seconds <= 0:
            raise QueryTimeout("the count was given no time")
        async with self._limited(seconds) as milliseconds:
            search = _Search(self._log, (), Page(CHUNK), milliseconds)
            counts = [search.count(type_, query.where) for type_ in dict.fromkeys(query.types)]
            return sum(await asyncio.gather(*counts))

    @asynccontextmanager
    async def _limited(self, seconds: float) -> AsyncIterator[int]:
        """Stop what takes longer: the server does, and if it does not answer, we do not wait for it."""
        try:
            async with asyncio.timeout(seconds + min(GRACE_SECONDS, seconds)):
                with told():
                    yield max(1, int(seconds * 1000))
        except TimeoutError as error:
            raise QueryTimeout(f"the query was stopped after {seconds:g} seconds") from error


class _Search:
    """One question."""

    def __init__(self, log: Log, sort: Sequence[SortBy], page: Page, milliseconds: int) -> None:
        self._log = log
        self._sort = sort
        self._page = page
        self._milliseconds = milliseconds
        self._resolving = Resolving(log, milliseconds)
        self.backward = page.before is not None
        self.by_distance = any(by.kind == "near" for by in sort)

    async def of_one(self, type: str, where: Node) -> Matches:
        """Return a page of one type: bodies come with what found them, some at a time."""
        asked = await self._asked(type, where)
        found: list[tuple[Stored, Cursor]] = []
        taken = 0
        async for documents in self._matches(asked, self._page.count + 1, _HEADER):
            for document in documents:
                stored = stored_of(type, document)
                found.append((stored, cursor_of(document, self._sort)))
                taken += len(stored.body or b"")
            if self._page.bytes is not None and taken > self._page.bytes and len(found) > 1:
                break
        return self._cut(found)

    async def of_several(self, types: Sequence[str], where: Node) -> Matches:
        """Return a page of several types: what comes first is known before any body is read."""
        parts = await asyncio.gather(*[self._places(type_, where) for type_ in types])
        places = [place for part in parts for place in part]
        places.sort(key=lambda place: _rank(self._sort)(place[2]), reverse=self.backward)
        chosen = places[: self._page.count + 1]
        bodies = await self._bodies(chosen)
        found = [(bodies[type_, id_], cursor) for type_, id_, cursor in chosen if (type_, id_) in bodies]
        return self._cut(found, more=len(places) > len(found))

    def _cut(self, found: list[tuple[Stored, Cursor]], *, more: bool = False) -> Matches:
        kept = len(list(within((stored for stored, _ in found[: self._page.count]), self._page.bytes)))
        chosen = found[:kept]
        if self.backward:
            chosen.reverse()
        return Matches(tuple(Match(*one) for one in chosen), more or len(found) > kept)

    async def count(self, type: str, where: Node) -> int:
        asked = await self._asked(type, where)
        if not asked.rest:
            return await self._log.resources(type).count_documents(asked.where, maxTimeMS=self._milliseconds)
        total = 0
        async for documents in self._matches(asked, None, {"ordinal": 1}):
            total += len(documents)
        return total

    # --- what is asked -----------------------------------------------------------------------------------------------

    async def _asked(self, type: str, where: Node) -> Asked:
        filters: list[Document] = []
        rest: list[Node] = []
        for node in conjunction(where):
            try:
                filters.append(filter_of(await self._resolving.resolved(type, node)))
            except TooMany:
                rest.append(node)
        return Asked(type, every([*filters, LIVE]), tuple(rest))

    async def _matches(self, asked: Asked, count: int | None, fields: Document) -> AsyncIterator[list[Document]]:
        """Yield the documents of matches in the direction read, some at a time: up to ``count`` of them, or a few more
        where candidates are checked."""
        cursor = self._page.before if self.backward else self._page.after
        if not asked.rest:
            async for documents in self._candidates(asked, cursor, count, fields):
                yield documents
            return
        while count is None or count > 0:
            chunk: list[Document] = []
            async for documents in self._candidates(asked, cursor, CHUNK, fields):
                chunk += documents
            kept = await self._checked(asked, chunk)
            yield kept
            if len(chunk) < CHUNK:
                return
            cursor = cursor_of(chunk[-1], self._sort)
            if count is not None:
                count -= len(kept)

    async def _checked(self, asked: Asked, chunk: Sequence[Document]) -> list[Document]:
        """Return the candidates of which holds what no filter could say."""
        domain = frozenset(document["_id"] for document in chunk)
        if not domain:
            return []
        try:
            node = await self._resolving.resolved(asked.type, And(asked.rest), domain)
        except TooMany as error:
            raise too_costly() from error
        where = every([{"_id": {"$in": list(domain)}}, filter_of(node)])
        found = self._log.resources(asked.type).find(
            where, {"_id": 1}, batch_size=BATCH, max_time_ms=self._milliseconds
        )
        kept = {document["_id"] async for document in found}
        return [document for document in chunk if document["_id"] in kept]

    async def _candidates(
        self, asked: Asked, cursor: Cursor | None, count: int | None, fields: Document
    ) -> AsyncIterator[list[Document]]:
        resources = self._log.resources(asked.type)
        shown = {**fields, **{path(by): 1 for by in self._sort}}
        after = keyset(self._sort, cursor, backward=self.backward)
        by = order(self._sort, backward=self.backward)
        where = every([after, asked.where])
        size = BATCH if count is None else min(count, BATCH)
        found: Any
        if is_plain(self._sort):
            found = resources.find(where, shown, batch_size=size, max_time_ms=self._milliseconds, allow_disk_use=True)
            found = found.sort(list(by.items())).limit(count or 0)
        else:
            stages: list[Document] = [{"$match": where}, {"$addFields": flags(self._sort)}, {"$sort": by}]
            if count is not None:
                stages.append({"$limit": count})
            stages.append({"$project": shown})
            found = resources.aggregate(stages, batchSize=size, maxTimeMS=self._milliseconds, allowDiskUse=True)
        while documents := await found.to_list(TAKEN):
            yield documents

    # --- places first, bodies later ----------------------------------------------------------------------------------

    async def _places(self, type: str, where: Node) -> list[tuple[str, str, Cursor]]:
        """Return the first matches of a type, one more than the page, without bodies."""
        asked = await self._asked(type, where)
        if self.by_distance:
            return await self._by_distance(asked)
        found = self._matches(asked, self._page.count + 1, {"ordinal": 1})
        return [(type, one["_id"], cursor_of(one, self._sort)) async for some in found for one in some]

    async def _by_distance(self, asked: Asked) -> list[tuple[str, str, Cursor]]:
        """Sort here what no index of MongoDB's sorts by our distance."""
        places = _Search(self._log, (), Page(SORTED), self._milliseconds)
        fields = {"ordinal": 1, "updated": 1, "point": 1, **{path(by): 1 for by in self._sort if by.kind != "near"}}
        matches = places._matches(asked, SORTED + 1, fields)
        found = [(asked.type, one["_id"], self._cursor(one)) async for some in matches for one in some]
        if len(found) > SORTED:
            raise QueryTooCostly(f"more than {SORTED} matches would be sorted by distance; search more narrowly")
        rank = _rank(self._sort)
        cursor = self._page.before if self.backward else self._page.after
        if cursor is not None:
            here = rank(cursor)
            found = [one for one in found if (rank(one[2]) < here if self.backward else rank(one[2]) > here)]
        return found

    def _cursor(self, document: Document) -> Cursor:
        values = cursor_of(document, [by for by in self._sort if by.kind != "near"])
        others = iter(values)
        return (*[_distance(document, by) if by.kind == "near" else next(others) for by in self._sort], values[-1])

    async def _bodies(self, places: Sequence[tuple[str, str, Cursor]]) -> dict[tuple[str, str], Stored]:
        """Read the matches of a page, in its order, until they pass what it may hold."""
        found: dict[tuple[str, str], Stored] = {}
        taken = 0
        for start in range(0, len(places), CHUNK):
            by_type: dict[str, list[str]] = {}
            for type_, id_, _ in places[start : start + CHUNK]:
                by_type.setdefault(type_, []).append(id_)
            for type_, ids in by_type.items():
                where = {"_id": {"$in": ids}}
                bodies = self._log.resources(type_).find(
                    where, _HEADER, batch_size=BATCH, max_time_ms=self._milliseconds
                )
                async for document in bodies:
                    found[type_, document["_id"]] = stored_of(type_, document)
                    taken += len(document.get("body") or b"")
            if self._page.bytes is not None and taken > self._page.bytes:
                break
        return found


def _rank(sort: Sequence[SortBy]) -> Any:
    return ranking(sort)


def _distance(document: Document, by: SortBy) -> float | None:
    latitude, longitude = by.place or (0.0, 0.0)
    found = [
        metres(point["latitude"], point["longitude"], latitude, longitude)
        for point in document.get("point", ())
        if point["of"] == by.parameter
    ]
    return (max if by.descending else min)(found) if found else None
