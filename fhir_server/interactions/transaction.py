"""transaction: all entries or none, in one commit. https://hl7.org/fhir/R4/http.html#trules

Deletions, then creates, then updates and patches, then reads by id are one plan: a read that fails fails the whole.
Searches and histories are parsed before the commit and answered after it, as operations are; a failure there is that
entry's own. An operation that changes something has no place in the order of a transaction, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from fhir_server.interactions.answer import answer
from fhir_server.interactions.bundles import Perform, Posted, alone, answered, posted, routed
from fhir_server.interactions.context import Context
from fhir_server.interactions.envelope import Envelope
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import if_none_match, preferences
from fhir_server.interactions.history import check_history
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.parameters import SHAPING, known, subsetting
from fhir_server.interactions.patch import patch_intent
from fhir_server.interactions.paths import located
from fhir_server.interactions.query_string import pairs
from fhir_server.interactions.read import respond, version_number
from fhir_server.interactions.routes import Route
from fhir_server.interactions.search import check_search
from fhir_server.interactions.single import create_intent, delete_intent, update_intent
from fhir_server.interactions.sizes import Budget
from fhir_server.interactions.writing.links import TransactionLinks
from fhir_server.interactions.writing.write import Intent, Lookup, Written, look_up, write_and_read
from fhir_server.model.bundle import Entry, bundle
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType
from fhir_server.search.criteria import SearchRequest
from fhir_server.storage.protocol import Stored

_I = Interaction
_ORDER: Final = {_I.DELETE: 0, _I.CREATE: 1, _I.UPDATE: 2, _I.PATCH: 2}
"""R4's processing order of what is written."""


@dataclass(slots=True)
class _Work:
    """The entries of a transaction by what becomes of them; numbers are their places in the request."""

    wishes: list[Posted] = field(default_factory=list)
    intents: list[tuple[int, Intent]] = field(default_factory=list)
    lookups: list[tuple[int, Lookup, SearchRequest | None]] = field(default_factory=list)
    later: list[int] = field(default_factory=list)


async def transaction(context: Context, request: Request, envelope: Envelope, perform: Perform) -> Response:
    """Return the transaction-response in request order, or raise the first refusal, nothing stored."""
    work = await _work(context, request, envelope)
    written, read = await _done(context, work)
    answers: dict[int, Entry] = {}
    pace, budget = Pace(), Budget(context.limits.answer_bytes)
    for (place, _, shape), stored in zip(work.lookups, read, strict=True):
        wish = work.wishes[place].request
        answers[place] = answered(wish, budget.grant(await respond(context, wish, shape, stored)))
        await pace.keep()
    for (place, _), one in zip(work.intents, written, strict=True):
        wish = _quiet(work.wishes[place].request)
        answers[place] = answered(wish, budget.take(answer(context, wish, one), is_read=False))
        await pace.keep()
    for place in work.later:
        later = work.wishes[place]
        answers[place] = await alone(_later(later, perform, budget), later.at, request.id)
    entries = [answers[place] for place in range(len(work.wishes))]
    pieces = bundle("transaction-response", entries, id_=context.new_id(), micros=context.clock())
    return Response(200, {}, pieces)


async def _work(context: Context, request: Request, envelope: Envelope) -> _Work:
    """Return what is to be done, writes in processing order; raise all that is wrong with the entries at once."""
    work = _Work()
    errors = [issue for place in sorted(envelope.faults) for issue in envelope.faults[place]]
    pace = Pace()
    for place, entry in enumerate(envelope.entries):
        if place in envelope.faults:
            continue
        try:
            wish = posted(context, request, entry, place)
            work.wishes.append(wish)
            _sort(context, work, place, wish, routed(context, wish))
        except FhirError as error:
            errors.extend(located(issue, f"Bundle.entry[{place}]") for issue in error.issues)
        await pace.keep()
    if errors:
        raise BadRequest(*errors)
    work.intents.sort(key=lambda item: (_ORDER[item[1].interaction], item[0]))
    _refuse_linked_criteria(work)
    return work


