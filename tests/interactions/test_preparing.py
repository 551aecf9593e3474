"""Resources made ready on the event loop and in a process: the same, and nothing lost when the process dies."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from functools import partial

import pytest

from fhir_server.app import make_tools
from fhir_server.interactions.draft import Draft
from fhir_server.interactions.preparing import HEAVY, WORTH_A_PROCESS, InProcesses, OnLoop, Prepares, Raw, weight
from fhir_server.model.formats import serialize
from fhir_server.model.reference import Key
from fhir_server.settings import Settings

SETTINGS = Settings(types=("Organization", "Slot"))


def organizations(count: int) -> list[Raw]:
    """Every third one lacks both name and identifier (org-1), every third has a narrative that is refused."""
    return [
        Raw(
            {"resourceType": "Organization", **({} if place % 3 == 0 else {"name": f"Cabinet {place}"})},
            Key("Organization", f"o{place}"),
            f"Bundle.entry[{place}]",
        )
        for place in range(count)
    ]


@pytest.fixture(scope="module")
def on_loop() -> Prepares:
    return OnLoop(make_tools(SETTINGS))


@pytest.fixture
async def in_processes() -> AsyncIterator[InProcesses]:
    preparer = InProcesses(make_tools(SETTINGS), partial(make_tools, SETTINGS), 1)
    yield preparer
    preparer.close()


async def test_process_prepares_as_the_loop_does(on_loop: Prepares, in_processes: InProcesses) -> None:
    raw = organizations(WORTH_A_PROCESS + 7)
    ready = await in_processes.prepare(raw)
    assert ready == await on_loop.prepare(raw)
    assert in_processes.pids
    assert [isinstance(one, Draft) for one in ready[:4]] == [False, True, True, False]


async def test_few_resources_start_no_process(in_processes: InProcesses) -> None:
    assert len(await in_processes.prepare(organizations(WORTH_A_PROCESS - 1))) == WORTH_A_PROCESS - 1
    assert not in_processes.pids


async def test_one_heavy_resource_goes_to_the_process(on_loop: Prepares, in_processes: InProcesses) -> None:
    names = [f"Cabinet {place}" for place in range(HEAVY // 10)]
    raw = [Raw({"resourceType": "Organization", "name": "Cabinet", "alias": names}, Key("Organization", "o"), "")]
    ready = await in_processes.prepare(raw)
    assert in_processes.pids
    assert ready == await on_loop.prepare(raw)


def test_weight_is_near_the_length_and_stops_at_its_limit() -> None:
    value = {"name": [{"family": "Fictif", "given": ["Un", "Deux"]}] * 100, "active": True, "rank": 7}
    assert 0.7 < weight(value, 10**9) / len(serialize(value)) < 1.5
    assert 100 < weight(value, 100) < 1_500


async def test_bundle_survives_the_death_of_its_process(in_processes: InProcesses) -> None:
    raw = organizations(WORTH_A_PROCESS)
    before = await in_processes.prepare(raw)
    for pid in in_processes.pids:
        os.kill(pid, signal.SIGKILL)
    assert await in_processes.prepare(raw) == before
