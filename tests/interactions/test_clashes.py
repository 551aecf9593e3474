"""Two definitions of one code: found among thousands while others are served."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.definitions.installed import Installed, active_parameters
from fhir_server.definitions.registry import Registry
from fhir_server.interactions.writing.clashes import MOST, refuse_clashes
from fhir_server.interactions.writing.intents import Intent, Step
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict


def step(id: str, code: str) -> Step:
    resource: dict[str, Any] = {
        "resourceType": "SearchParameter",
        "url": f"https://example.org/SearchParameter/{id}",
        "status": "active",
        "code": code,
        "base": ["Slot"],
        "type": "string",
        "expression": "Slot.comment",
    }
    intent = Intent(Interaction.UPDATE, "SearchParameter", id, resource=resource, at=f"Bundle.entry[{id[1:]}]")
    return Step(intent, (Key("SearchParameter", id),))


async def test_others_run_while_many_definitions_are_compared() -> None:
    registry = Registry.load()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    steps = [step(f"d{place}", f"code-{place % 999}") for place in range(1000)]
    with pytest.raises(Conflict) as refused:
        await refuse_clashes(registry, steps)
    counting.cancel()
    (issue,) = refused.value.issues
    assert issue.expression == ("Bundle.entry[999].resource.code",)
    assert turns > 3


async def test_a_type_has_no_more_definitions_than_are_evaluated_in_a_write() -> None:
    registry = Registry.load()
    await refuse_clashes(registry, [step(f"d{place}", f"code-{place}") for place in range(MOST)])
    with pytest.raises(Conflict) as refused:
        await refuse_clashes(registry, [step(f"d{place}", f"code-{place}") for place in range(MOST + 1)])
    (issue,) = refused.value.issues
    assert issue.id == "search-parameter-bound"
    assert issue.expression == (f"Bundle.entry[{MOST}].resource.base",)
    assert f"number {MOST + 1} of Slot" in issue.diagnostics


async def test_what_was_too_many_before_there_was_a_bound_can_be_changed_but_not_added_to() -> None:
    steps = [step(f"d{place}", f"code-{place}") for place in range(MOST + 5)]
    stored = [replace(one, id=each.keys[0].id) for each in steps for one in active_parameters(each.resource)]
    registry = Registry.load().with_installed(Installed(1, tuple(stored)))
    await refuse_clashes(registry, steps[:1])
    with pytest.raises(Conflict):
        await refuse_clashes(registry, [step("d999", "code-999")])


async def test_what_finds_what_that_of_a_guide_does_clashes_with_nothing() -> None:
    (ours,) = active_parameters(step("d1", "code-1").resource)
    (taken,) = active_parameters(step("d2", "code-1").resource)
    registry = Registry.load().with_installed(Installed(1, (replace(taken, id="d2", expression="Slot.id"),)))
    with pytest.raises(Conflict):
        await refuse_clashes(registry, [step("d1", "code-1")])
    await refuse_clashes(registry.with_parameters([replace(ours, id="")], 1), [step("d1", "code-1")])