def _sort(context: Context, work: _Work, place: int, wish: Posted, asked: Route) -> None:
    """Put one entry where it belongs. Raises what its request is refused for."""
    if asked.interaction in _ORDER:
        intent = _INTENTS[asked.interaction](context, wish.request, asked)
        work.intents.append((place, replace(intent, full_url=wish.full_url, at=wish.at)))
    elif asked.interaction in {Interaction.READ, Interaction.VREAD}:
        shape = subsetting(context, wish.request, asked.type or "")
        if_none_match(wish.request.headers)
        version = version_number(asked) if asked.interaction is Interaction.VREAD else None
        key = Key(asked.type or "", asked.id or "")
        work.lookups.append((place, Lookup(key, version, wish.at), shape))
    else:
        _CHECKS[asked.interaction](context, wish.request, asked)
        work.later.append(place)


_INTENTS: Final[dict[Interaction, Callable[[Context, Request, Route], Intent]]] = {
    _I.CREATE: create_intent,
    _I.UPDATE: lambda _context, request, route: update_intent(request, route),
    _I.DELETE: lambda _context, request, route: delete_intent(request, route),
    _I.PATCH: patch_intent,
}

_CHECKS: Final[dict[Interaction, Callable[[Context, Request, Route], object]]] = {
    _I.SEARCH_TYPE: check_search,
    _I.SEARCH_SYSTEM: check_search,
    _I.HISTORY_INSTANCE: lambda context, request, _route: check_history(context, request),
    _I.HISTORY_TYPE: lambda context, request, _route: check_history(context, request),
    _I.HISTORY_SYSTEM: lambda context, request, _route: check_history(context, request),
    _I.CAPABILITIES: lambda _context, request, _route: known(request, ("mode", *SHAPING)),
    _I.OPERATION: lambda _context, _request, route: _refuse_change(route),
}
"""What can be told of reads that are answered after the commit, before it."""


def _refuse_change(route: Route) -> None:
    """Refuse an operation that changes something: R4's order knows none, and it could not be undone with the rest."""
    if not route.is_read:
        told = "an operation that changes something cannot stand in a transaction; send it alone, or in a batch"
        raise BadRequest(Issue(IssueType.NOT_SUPPORTED, told, id="transaction-operation"))


def _refuse_linked_criteria(work: _Work) -> None:
    """Refuse criteria that name an entry by its ``urn:``: they would find nothing, and create what exists."""
    urns = frozenset(wish.full_url for wish in work.wishes if wish.full_url and wish.full_url.startswith("urn:"))
    issues = []
    for place, intent in work.intents:
        values = [value for _, value in pairs(intent.criteria or "")]
        if any(text in urns for value in values for text in _URN.findall(value)):
            path = f"Bundle.entry[{place}].request"
            told = "criteria cannot name another entry of the transaction"
            issues.append(Issue(BadRequest.code, told, (path,), id="criteria-urn"))
    if issues:
        raise BadRequest(*issues)


_URN: Final = re.compile(r"urn:[^,|$\\]+")


async def _done(context: Context, work: _Work) -> tuple[list[Written], list[Stored]]:
    lookups = [lookup for _, lookup, _ in work.lookups]
    if work.intents:
        return await write_and_read(context, [intent for _, intent in work.intents], TransactionLinks(), lookups)
    async with context.store.snapshot() as snapshot:
        return [], await look_up(snapshot, lookups, {}, context.limits.answer_bytes)


async def _later(wish: Posted, perform: Perform, budget: Budget) -> Entry:
    """Answer a search or history of the transaction's result."""
    budget.demand()
    return answered(wish.request, budget.take(await perform(wish.request), is_read=True))


def _quiet(request: Request) -> Request:
    """Entries of a transaction answer without the resource unless the client asks for it."""
    if preferences(request.headers).returns is not None:
        return request
    return replace(request, headers={**request.headers, "prefer": "return=minimal"})
