"""Whether what is to be written conforms to the profiles that are demanded; see ``interactions.profiles``.

The definitions that were used are confirmed at the head of the log like everything else that was looked at.
Spec: https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from fhir_server.definitions.library import Library, split
from fhir_server.interactions.context import Context
from fhir_server.interactions.library import consult_each
from fhir_server.interactions.paths import located
from fhir_server.interactions.profiles import written
from fhir_server.interactions.writing.conditional import LISTED, Question, Wish, ask
from fhir_server.interactions.writing.intents import Prepared
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue, Unprocessable
from fhir_server.search.query import Equal
from fhir_server.storage.protocol import Snapshot


async def demand_profiles(context: Context, prepared: Prepared) -> None:
    """Add remarks to what is prepared, and the versions of the definitions used. Raises ``Unprocessable``."""
    places = []
    works: list[Callable[[Library], list[Issue]]] = []
    size = 0
    for place, step in enumerate(prepared.steps):
        if step.resource is None or step.draft is None or step.by_rule:
            continue
        if context.demands.concern(step.resource):
            places.append(place)
            works.append(partial(_told, context, step.resource))
            size = max(size, len(step.draft.after))
    if not places:
        return
    kind = ",".join(sorted({prepared.steps[place].intent.type for place in places}))
    async with context.store.snapshot() as snapshot:
        consulted = await consult_each(context, snapshot, works, size, context.shelf.ahead(kind))
        prepared.questions += await _editions(context, snapshot)
    context.shelf.remember(kind, consulted.asked)
    if context.demands.may_refuse:
        prepared.versions.update(consulted.versions)
    _tell(prepared, places, consulted.answer)


async def _editions(context: Context, snapshot: Snapshot) -> list[Question]:
    """Return which StructureDefinitions have the URLs that are demanded: a new one may be the one that counts."""
    urls = tuple(sorted({split(one.profile)[0] for one in context.demands.profiles}))
    if not urls or "StructureDefinition" not in context.registry.types:
        return []
    return [await ask(snapshot, Wish("StructureDefinition", Equal("url", urls), len(urls) * LISTED))]


def _told(context: Context, resource: Resource, library: Library) -> list[Issue]:
    return written(context.registry.structures, library, resource, context.demands)


def _tell(prepared: Prepared, places: Sequence[int], told: Sequence[Sequence[Issue]]) -> None:
    errors: list[Issue] = []
    for place, issues in zip(places, told, strict=True):
        step = prepared.steps[place]
        found = [located(issue, step.intent.at) for issue in issues]
        errors += [issue for issue in found if issue.is_error]
        prepared.steps[place] = replace(step, remarks=(*step.remarks, *found))
    if errors:
        raise Unprocessable(*errors)
