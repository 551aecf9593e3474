"""search at type and system level, by GET and by POST. https://hl7.org/fhir/R4/http.html#search

A page is cut by the sort values of its last match, so a resource that does not change appears exactly once in all
pages, whatever else is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from fhir_server.interactions.context import Context
from fhir_server.interactions.definitions import demand_current
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import preferences
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.parameters import shaped
from fhir_server.interactions.query_string import form, pairs
from fhir_server.interactions.routes import Route
from fhir_server.interactions.sizes import size, too_long
from fhir_server.interactions.value_sets import resolved, unresolved
from fhir_server.model.bundle import Entry, bundle
from fhir_server.model.formats import serialize
from fhir_server.outcome import BadRequest, Issue, IssueType, Severity, operation_outcome
from fhir_server.search.criteria import SearchRequest
from fhir_server.search.cursor import Place, seal, unseal
from fhir_server.search.include import included
from fhir_server.search.plan import compartment_query, compartment_types, plan
from fhir_server.search.query import Cursor, Page, Query
from fhir_server.search.request import parse_search
from fhir_server.storage.protocol import Matches, QueryTimeout, Snapshot, Stored

CURSOR: Final = "_cursor"
"""Our parameter in the links of pages: where a page starts."""

_READABLE: Final = "/:,.-_~$*!()'@"
"""What stays as it is in a link's query besides letters and digits. The bar of tokens does not: no URI may hold one."""


_NONE: Final = Matches((), False)


@dataclass(frozen=True, slots=True)
class Found:
    """One page and all that a searchset says of it."""

    log_id: str
    instant: int
    """Of the head of the log."""
    now: int
    """What ``ap`` is measured from."""
    cursor: str | None
    place: Place | None
    """Where the page starts; None is the first."""
    matches: Matches = _NONE
    included: Sequence[Stored] = ()
    total: int | None = None
    remarks: tuple[Issue, ...] = ()
    """What is not known of the value sets asked for."""


async def search(context: Context, request: Request, route: Route) -> Response:
    """Return a searchset Bundle."""
    wish, cursor = _wish(context, request, route)
    found = await find(context, route, wish, cursor)
    links = _links(context, route, wish, found)
    pieces = bundle(
        "searchset",
        await _entries(context, wish, found),
        id_=context.new_id(),
        micros=found.instant,
        total=found.total,
        links=links,
    )
    return Response(200, {}, pieces)


def check_search(context: Context, request: Request, route: Route) -> None:
    """Raise what a search would be refused for, whatever the state of the store."""
    wish, _ = _wish(context, request, route)
    _query(context, route, unresolved(wish), context.clock())


def _wish(context: Context, request: Request, route: Route) -> tuple[SearchRequest, str | None]:
    """Return what a search asks, and where its page starts. Raises ``BadRequest``."""
    given = pairs(request.query)
    if request.method == "POST":
        given += form(request.body)
    cursors = [value for name, value in given if name == CURSOR]
    if len(cursors) > 1:
        raise BadRequest(Issue(IssueType.VALUE, f"{CURSOR} stands twice", (f"http.{CURSOR}",), id="cursor"))
    wish = parse_search(
        context.registry,
        _types(context, route),
        [pair for pair in given if pair[0] != CURSOR],
        strict=not preferences(request.headers).lenient,
        refuse_unknown_codes=context.refuse_unknown_codes,
    )
    return wish, cursors[0] if cursors else None


def _types(context: Context, route: Route) -> tuple[str, ...]:
    if route.type is not None:
        return (route.type,)
    if route.compartment is not None:
        return compartment_types(context.registry, route.compartment)
    return tuple(sorted(context.registry.types))


def _query(context: Context, route: Route, wish: SearchRequest, now: int) -> Query:
    surroundings = (context.registry, context.zone, context.bases, now)
    if route.compartment is None:
        return plan(wish, *surroundings)
    return compartment_query(wish, route.compartment, route.id or "", *surroundings)


def _secret(log_id: str, route: Route) -> str:
    """What seals a cursor: it is of no use in another compartment."""
    return f"{log_id} {route.compartment}/{route.id}"


