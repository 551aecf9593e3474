"""What the rules of guides make of the steps of a write. See ``interactions.rules``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fhir_server.interactions.context import Context
from fhir_server.interactions.paths import located
from fhir_server.interactions.rules import Asked, Rule, Ruling
from fhir_server.interactions.writing.intents import Intent, Prepared, Step
from fhir_server.model.formats import Resource
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Snapshot


def concerned(context: Context, types: frozenset[str]) -> tuple[Rule, ...]:
    """Return the rules that writes of some types concern."""
    return tuple(rule for rule in context.rules if not rule.concerns.isdisjoint(types))


async def follow(rules: tuple[Rule, ...], snapshot: Snapshot, prepared: Prepared) -> None:
    """Have each rule change what is prepared, one after the other; raise the first refusal."""
    for rule in rules:
        ruling = await rule.prepare(snapshot, list(_asked(prepared)))
        if ruling is not None:
            _take(ruling, prepared)


def _asked(prepared: Prepared) -> Iterator[Asked]:
    for step in prepared.steps:
        intent = step.intent
        for key in step.writes:
            yield Asked(key, step.resource, intent.interaction, intent.at, intent.criteria is not None)


def _take(ruling: Ruling, prepared: Prepared) -> None:
    prepared.versions.update(ruling.versions)
    if ruling.at_head is not None:
        prepared.at_head.append(ruling.at_head)
    places = {key: place for place, step in enumerate(prepared.steps) for key in step.writes}
    for key, remark in ruling.keep.items():
        place = places.pop(key)
        step = prepared.steps[place]
        others = tuple(other for other in step.keys if other != key)
        remarks = (*step.remarks, located(remark, step.intent.at))
        prepared.steps[place] = replace(step, keys=others, remarks=remarks)
    for key, resource in ruling.put.items():
        if key in places:
            step = prepared.steps[places[key]]
            prepared.steps[places[key]] = replace(step, intent=replace(step.intent, resource=resource))
        else:
            prepared.steps.append(_added(key, resource, ruling.versions[key]))


def _added(key: Key, resource: Resource, version: int | None) -> Step:
    return Step(Intent(Interaction.UPDATE, key.type, resource=resource), (key,), version=version, by_rule=True)
