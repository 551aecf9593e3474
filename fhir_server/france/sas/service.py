"""The service behind a SAS base path: the interactions of its actors, answered as the national guide demands.

One searchset page, its one link the request as it was understood; resources under the guide's profiles; anything that
the actors do not do is 405. Source: https://interop.esante.gouv.fr/ig/fhir/sas/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from fhir_server.france import regulators
from fhir_server.france.sas import received
from fhir_server.france.sas.accounts import AccountsAlone, as_account
from fhir_server.france.sas.actors import is_served, statement
from fhir_server.france.sas.asked import (
    TYPES,
    Pairs,
    check,
    check_types,
    in_paris_time,
    r4_name,
    slots_of_agendas,
    spoken,
    written,
)
from fhir_server.france.sas.base import Actor, SasBase
from fhir_server.france.sas.received import ReceivedAppointments
from fhir_server.france.sas.view import GuideView
from fhir_server.france.vocabulary import PARIS
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.parameters import SHAPING, known
from fhir_server.interactions.query_string import form, pairs
from fhir_server.interactions.read import present, respond
from fhir_server.interactions.routes import Route, route
from fhir_server.interactions.rules import Rule
from fhir_server.interactions.search import find
from fhir_server.interactions.single import create, parsed, update, with_resource
from fhir_server.model.bundle import Entry, bundle
from fhir_server.model.formats import Resource, serialize
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Issue, IssueType, MethodNotAllowed, Unprocessable
from fhir_server.search.criteria import SearchRequest
from fhir_server.search.request import parse_search
from fhir_server.service import Service
from fhir_server.storage.protocol import Stored

_METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


@dataclass(frozen=True, slots=True)
class SasLimits:
    """``results``: matches of one answer. ``identifiers``: those of one request."""

    results: int = 10_000
    identifiers: int = 100


class SasService(Service):
    """One SAS base path of a running server."""

    def __init__(
        self, service: Service, base: SasBase, url: str, limits: SasLimits, view: GuideView | None = None
    ) -> None:
        """``url`` is the base URL as it is written to clients; those of ``service`` are still ours in references."""
        context = service.context
        super().__init__(
            replace(
                context,
                bases=(url, *(other for other in context.bases if other != url)),
                zone=PARIS,
                refuse_unknown_codes=True,
                meant=_meant,
                rules=(*_rules(base), *context.rules),
                limits=replace(context.limits, page_default=limits.results, page_maximum=limits.results),
            )
        )
        self._service, self._base, self._limits = service, base, limits
        self._view = view or GuideView(base.version)

    def at(self, base: str) -> SasService:
        """Return the same service for clients who use another base URL."""
        return SasService(self._service, self._base, base, self._limits, self._view)

    def methods(self, path: str) -> str:
        """Return the methods that a path has here."""
        super().methods(path)
        return ", ".join(sorted({*self._served(path), "OPTIONS"}))

    def _served(self, path: str) -> list[str]:
        registry, served = self.context.registry, []
        for method in _METHODS:
            try:
                found = route(method, path, registry)
            except MethodNotAllowed:
                continue
            if is_served(self._base, found.interaction, found.type):
                served.append(method)
        return served

    async def answer(self, context: Context, request: Request) -> Response:
        """Return the answer to what one of the actors may be asked. Raises ``MethodNotAllowed`` for anything else."""
        found = route(request.method, request.path, context.registry)
        if not is_served(self._base, found.interaction, found.type):
            raise self._not_here(request)
        match found.interaction:
            case Interaction.CAPABILITIES:
                _refuse_other_mode(known(request, ("mode", *SHAPING)).get("mode", "full"))
                return Response(200, {}, (serialize(statement(self._base, context.base)),))
            case Interaction.READ:
                return await self._read(context, request, found)
            case Interaction.SEARCH_TYPE:
                return await self._search(context, request, found)
            case Interaction.CREATE:
                self._check_criteria(context, request.headers.get("if-none-exist", ""))
                return await create(context, await _received(context, request, found), found)
            case _:
                spelled = _spelled(request)
                self._check_criteria(context, spelled.query)
                return await update(context, await _received(context, spelled, found), found)

    def _check_criteria(self, context: Context, criteria: str) -> None:
        """Raise ``BadRequest`` for criteria of a write that are not the guide's, or could mean anybody."""
        found = pairs(criteria)
        check_types(found)
        check(found, self._limits.identifiers, context.registry.aliases.system)

    def _not_here(self, request: Request) -> MethodNotAllowed:
        allow = self.methods(request.path)
        told = (
            f"{request.method} on this path is not part of the SAS; possible are {allow}. The whole server is elsewhere"
        )
        issue = Issue(IssueType.NOT_SUPPORTED, told, ("http",), id="method-not-allowed")
        return MethodNotAllowed(issue, headers={"Allow": allow})

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, context: Context, request: Request, found: Route) -> Response:
        known(request, SHAPING)
        key = Key(found.type or "", found.id or "")
        stored = present(key, await context.store.read(key))
        (body,) = await self._view.bodies(context, [stored])
        return await respond(context, request, None, stored._replace(body=body))

    async def _search(self, context: Context, request: Request, found: Route) -> Response:
        given = pairs(request.query)
        posted = form(request.body) if request.method == "POST" else []
        named = [(r4_name(name), value) for name, value in (*given, *posted)]
        asked = in_paris_time(named) if self._base.is_local_time else named
        check_types(asked)
        check(asked, self._limits.identifiers, context.registry.aliases.system)
        shared = slots_of_agendas(asked) if found.type == "Schedule" else None
        if shared is None:
            matches, extra = await self._found(context, found.type or "", asked)
        else:
            slots, rest = await self._found(context, "Slot", shared.pairs)
            matches = [stored for stored in rest if stored.key.type == "Schedule"]
            extra = [*(slots if shared.is_with_slots else ()), *(one for one in rest if one.key.type != "Schedule")]
        query = "&".join(part for part in (spoken(request.query), written(posted)) if part)
        link = f"{context.base}/{found.type}" + (f"?{query}" if query else "")
        return await self._searchset(context, matches, extra, link)

    async def _found(self, context: Context, type_: str, asked: Pairs) -> tuple[Sequence[Stored], Sequence[Stored]]:
        """Return all matches of a search and what they include. Raises ``Unprocessable`` for too many."""
        wish = _wish(context, type_, asked)
        found = await find(context, Route(Interaction.SEARCH_TYPE, type_), wish)
        if found.matches.more:
            told = f"more than {self._limits.results} resources match; ask for a smaller window, or of fewer at once"
            raise Unprocessable(Issue(IssueType.TOO_COSTLY, told, ("http",), id="sas-results"))
        matches = [match.stored for match in found.matches.matches]
        included = [stored for stored in found.included if stored.key.type in TYPES]
        return matches, self._without_strays(context, matches, included)

    def _without_strays(
        self, context: Context, matches: Sequence[Stored], included: Sequence[Stored]
    ) -> Sequence[Stored]:
        """Return what rides along without places that are no agenda's own: a professional's are inside of roles."""
        agendas = [stored for stored in (*matches, *included) if stored.key.type == "Schedule"]
        if not agendas or all(stored.key.type != "Location" for stored in included):
            return included
        whose = self._view.whose(context, agendas)
        return [stored for stored in included if stored.key.type != "Location" or stored.key in whose]

    async def _searchset(
        self, context: Context, matches: Sequence[Stored], extra: Sequence[Stored], link: str
    ) -> Response:
        bodies = await self._view.bodies(context, [*matches, *extra])
        modes = ["match"] * len(matches) + ["include"] * len(extra)
        entries = [
            Entry(context.url(stored.key), body, mode)
            for stored, body, mode in zip((*matches, *extra), bodies, modes, strict=True)
        ]
        now = context.clock()
        pieces = bundle(
            "searchset", entries, id_=context.new_id(), micros=now, total=len(matches), links=[("self", link)]
        )
        return Response(200, {}, pieces)