async def find(context: Context, route: Route, wish: SearchRequest, cursor: str | None = None) -> Found:
    """Read one page, its includes and its total from one snapshot. Raises ``BadRequest`` if that is too much."""
    async with context.store.snapshot() as snapshot:
        head = snapshot.head
        demand_current(context.registry, head)
        place = unseal(cursor, _secret(head.log_id, route), wish) if cursor is not None else None
        now = context.clock() if place is None or place.now is None else place.now
        understood = await resolved(context, snapshot, wish)
        query = _query(context, route, understood.request, now)
        found = Found(head.log_id, head.instant, now, cursor, place, remarks=understood.remarks)
        count = _count(context, wish)
        if count == 0:
            return replace(found, total=await snapshot.count(query))
        page = Page(count, place.after if place else None, place.before if place else None)

        async def read(snapshot: Snapshot) -> tuple[Matches, Sequence[Stored]]:
            return await _page(context, snapshot, wish, query, page)

        matches, extra = await snapshot.together(read)
        total = await _total(context, snapshot, wish, query, matches, place)
        return replace(found, matches=matches, included=extra, total=total)


async def _page(
    context: Context, snapshot: Snapshot, wish: SearchRequest, query: Query, page: Page
) -> tuple[Matches, Sequence[Stored]]:
    """Return the matches of a page and what they include. Raises ``BadRequest`` if that is too much."""
    limit = context.limits.answer_bytes
    matches = await snapshot.search(query, replace(page, bytes=limit))
    extra = await included(snapshot, matches.matches, wish, context.registry, context.limits.includes)
    if size(extra) > limit:
        raise too_long("with its _include and _revinclude", limit)
    return matches, extra


def _count(context: Context, wish: SearchRequest) -> int:
    """Return how many matches the page holds; 0: the total only."""
    if wish.summary == "count":
        return 0
    count = context.limits.page_default if wish.count is None else wish.count
    return min(count, context.limits.page_maximum)


async def _total(
    context: Context, snapshot: Snapshot, wish: SearchRequest, query: Query, matches: Matches, place: Place | None
) -> int | None:
    """Return the exact total, or None: where it was not wanted, or would have taken too long."""
    if place is None and not matches.more:
        return len(matches.matches)
    if place is not None and place.total is not None:
        return place.total
    if wish.total == "none":
        return None
    if wish.total == "accurate":
        return await snapshot.count(query)
    try:
        return await snapshot.count(query, context.limits.count_seconds)
    except QueryTimeout:
        return None


async def _entries(context: Context, wish: SearchRequest, found: Found) -> list[Entry]:
    base = context.base
    entries = [
        Entry(f"{base}/{key.type}/{key.id}", body, "match") for (key, _, _, _, body, _, _), _ in found.matches.matches
    ]
    if wish.elements or wish.summary not in {None, "false"}:
        entries = await _in_part(context, wish, entries)
    entries.extend(Entry(f"{base}/{key.type}/{key.id}", body, "include") for key, _, _, _, body, _, _ in found.included)
    if wish.ignored or found.remarks:
        told = [replace(issue, severity=Severity.WARNING) for issue in (*wish.ignored, *found.remarks)]
        entries.append(Entry(None, serialize(operation_outcome(told)), "outcome"))
    return entries


async def _in_part(context: Context, wish: SearchRequest, entries: Sequence[Entry]) -> list[Entry]:
    pace, parts = Pace(is_read=True), []
    for entry in entries:
        parts.append(entry._replace(resource=await shaped(context, wish, entry.resource or b"")))
        await pace.keep()
    return parts


def _links(context: Context, route: Route, wish: SearchRequest, found: Found) -> list[tuple[str, str]]:
    """Return ``self``, and where there are more pages ``first``, ``prev`` and ``next``; each keeps the whole query."""
    path = "/".join(part for part in (route.compartment, route.id, route.type) if part)
    if route.compartment is not None and route.type is None:
        path += "/*"
    base = f"{context.base}/{path}" if path else context.base
    most = context.limits.page_maximum
    understood = [(name, str(min(int(value), most)) if name == "_count" else value) for name, value in wish.understood]

    def link(relation: str, at: str | None) -> tuple[str, str]:
        return relation, _url(base, (*understood, (CURSOR, at)) if at else understood)

    def page(after: Cursor | None = None, before: Cursor | None = None) -> str:
        return seal(Place(after, before, found.total, found.now), _secret(found.log_id, route), wish)

    links = [link("self", found.cursor)]
    matches, place = found.matches.matches, found.place
    backwards = place is not None and place.before is not None
    if place is not None or found.matches.more:
        links.append(link("first", None))
    if matches and (found.matches.more if backwards else place is not None):
        links.append(link("prev", page(before=matches[0].cursor)))
    if matches and (backwards or found.matches.more):
        links.append(link("next", page(after=matches[-1].cursor)))
    return links


def _url(base: str, given: Sequence[tuple[str, str]]) -> str:
    query = "&".join(f"{quote(name, safe=_READABLE)}={quote(value, safe=_READABLE)}" for name, value in given)
    return f"{base}?{query}" if query else base
