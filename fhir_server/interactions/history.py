"""history at instance, type and system level, and the feed for those who synchronise.

A page is cut by the address of its last entry in the log, so no version is lost or repeated whatever is written
meanwhile. ``_history?_after=<log>.<change number>`` reads forwards, the advised way to synchronise: the last page gives
the value to resume from.

Spec: https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import etag
from fhir_server.interactions.parameters import known
from fhir_server.interactions.routes import Route
from fhir_server.model.bundle import Entry, bundle
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import instant, interval
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Gone, Issue, IssueType, NotFound
from fhir_server.storage.protocol import Address, HistoryPage, Scope, Stored

PARAMETERS: Final = ("_count", "_since", "_at", "_after", "_page")

METHODS: Final = {
    Interaction.CREATE: "POST",
    Interaction.UPDATE: "PUT",
    Interaction.PATCH: "PATCH",
    Interaction.DELETE: "DELETE",
}

_POSITION: Final = re.compile(r"(?P<log>[0-9a-f]{16})\.(?P<number>[0-9]{1,15})(?:\.(?P<position>[0-9]{1,7}))?")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a history request asks, its parameters read."""

    page: HistoryPage
    given: dict[str, str]


async def history(context: Context, request: Request, route: Route) -> Response:
    """Return a history Bundle: newest first, or oldest first after a position of the log."""
    given = known(request, PARAMETERS)
    scope = Scope(route.type, route.id, tuple(sorted(context.registry.types)) if route.type is None else ())
    async with context.store.snapshot() as snapshot:
        log = public_log_id(snapshot.head.log_id)
        wish = _Wish(_page(context, given, log, snapshot.head.number), given)
        versions = await snapshot.history(scope, wish.page)
        total = None
        if route.id is not None:
            total = await _instance_total(snapshot, Key(route.type or "", route.id), wish)
        head = snapshot.head
    links = _links(context, request, wish, versions.versions, log, more=versions.more, head_number=head.number)
    entries = [_entry(context, stored) for stored in versions.versions]
    pieces = bundle("history", entries, id_=context.new_id(), micros=head.instant, total=total, links=links)
    return Response(200, {}, pieces)


def public_log_id(log_id: str) -> str:
    """Return the name by which clients know a log; its identity itself signs page cursors and stays inside."""
    return sha256(b"log:" + log_id.encode()).hexdigest()[:16]


async def _instance_total(snapshot: object, key: Key, wish: _Wish) -> int | None:
    """Return how many versions a resource has, or None where only some are asked for. Raises ``NotFound``."""
    current: Stored | None = (await snapshot.read([key])).get(key)  # type: ignore[attr-defined]
    if current is None:
        raise NotFound(f"there is no {key}")
    bounded = wish.page.since is not None or wish.page.before_instant is not None or wish.page.ascending
    return None if bounded else current.version


def _page(context: Context, given: dict[str, str], log: str, head: int) -> HistoryPage:
    """Return the page that the parameters ask for. Raises ``BadRequest``, or ``Gone`` for a position of another log."""
    if "_after" in given and len({"_since", "_at", "_page"} & given.keys()):
        raise _bad("_after", "goes with _count only")
    page = HistoryPage(_count(context, given))
    if "_after" in given:
        return replace(page, ascending=True, after=_position("_after", given["_after"], log, head))
    if "_since" in given:
        page = replace(page, since=_instants(context, "_since", given["_since"])[0])
    if "_at" in given:
        low, high = _instants(context, "_at", given["_at"])
        page = replace(page, since=max(low, page.since or low), before_instant=high)
    if "_page" in given:
        page = replace(page, after=_position("_page", given["_page"], log, head))
    return page


def _count(context: Context, given: dict[str, str]) -> int:
    text = given.get("_count", str(context.limits.page_default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _bad("_count", "is a whole number, 0 or more")
    return min(int(text), context.limits.page_maximum)


def _instants(context: Context, name: str, text: str) -> tuple[int, int]:
    try:
        return interval(text.replace(" ", "+"), context.zone)
    except ValueError as error:
        raise _bad(name, f"cannot be read: {error}") from None


def _position(name: str, text: str, log: str, head: int) -> Address:
    """Return a position in the log. A whole commit (no position inside) means: after all of its changes."""
    match = _POSITION.fullmatch(text)
    if match is None:
        raise _bad(name, "is not a value that this server gave")
    number = int(match["number"])
    if match["log"] != log or number > head:
        raise Gone(
            Issue(IssueType.NOT_FOUND, f"{name} is a position of another log; read the whole again", id="log-position")
        )
    return Address(number, int(match["position"]) if match["position"] else 2**20 - 1)


def _links(
    context: Context,
    request: Request,
    wish: _Wish,
    versions: tuple[Stored, ...],
    log: str,
    *,
    more: bool,
    head_number: int,
) -> list[tuple[str, str]]:
    base = f"{context.base}/{request.path.strip('/')}"
    links = [("self", _url(base, wish.given))]
    if more and versions:
        last = versions[-1].address
        name = "_after" if wish.page.ascending else "_page"
        links.append(("next", _url(base, {**wish.given, name: f"{log}.{last.number}.{last.position}"})))
    elif wish.page.ascending:
        # Nothing more now: only a whole commit gives a value to resume from.
        links.append(("resume", _url(base, {**wish.given, "_after": f"{log}.{head_number}"})))
    return links


def _url(base: str, given: dict[str, str]) -> str:
    query = "&".join(f"{name}={quote(value, safe=':.,+-')}" for name, value in given.items())
    return f"{base}?{query}" if query else base


def _entry(context: Context, stored: Stored) -> Entry:
    method = METHODS[stored.interaction]
    url = stored.key.type if method == "POST" else str(stored.key)
    status = "204" if stored.body is None else "201" if stored.version == 1 else "200"
    return Entry(
        context.url(stored.key),
        stored.body,
        request={"method": method, "url": url},
        response={"status": status, "etag": etag(stored.version), "lastModified": instant(stored.instant)},
    )


def _bad(name: str, text: str) -> BadRequest:
    return BadRequest(Issue(IssueType.VALUE, f"{name} {text}", (f"http.{name}",), id="parameter-value"))