def _rules(base: SasBase) -> tuple[Rule, ...]:
    rules: dict[Actor, Rule] = {Actor.RDV: ReceivedAppointments(base.version), Actor.STRUCTURE: AccountsAlone()}
    return tuple(rule for actor, rule in rules.items() if actor in base.actors)


def _meant(sent: Resource, matches: Sequence[Stored]) -> Sequence[Key]:
    """Return which of the matches of its criteria a conditional update of the platform means."""
    return received.meant(matches) if sent.get("resourceType") == "Appointment" else regulators.meant(sent, matches)


async def _received(context: Context, request: Request, found: Route) -> Request:
    """Return a write with what it writes: a Practitioner is an account. Raises what ``parsed`` does."""
    if found.type != "Practitioner":
        return request
    request = await with_resource(context, request)
    return replace(request, resource=as_account(parsed(request, "Practitioner")))


def _spelled(request: Request) -> Request:
    """Return an update with its criteria as R4 spells them."""
    parts = (part.partition("=") for part in request.query.split("&"))
    return replace(request, query="&".join(r4_name(name) + equals + value for name, equals, value in parts))


def _wish(context: Context, type_: str, asked: Pairs) -> SearchRequest:
    """Return what a search asks, whole resources and one page. Raises ``BadRequest``, also for what a client would have
    ignored: an answer of the guide has no place to tell of it."""
    for name, _ in asked:
        if name in {"_summary", "_elements", "_total"}:
            told = f"{name} is not part of the SAS; answers here are whole"
            raise BadRequest(Issue(IssueType.NOT_SUPPORTED, told, (f"http.{name}",), id="sas-parameter"))
    wish = parse_search(
        context.registry,
        (type_,),
        asked,
        refuse_unknown_codes=context.refuse_unknown_codes,
    )
    return replace(wish, count=None, total=None)


def _refuse_other_mode(mode: str) -> None:
    """Raise ``BadRequest`` for a statement that a SAS base path has not: that of terminologies, or none of R4."""
    if mode not in _MODES:
        told = f"mode must be one of {', '.join(_MODES)}"
        raise BadRequest(Issue(IssueType.VALUE, told, ("http.mode",), id="parameter-value"))


_MODES: Final = ("full", "normative")
"""Of the CapabilityStatement; they are the same."""
