"""What a request costs on MongoDB and on SQLite, in CPU of the server's own process: the part that is ours.

The MongoDB is the stand-in of the tests, in memory and with few indexes, or a real one that ``FHIR_TEST_MONGODB_URI``
names. What takes time on the stand-in says nothing: so creates come first, into an empty store, what a server computes
while it waits, about the same each second, is taken off, and reads and searches, up to a second each on the stand-in,
are answered from what it answered before (``replay``): a server that asks once a second finds its caches cold.

python -m benchmarks.engines
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle, islice
from time import perf_counter
from typing import Any, Final, TypeAlias

from benchmarks import data, replay
from benchmarks.client import Answer, WrongAnswer, ask, drive, get, request
from benchmarks.create import creates
from benchmarks.fill import fill, practitioners
from benchmarks.program import Scale, main
from benchmarks.report import Row, number
from benchmarks.sas_query import ALL, counted, requests
from benchmarks.server import BASE, Server, fhir_server
from tests.mongo_server import server as mongo_server

QUESTION: Final = "What does a request cost on MongoDB, beside SQLite?"
AIM: Final = 2.0
CLIENTS: Final = 16
IDLE_SECONDS: Final = 3
TOGETHER: Final = 1_000
"""Versions that one transaction makes, each of another resource."""
PAGE: Final = 100
ASKED: Final = 9
"""SAS queries, asked in turns: each is answered by the engine once."""

Measured: TypeAlias = tuple[str, float, Sequence[float]]
"""What was asked, the seconds of CPU for each answer, and the times they took."""


async def measure(scale: Scale) -> list[Row]:
    rows: list[Row] = []
    costs: dict[str, list[float]] = {}
    with mongo_server.serving() as uri, mongo_server.database(uri) as place:
        for engine, store in (("SQLite", scale.scratch / "engines.sqlite"), ("MongoDB", place)):
            with fhir_server(store) as server:
                found = [each async for each in _writes(scale, server)]
                await _long_history(server, scale.imported)
                await fill(server, scale.least)
            with replay.answering(store) as pace, fhir_server(pace) as server:
                found += [each async for each in _reads(scale, server)]
            for what, cost, samples in found:
                costs.setdefault(what, []).append(cost)
                rows.append(Row(f"{what}, {engine}", _size(scale), f"{cost * 1e6:.0f} µs of CPU", samples))
    for what, (sqlite, mongo) in costs.items():
        share = mongo / sqlite
        rows.append(
            Row(f"{what}: MongoDB ÷ SQLite", _size(scale), f"{share:.1f} times", aim=f"≤ {AIM:g}", met=share <= AIM)
        )
    return rows


def _size(scale: Scale) -> str:
    return f"{number(scale.least)} slots"


async def _writes(scale: Scale, server: Server) -> AsyncIterator[Measured]:
    numbers = count(1_000 * data.SLOTS_EACH)
    most = min(scale.requests * 4, 2_000)
    meter = Meter(server, await _idle(server))
    await drive(server.port, islice(creates(numbers), 50), expected=(201,))
    plain = list(islice(creates(numbers), most))
    yield await meter.run("create", iter(plain), scale.seconds, status=201)
    conditional = list(islice(creates(numbers, conditional=True), most // 4))
    yield await meter.run("conditional create, no match", iter(conditional), scale.seconds, status=201)


async def _reads(scale: Scale, server: Server) -> AsyncIterator[Measured]:
    people, size = practitioners(scale.least), number(scale.imported)
    turns, pages = scale.imported // TOGETHER, scale.imported // PAGE
    versions = [get(f"{BASE}/Organization/h{n % TOGETHER}/_history/{n % turns + 1}") for n in range(200)]
    slots = [get(f"{BASE}/Slot/{data.slot_id(n % people, n % data.SLOTS_EACH)}") for n in range(200)]
    sas, last = requests(people, ALL, ASKED), await _last_page(server, turns)
    meter = Meter(server, await _idle(server))
    for what, asked, clients in (
        (f"vread among {size} versions", versions, CLIENTS),
        (f"page {number(pages)} of their history", [last], CLIENTS),
        ("read", slots, CLIENTS),
        (f"SAS query, all {data.FREE_IN_WINDOW}", sas, 1),
    ):
        check = counted(ALL) if asked is sas else None
        await drive(server.port, asked * 3, seconds=120, check=check)
        yield await meter.run(what, cycle(asked), scale.seconds, check=check, clients=clients)


async def _idle(server: Server) -> float:
    """Return how many seconds a server computes in a second without requests."""
    await asyncio.sleep(IDLE_SECONDS)
    before = server.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    return (server.cpu_seconds() - before) / IDLE_SECONDS


@dataclass(frozen=True, slots=True)
class Meter:
    """Tells what answers cost a server."""

    server: Server
    idle: float

    async def run(
        self,
        what: str,
        asked: Iterator[bytes],
        seconds: float,
        *,
        status: int = 200,
        check: Callable[[Answer], None] | None = None,
        clients: int = CLIENTS,
    ) -> Measured:
        before, started = self.server.cpu_seconds(), perf_counter()
        run = await drive(self.server.port, asked, clients=clients, seconds=seconds, expected=(status,), check=check)
        waited = self.idle * (perf_counter() - started)
        return what, (self.server.cpu_seconds() - before - waited) / len(run.samples), run.samples


async def _long_history(server: Server, every: int) -> None:
    """Make so many versions by transactions."""
    for turn in range(every // TOGETHER):
        entries = [_entry(each, turn) for each in range(TOGETHER)]
        await drive(server.port, [request("POST", f"{BASE}/", data.transaction(entries))], expected=(200,))


async def _last_page(server: Server, turns: int) -> bytes:
    """Return what asks for the page of the oldest versions: none of those before it is read, which takes the stand-in a
    second each. The second page says where the last transaction lies, and each is a commit."""
    path = f"{BASE}/Organization/_history?_count={PAGE}"
    links = json.loads((await ask(server.port, get(path))).body)["link"]
    following = next(link["url"] for link in links if link["relation"] == "next")
    log, commit, _ = following.rpartition("_page=")[2].split(".")
    last = get(f"{path}&_page={log}.{int(commit) - turns + 1}.{PAGE}")
    answer = await ask(server.port, last)
    if answer.body.count(b'"fullUrl"') != PAGE or b'"next"' in answer.body:
        raise WrongAnswer(answer, f"the last {PAGE} versions")
    return last


def _entry(each: int, turn: int) -> dict[str, Any]:
    resource = {"resourceType": "Organization", "id": f"h{each}", "name": f"Maison {each}, {turn}"}
    return {"resource": resource, "request": {"method": "PUT", "url": f"Organization/h{each}"}}


if __name__ == "__main__":
    main(QUESTION, measure, is_small=True)
