"""history at instance, type and system level, and the feed for those who synchronise.

A page is cut by the address of its last entry in the log, so no version is lost or repeated whatever is written
meanwhile. ``_history?_after=<log>.<change number>`` reads forwards, the advised way to synchronise: the last page gives
the value to resume from.

Spec: https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from fhir_server.interactions.context import Context
from fhir_server.interactions.current import current_at
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import etag
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.parameters import general, known
from fhir_server.interactions.routes import Route
from fhir_server.model.bundle import Entry, bundle
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import instant, interval
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Gone, Issue, IssueType, NotFound
from fhir_server.storage.budget import within
from fhir_server.storage.protocol import POSITIONS, Address, HistoryPage, Scope, Snapshot, Stored, Versions

PARAMETERS: Final = ("_count", "_since", "_at", "_after", "_page")

METHODS: Final = {
    Interaction.CREATE: "POST",
    Interaction.UPDATE: "PUT",
    Interaction.PATCH: "PATCH",
    Interaction.DELETE: "DELETE",
}

START: Final = "0"
"""The ``_after`` of those who synchronise for the first time."""

_WHOLE: Final = POSITIONS - 1
"""A position after all changes of a commit."""

_POSITION: Final = re.compile(r"(?P<log>[0-9a-f]{16})\.(?P<number>[0-9]{1,15})(?:\.(?P<position>[0-9]{1,7}))?")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a history request asks, its parameters read. Instants are microseconds since the epoch.

    ``at``: only versions that were current at some time of it. ``after`` is a position as it was given.
    """

    given: dict[str, str]
    count: int
    since: int | None = None
    at: tuple[int, int] | None = None
    after: str | None = None
    ascending: bool = False

    def page(self, log: str, head: int) -> HistoryPage:
        """Return the page of a log. Raises ``Gone`` for a position that is not of this log."""
        after = None if self.after is None else _position(self._name, self.after, log, head)
        before = self.at[1] if self.at else None
        return HistoryPage(self.count, after, self.ascending, self.since, before)

    @property
    def _name(self) -> str:
        return "_after" if self.ascending else "_page"


async def history(context: Context, request: Request, route: Route) -> Response:
    """Return a history Bundle: newest first, or oldest first after a position of the log."""
    wish = _wish(context, request)
    scope = Scope(route.type, route.id, tuple(sorted(context.registry.types)) if route.type is None else ())
    async with context.store.snapshot() as snapshot:
        head = snapshot.head
        log = public_log_id(head.log_id)
        page = replace(wish.page(log, head.number), bytes=context.limits.answer_bytes)
        total = None
        if route.id is not None:
            total = await _instance_total(snapshot, Key(route.type or "", route.id), wish)
        if wish.at is not None:
            found, last = await current_at(snapshot, scope, page, wish.at[0])
            fitting = tuple(within(found.versions, page.bytes))
            if len(fitting) < len(found.versions):
                found, last = Versions(fitting, more=True), fitting[-1].address
        else:
            found = await snapshot.history(scope, page)
            last = found.versions[-1].address if found.versions else None
        again = await _created_again(snapshot, found.versions)
    given = {**wish.given, **dict(general(request))}
    steps = _steps(wish, found, last, log, head.number)
    base = f"{context.base}/{request.path.strip('/')}"
    links = [(relation, _url(base, {**given, **step})) for relation, step in (("self", {}), *steps)]
    entries = await _entries(context, found.versions, again)
    pieces = bundle("history", entries, id_=context.new_id(), micros=head.instant, total=total, links=links)
    return Response(200, {}, pieces)


def check_history(context: Context, request: Request) -> None:
    """Raise what a history would be refused for, whatever the state of the store."""
    _wish(context, request)


def public_log_id(log_id: str) -> str:
    """Return the name by which clients know a log; its identity itself signs page cursors and stays inside."""
    return sha256(b"log:" + log_id.encode()).hexdigest()[:16]


