"""Two definitions of one code: found among thousands while others are served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.definitions.registry import Registry
from fhir_server.interactions.writing.clashes import refuse_clashes
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
