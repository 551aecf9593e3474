"""Resources made ready on the event loop and in a process: the same, and nothing lost when the process dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from time import thread_time

import pytest

from fhir_server.app import make_tools
from fhir_server.interactions import process
from fhir_server.interactions.draft import Draft, Raw
from fhir_server.interactions.preparing import HEAVY, WORTH_A_PROCESS, InProcesses, OnLoop, Prepares, weight
from fhir_server.interactions.process import NICENESS
from fhir_server.model.formats import serialize
from fhir_server.model.reference import Key
from fhir_server.settings import Settings

SETTINGS = Settings(types=("Organization", "Slot"))
TOOLS = make_tools(SETTINGS)


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
    return OnLoop()


@pytest.fixture
async def in_processes() -> AsyncIterator[InProcesses]:
    preparer = InProcesses(partial(make_tools, SETTINGS), 1)
    yield preparer
    preparer.close()


async def test_process_prepares_as_the_loop_does(on_loop: Prepares, in_processes: InProcesses) -> None:
    raw = organizations(WORTH_A_PROCESS + 7)
    ready = await in_processes.prepare(TOOLS, raw)
    assert ready == await on_loop.prepare(TOOLS, raw)
    assert in_processes.pids
    assert [isinstance(one, Draft) for one in ready[:4]] == [False, True, True, False]


async def test_few_resources_start_no_process(in_processes: InProcesses) -> None:
    assert len(await in_processes.prepare(TOOLS, organizations(WORTH_A_PROCESS - 1))) == WORTH_A_PROCESS - 1
    assert not in_processes.pids


async def test_one_heavy_resource_goes_to_the_process(on_loop: Prepares, in_processes: InProcesses) -> None:
    names = [f"Cabinet {place}" for place in range(HEAVY // 10)]
    raw = [Raw({"resourceType": "Organization", "name": "Cabinet", "alias": names}, Key("Organization", "o"), "")]
    ready = await in_processes.prepare(TOOLS, raw)
    assert in_processes.pids
    assert ready == await on_loop.prepare(TOOLS, raw)


def test_weight_is_near_the_length_and_stops_at_its_limit() -> None:
    value = {"name": [{"family": "Fictif", "given": ["Un", "Deux"]}] * 100, "active": True, "rank": 7}
    assert 0.7 < weight(value, 10**9) / len(serialize(value)) < 1.5
    assert 100 < weight(value, 100) < 1_500


async def test_bundle_survives_the_death_of_its_process(in_processes: InProcesses) -> None:
    raw = organizations(WORTH_A_PROCESS)
    before = await in_processes.prepare(TOOLS, raw)
    for pid in in_processes.pids:
        os.kill(pid, signal.SIGKILL)
    assert await in_processes.prepare(TOOLS, raw) == before


async def test_bundle_survives_a_process_that_hangs(in_processes: InProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = organizations(WORTH_A_PROCESS)
    before = await in_processes.prepare(TOOLS, raw)
    monkeypatch.setattr(process, "ANSWER_SECONDS", 0.2)
    for pid in in_processes.pids:
        os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(10):
        assert await in_processes.prepare(TOOLS, raw) == before


async def test_process_comes_back_after_its_death(in_processes: InProcesses) -> None:
    raw = organizations(WORTH_A_PROCESS)
    await in_processes.prepare(TOOLS, raw)
    (killed,) = in_processes.pids
    os.kill(killed, signal.SIGKILL)
    await in_processes.prepare(TOOLS, raw)
    await in_processes.prepare(TOOLS, raw)
    (another,) = in_processes.pids
    assert another != killed


async def test_process_that_cannot_start_is_not_tried_again(on_loop: Prepares, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    preparer = InProcesses(partial(make_tools, SETTINGS), 1)
    raw = organizations(3 * WORTH_A_PROCESS)
    assert await preparer.prepare(TOOLS, raw) == await on_loop.prepare(TOOLS, raw)
    monkeypatch.undo()
    assert await preparer.prepare(TOOLS, raw) == await on_loop.prepare(TOOLS, raw)
    assert not preparer.pids
    preparer.close()


async def test_process_stands_back_and_leaves_with_its_server(in_processes: InProcesses) -> None:
    await in_processes.prepare(TOOLS, organizations(WORTH_A_PROCESS))
    (pid,) = in_processes.pids
    assert os.getpriority(os.PRIO_PROCESS, pid) >= os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
    assert os.getsid(pid) != os.getsid(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    await in_processes.prepare(TOOLS, organizations(WORTH_A_PROCESS))
    assert in_processes.pids == [pid]
    in_processes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_heavy_resource_on_the_loop_leaves_it_to_others(on_loop: Prepares) -> None:
    names = [f"Cabinet {place}" for place in range(HEAVY // 2)]
    raw = Raw({"resourceType": "Organization", "name": "Cabinet", "alias": names}, Key("Organization", "o"), "")
    preparing = asyncio.ensure_future(on_loop.prepare(TOOLS, [raw]))
    longest, last = 0.0, thread_time()
    while not preparing.done():
        await asyncio.sleep(0)
        longest, last = max(longest, thread_time() - last), thread_time()
    assert isinstance((await preparing)[0], Draft)
    assert longest < 0.05


async def test_threads_prepare_as_one_does(on_loop: Prepares) -> None:
    heavy = [f"Cabinet {place}" for place in range(HEAVY // 10)]
    raw = [raw._replace(resource={**raw.resource, "alias": heavy}) for raw in organizations(6)]
    together = await asyncio.gather(*(on_loop.prepare(TOOLS, [one]) for one in raw))
    assert [one for part in together for one in part] == await on_loop.prepare(TOOLS, raw)


UNGUARDED = """
import asyncio, sys, tempfile
import httpx
from fhir_server.app import build
from fhir_server.settings import Settings

async def main():
    with tempfile.TemporaryDirectory() as folder:
        app = build(Settings(store=f"sqlite:{folder}/store.db", definitions=False))
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080/fhir/")
        async with app.router.lifespan_context(app), http:
            wish = {"request": {"method": "POST", "url": "Organization"}}
            body = {"resourceType": "Organization", "name": "Cabinet"}
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{**wish, "resource": body}] * 150}
            print((await http.post("", json=bundle)).status_code, len(app.state.service.context.preparer.pids))

asyncio.run(main())
"""


def test_script_needs_no_guard(tmp_path: Path) -> None:
    """``multiprocessing`` would run it again in each process that it starts."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    command = [sys.executable, str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment())
    assert (result.stdout, result.stderr) == ("200 1\n", "")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