async def _instance_total(snapshot: Snapshot, key: Key, wish: _Wish) -> int | None:
    """Return how many versions a resource has, or None where only some are asked for. Raises ``NotFound``."""
    current = (await snapshot.read([key])).get(key)
    if current is None:
        raise NotFound(Issue(IssueType.NOT_FOUND, f"there is no {key}", ("http",), id="resource-unknown"))
    return None if wish.since is not None or wish.at is not None or wish.ascending else current.version


def _wish(context: Context, request: Request) -> _Wish:
    """Return what the parameters ask for. Raises ``BadRequest``."""
    given = known(request, PARAMETERS)
    if "_after" in given and len({"_since", "_at", "_page"} & given.keys()):
        raise _bad("_after", "goes with _count only")
    for name in ("_after", "_page"):
        if name in given and not _POSITION.fullmatch(given[name]) and (name, given[name]) != ("_after", START):
            raise _bad(name, "is not a value that this server gave")
    return _Wish(
        given,
        _count(context, given),
        since=_instants(context, "_since", given["_since"])[0] if "_since" in given else None,
        at=_instants(context, "_at", given["_at"]) if "_at" in given else None,
        after=given.get("_after") or given.get("_page"),
        ascending="_after" in given,
    )


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
    if text == START:
        return Address(0, _WHOLE)
    match = _POSITION.fullmatch(text)
    assert match is not None  # noqa: S101 - told by _wish
    number = int(match["number"])
    if match["log"] != log or number > head:
        told = f"{name} is a position of another log; read the whole again"
        raise Gone(Issue(IssueType.NOT_FOUND, told, (f"http.{name}",), id="log-position"))
    position = int(match["position"]) if match["position"] else _WHOLE
    if position > _WHOLE:
        raise _bad(name, "is not a position that this server gave")
    return Address(number, position)


def _steps(
    wish: _Wish, found: Versions, last: Address | None, log: str, head: int
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where the history goes on: the relation of the link, and the parameter that says it."""
    name = "_after" if wish.ascending else "_page"
    if found.more and last is not None:
        yield "next", {name: f"{log}.{last.number}.{last.position}"}
    elif wish.ascending and not found.more:
        # Nothing more now: only a whole commit gives a value to resume from.
        yield "resume", {name: f"{log}.{head}"}


def _url(base: str, given: dict[str, str]) -> str:
    query = "&".join(f"{name}={quote(value, safe=':.,+-')}" for name, value in given.items())
    return f"{base}?{query}" if query else base


async def _entries(context: Context, versions: Sequence[Stored], again: Container[tuple[Key, int]]) -> list[Entry]:
    """Return the entries of a page: how each version was made, and with which status."""
    pace, entries = Pace(is_read=True), []
    for stored in versions:
        is_new = stored.version == 1 or (stored.key, stored.version) in again
        entries.append(_entry(context, stored, "204" if stored.body is None else "201" if is_new else "200"))
        await pace.keep()
    return entries


async def _created_again(snapshot: Snapshot, versions: Sequence[Stored]) -> set[tuple[Key, int]]:
    """Return which versions came after a deletion: only an update can make such a one."""
    bodies = {(stored.key, stored.version): stored.body for stored in versions}
    updates = [(one.key, one.version) for one in versions if one.interaction is Interaction.UPDATE and one.version > 1]
    before = {(key, version - 1) for key, version in updates}
    deletions = {one for one in before & bodies.keys() if bodies[one] is None}
    if unknown := sorted(before - bodies.keys()):
        deletions |= await snapshot.deletions(unknown)
    return {(key, version) for key, version in updates if (key, version - 1) in deletions}


def _entry(context: Context, stored: Stored, status: str) -> Entry:
    method = METHODS[stored.interaction]
    url = stored.key.type if method == "POST" else str(stored.key)
    return Entry(
        context.url(stored.key),
        stored.body,
        request={"method": method, "url": url},
        response={"status": status, "etag": etag(stored.version), "lastModified": instant(stored.instant)},
    )


def _bad(name: str, text: str) -> BadRequest:
    return BadRequest(Issue(IssueType.VALUE, f"{name} {text}", (f"http.{name}",), id="parameter-value"))
