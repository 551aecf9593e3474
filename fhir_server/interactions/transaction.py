"""transaction: all entries or none, in one commit. https://hl7.org/fhir/R4/http.html#trules

Deletions, then creates, then updates and patches are one plan; reads see its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from fhir_server.interactions.answer import answer
from fhir_server.interactions.batch import Perform
from fhir_server.interactions.bundles import Posted, answered, posted, refused, routed
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.links import TransactionLinks
from fhir_server.interactions.patch import patch_intent
from fhir_server.interactions.routes import Route
from fhir_server.interactions.single import create_intent, delete_intent, update_intent
from fhir_server.interactions.write import Intent, write
from fhir_server.model.bundle import Entry, bundle
from fhir_server.model.interaction import Interaction
from fhir_server.outcome import BadRequest, FhirError, Issue

_I = Interaction
_ORDER: Final = {_I.DELETE: 0, _I.CREATE: 1, _I.UPDATE: 2, _I.PATCH: 2}
"""R4's processing order of what is written."""


async def transaction(context: Context, request: Request, entries: Sequence[Any], perform: Perform) -> Response:
    """Return the transaction-response in request order, or raise the first refusal, nothing stored."""
    wishes = _wishes(context, request, entries)
    intents, places = _intents(context, wishes)
    answers: dict[int, Entry] = {}
    if intents:
        done = await write(context, intents, TransactionLinks())
        for place, written in zip(places, done, strict=True):
            answers[place] = answered(context, answer(context, _quiet(wishes[place][0].request), written))
    for index, (wish, found) in enumerate(wishes):
        if found.interaction not in _ORDER:
            answers[index] = await _read(context, wish, perform)
    pieces = bundle(
        "transaction-response",
        [answers[index] for index in range(len(wishes))],
        id_=context.new_id(),
        micros=context.clock(),
    )
    return Response(200, {}, pieces)


def _wishes(context: Context, request: Request, entries: Sequence[Any]) -> list[tuple[Posted, Route]]:
    """Return each entry with what it asks; raise all that is wrong with their requests at once."""
    wishes: list[tuple[Posted, Route]] = []
    errors: list[Issue] = []
    for index, entry in enumerate(entries):
        try:
            wish = posted(context, request, entry, index)
            wishes.append((wish, routed(context, wish)))
        except FhirError as error:
            errors.extend(_at(issue, f"Bundle.entry[{index}].request") for issue in error.issues)
    if errors:
        raise BadRequest(*errors)
    return wishes


def _intents(context: Context, wishes: Sequence[tuple[Posted, Route]]) -> tuple[list[Intent], list[int]]:
    """Return what is to be written, in processing order, and the place of each in the request."""
    found: list[tuple[int, int, Intent]] = []
    errors: list[Issue] = []
    for index, (wish, asked) in enumerate(wishes):
        if asked.interaction not in _ORDER:
            continue
        try:
            intent = _intent(context, wish, asked)
        except BadRequest as error:
            errors.extend(_at(issue, wish.at) for issue in error.issues)
            continue
        found.append((_ORDER[asked.interaction], index, replace(intent, full_url=wish.full_url)))
    if errors:
        raise BadRequest(*errors)
    found.sort(key=lambda item: item[:2])
    return [intent for _, _, intent in found], [index for _, index, _ in found]


def _intent(context: Context, wish: Posted, asked: Route) -> Intent:
    match asked.interaction:
        case Interaction.CREATE:
            return create_intent(context, wish.request, asked, wish.at)
        case Interaction.UPDATE:
            return update_intent(context, wish.request, asked, wish.at)
        case Interaction.PATCH:
            return patch_intent(context, wish.request, asked, wish.at)
        case Interaction.DELETE:
            return delete_intent(context, wish.request, asked, wish.at)
    raise BadRequest(f"{asked.interaction.value} cannot stand in a transaction")


async def _read(context: Context, wish: Posted, perform: Perform) -> Entry:
    """Answer a read of the transaction's result."""
    try:
        return answered(context, await perform(wish.request))
    except FhirError as error:
        return refused(error)


def _quiet(request: Request) -> Request:
    """Entries of a transaction answer without the resource unless the client asks for it."""
    if "return=" in request.headers.get("prefer", ""):
        return request
    return replace(request, headers={**request.headers, "prefer": "return=minimal"})


def _at(issue: Issue, at: str) -> Issue:
    """Return an issue whose path leads into the Bundle."""
    if any(path.startswith("Bundle.") for path in issue.expression):
        return issue
    paths = tuple(f"{at}.resource.{path.partition('.')[2]}" if "." in path else at for path in issue.expression)
    return replace(issue, expression=paths or (at,))
