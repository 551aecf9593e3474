"""Whether what is to be written conforms to the profiles that are demanded; see ``interactions.profiles``.

The definitions that were used are confirmed at the head of the log like everything else that was looked at.
Spec: https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_server.definitions.library import Library
from fhir_server.interactions.context import Context
from fhir_server.interactions.library import consult
from fhir_server.interactions.paths import located
from fhir_server.interactions.profiles import written
from fhir_server.interactions.writing.intents import Prepared
from fhir_server.outcome import Issue, Unprocessable


async def demand_profiles(context: Context, prepared: Prepared) -> None:
    """Add remarks to what is prepared, and the versions of the definitions used. Raises ``Unprocessable``."""
    places = [
        place
        for place, step in enumerate(prepared.steps)
        if step.resource is not None and context.demands.concern(step.resource)
    ]
    if not places:
        return
    resources = [prepared.steps[place].resource or {} for place in places]
    size = sum(len(draft.after) for place in places if (draft := prepared.steps[place].draft) is not None)
    structures, demands = context.registry.structures, context.demands

    def work(library: Library) -> list[list[Issue]]:
        return [written(structures, library, resource, demands) for resource in resources]

    async with context.store.snapshot() as snapshot:
        consulted = await consult(context, snapshot, work, size)
    prepared.versions.update(consulted.versions)
    _tell(prepared, places, consulted.answer)


def _tell(prepared: Prepared, places: Sequence[int], told: Sequence[Sequence[Issue]]) -> None:
    errors: list[Issue] = []
    for place, issues in zip(places, told, strict=True):
        step = prepared.steps[place]
        found = [located(issue, step.intent.at) for issue in issues]
        errors += [issue for issue in found if issue.is_error]
        prepared.steps[place] = replace(step, remarks=(*step.remarks, *found))
    if errors:
        raise Unprocessable(*errors)
