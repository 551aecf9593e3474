"""Definitions that change while processes serve: each process follows, and a reindex survives whoever does it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.app import open_engine
from fhir_server.interactions.exchange import Request
from fhir_server.maintenance import reindexing as loop
from fhir_server.maintenance.backup import backup
from fhir_server.maintenance.check import check
from fhir_server.maintenance.restore import restore, verify
from fhir_server.outcome import Conflict
from fhir_server.service import Service
from fhir_server.storage.protocol import Store
from tests.cancelling import kept
from tests.command import run
from tests.maintenance.conftest import START, Json, Place, get, put, unindex
from tests.rounds import FULL

ROOT = Path(__file__).parent.parent.parent
URL = "https://example.org/fictif/SearchParameter/colour"
MANY = 2_000 if FULL else 600
ROUNDS = 10 if FULL else 1


def parameter(**more: Any) -> Json:
    return {
        "resourceType": "SearchParameter",
        "id": "colour",
        "url": URL,
        "name": "Fictif",
        "status": "active",
        "description": "Fictif",
        "code": "colour",
        "base": ["Practitioner"],
        "type": "string",
        "expression": f"Practitioner.extension.where(url='{URL}').value",
        **more,
    }


def practitioner(number: int, colour: str = "Red") -> Json:
    extension = [{"url": URL, "valueString": colour}]
    return {"resourceType": "Practitioner", "id": f"p{number}", "extension": extension}


async def fill(service: Service, count: int) -> None:
    entries = [
        {"resource": practitioner(number), "request": {"method": "PUT", "url": f"Practitioner/p{number}"}}
        for number in range(count)
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    await service.perform(Request("POST", "", resource=bundle))


async def problems(service: Service) -> list[str]:
    told: list[str] = []
    report = await check(service.context, tell=told.append)
    assert report.waiting == 0
    return told


def command(place: Place, *words: str) -> list[str]:
    return [sys.executable, "-m", "fhir_server", *words, "--store", place.url()]


@contextmanager
def served(place: Place) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Serve the store of a place; yield the process, and a client that opens a connection for each request."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    process = subprocess.Popen(
        command(place, "serve", "--port", "0", "--log-level", "error", "--no-definitions"),
        cwd=place.folder,
        env=kept | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        base = process.stdout.readline().rsplit(" ", 1)[1].strip()
        with httpx.Client(base_url=base + "/", timeout=30, headers={"Connection": "close"}) as client:
            yield process, client
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def answered(client: httpx.Client, query: str) -> Json:
    """Ask until the parameter is indexed: before that, nothing but that may be said."""
    deadline = time.monotonic() + 60
    while True:
        answer = client.get(query)
        if answer.status_code == 200:
            found: Json = answer.json()
            return found
        assert "being reindexed" in answer.text
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def indexed(store: Store) -> int:
    """Return how many practitioners newer definitions than the first have indexed."""
    async with store.snapshot() as snapshot:
        return MANY - len(await snapshot.outdated("Practitioner", 1, MANY))


async def test_each_process_follows_what_another_one_defines(place: Place) -> None:
    """No answer of either process, from the moment of the commit, is one of before it; and then of its end."""
    async with place.open() as service:
        await fill(service, 60)
    with served(place) as (_, one), served(place) as (_, other):
        for writer, reader in ((one, other), (other, one)):
            assert "is not a search parameter" in reader.get("Practitioner?colour=red").text
            written = writer.put("SearchParameter/colour", json=parameter())
            assert written.is_success, written.text
            for client in (reader, writer):
                assert answered(client, "Practitioner?colour=red&_summary=count")["total"] == 60
            statement = reader.get("metadata").json()
            parameters = [
                one["searchParam"] for one in statement["rest"][0]["resource"] if one["type"] == "Practitioner"
            ]
            assert URL in [one["definition"] for one in parameters[0]]
            reader.put("Practitioner/p0", json=practitioner(0, "Blue")).raise_for_status()
            assert answered(writer, "Practitioner?colour=red&_summary=count")["total"] == 59
            reader.put("Practitioner/p0", json=practitioner(0)).raise_for_status()
            assert writer.delete("SearchParameter/colour").status_code == 204
            assert "is not a search parameter" in reader.get("Practitioner?colour=red").text
            refused = reader.post("Practitioner", json=practitioner(0), headers={"If-None-Exist": "colour=red"})
            assert refused.status_code == 400


async def test_servers_that_define_at_once_keep_codes_apart(place: Place) -> None:
    async def define(service: Service, first: int) -> list[str]:
        told = []
        for number in range(first, 20, 2):
            try:
                await put(service, parameter(id=f"s{number}", url=f"{URL}-{number}"))
            except Conflict as error:
                told.append(str(error.issues[0].id))
            else:
                told.append("created")
        return told

    async with place.open() as one, place.open() as other:
        told = await asyncio.gather(define(one, 0), define(other, 1))
    assert sorted(chain(*told)) == ["created"] + ["search-parameter-clash"] * 19


@pytest.mark.torture
async def test_killed_reindex_goes_on_where_it_was(place: Place) -> None:
    async with place.open() as service:
        await fill(service, MANY)
    with served(place) as (process, client):
        assert client.put("SearchParameter/colour", json=parameter()).status_code == 201
        before = await await_some(place, 0)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for _ in range(ROUNDS):
        with served(place) as (process, client):
            before = await await_some(place, before)
            process.send_signal(signal.SIGKILL)
            process.wait()
    with served(place) as (_, client):
        assert answered(client, "Practitioner?colour=red&_summary=count")["total"] == MANY
    async with place.open() as service:
        assert await problems(service) == []


async def await_some(place: Place, before: int) -> int:
    """Wait until more resources are indexed than before, or all; return how many."""
    deadline = time.monotonic() + 30
    store = open_engine(place.settings(), lambda: START)
    await store.open()
    try:
        while (now := await indexed(store)) <= before < MANY:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    finally:
        await store.close()
    return now


def test_command_reindexes_what_the_server_would(place: Place) -> None:
    async def before() -> None:
        async with place.open() as service:
            await fill(service, 60)
            await put(service, parameter())

    async def after() -> None:
        async with place.open() as service:
            assert (await get(service, "Practitioner", "colour=red&_summary=count"))["total"] == 60
            assert await problems(service) == []

    asyncio.run(before())
    assert "60 Practitioner: 60 written" in run(place.folder, "reindex", "--store", place.url()).stdout
    asyncio.run(after())


async def test_restored_store_has_its_parameters_and_is_indexed_by_them(place: Place) -> None:
    async with place.open() as service:
        await fill(service, 60)
        await put(service, parameter())
        await put(service, practitioner(1, "Blue"))
        await put(service, parameter(id="gone", code="gone", url=URL + "-gone"))
        await service.perform(Request("DELETE", "SearchParameter/gone"))
        await backup(service.context.store, place.folder / "b.gz", created=0, software="test")
    async with place.open("restored") as service:
        await restore(service.context, verify(place.folder / "b.gz"), tell=pytest.fail)
        assert (await get(service, "Practitioner", "colour=red&_summary=count"))["total"] == 59
        assert await problems(service) == []


async def test_check_tells_what_waits_and_finds_what_is_wrong(place: Place) -> None:
    async with place.open() as service:
        await fill(service, 5)
        await put(service, parameter())
        await put(service, practitioner(1, "Blue"))
        told: list[str] = []
        report = await check(service.context, tell=told.append)
        assert (told, report.waiting) == ([], 5)
    unindex(place, "Practitioner/p1")
    async with place.open() as service:
        told = []
        await check(service.context, tell=told.append)
        assert len(told) == 1
        assert "(colour)" in told[0]


async def test_a_server_ends_although_what_it_awaited_kept_the_cancellation(
    sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_waiting = asyncio.Event()

    async def keep(_work: object, _service: object) -> None:
        is_waiting.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    monkeypatch.setattr(loop, "_catch_up", keep)
    monkeypatch.setattr(loop, "LOOK_SECONDS", 0.01)
    async with asyncio.timeout(30), sqlite_place.open() as service, loop.reindexing(service):
        await is_waiting.wait()


async def test_reindexing_is_cancelled_wherever_it_waits(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as that is done, there is something to be indexed."""
    monkeypatch.setattr("fhir_server.storage.mongo.leases.STILL_SECONDS", 0.0)  # cancelled, it may have taken it
    monkeypatch.setattr(loop, "_computed", lambda *_: 1 / 0)
    told: list[str] = []
    async with place.open() as service:
        await fill(service, 1)
        await put(service, parameter())
        await service.context.followed()

        async def work() -> None:
            await loop._catch_up(loop.CatchingUp(tell=told.append, is_patient=True), service)

        assert await kept(work) == []
