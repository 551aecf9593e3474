"""Several server processes on one store, with clients of each: nothing is lost, doubled or told wrongly."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx
import pytest

from fhir_server.app import opened
from fhir_server.interactions.exchange import Request
from fhir_server.maintenance.check import check
from fhir_server.settings import Settings
from tests.rest.asking import SYSTEM, bundle, entry, organization
from tests.rest.process import Process
from tests.rounds import FULL

SERVERS = 4 if FULL else 2
WRITES = 3_333 if FULL else 20
"""Of each kind, by the clients of each server."""
KILLS = 50 if FULL else 2
SERIES = 5
"""Clients of each kind at each server."""

ACCOUNTS = ("t0", "t1", "t2")
"""What transactions change together."""


@dataclass
class Told:
    """What clients were told of what they wrote."""

    updates: list[int] = field(default_factory=list)
    creates: list[str] = field(default_factory=list)
    matches: set[str] = field(default_factory=set)
    transfers: list[int] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    names: Iterator[int] = field(default_factory=itertools.count)
    """No two writes are alike: one that changes nothing makes no version."""


class Clients:
    """Those of one server. A client whose server is gone does not know what became of its write, and goes on."""

    def __init__(self, http: httpx.AsyncClient, told: Told) -> None:
        self._http = http
        self._told = told

    async def update(self, _number: int) -> None:
        """Update, if nobody else has since it was read."""
        seen = (await self._http.get("Organization/shared")).headers["ETag"]
        resource = organization(f"N{next(self._told.names)}", id="shared")
        answer = await self._http.put("Organization/shared", json=resource, headers={"If-Match": seen})
        self._told.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self._told.updates.append(int(answer.json()["meta"]["versionId"]))

    async def create(self, number: int) -> None:
        """Create, unless the client of another server was first."""
        resource = organization(identifier=[{"system": SYSTEM, "value": str(number)}])
        none = {"If-None-Exist": f"identifier={SYSTEM}|{number}"}
        answer = await self._http.post("Organization", json=resource, headers=none)
        self._told.statuses[answer.status_code] += 1
        if answer.status_code == 201:
            self._told.creates.append(str(number))
        elif answer.status_code == 200:
            self._told.matches.add(str(number))

    async def transfer(self, _number: int) -> None:
        """Change three resources together."""
        name = f"N{next(self._told.names)}"
        entries = [entry("PUT", f"Organization/{id_}", organization(name, id=id_)) for id_ in ACCOUNTS]
        answer = await self._http.post("", json=bundle("transaction", *entries))
        self._told.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            versions = {one["response"]["etag"] for one in answer.json()["entry"]}
            assert len(versions) == 1, "a transaction was done in part"
            self._told.transfers.append(int(versions.pop().strip('W/"')))

    async def write(self, numbers: Callable[[], Iterator[int]]) -> None:
        """Write one of each kind for each number, several of each at once."""
        kinds = (self.update, self.create, self.transfer)
        await asyncio.gather(*[_series(kind, own) for kind in kinds for own in itertools.repeat(numbers(), SERIES)])


async def _series(write: Callable[[int], Awaitable[None]], numbers: Iterator[int]) -> None:
    for number in numbers:
        try:
            await write(number)
        except httpx.TransportError:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def client_of(process: Process) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}/fhir/", timeout=120) as http:
        yield http


async def begin(store_url: str) -> None:
    """Make what all update, so that each has something to read."""
    async with opened(Settings(store=store_url)) as service:
        for id_ in ("shared", *ACCOUNTS):
            await service.perform(Request("PUT", f"Organization/{id_}", resource=organization(id=id_)))


async def versions_of(store_url: str) -> tuple[dict[str, int], Counter[str]]:
    """Return the last version of each organization in the log, which has no gap and whose replay is what is read and
    found; and how often each identifier was created."""
    versions: dict[str, int] = {}
    identifiers: Counter[str] = Counter()
    async with opened(Settings(store=store_url)) as service:
        commits = [commit async for commit in service.context.store.log(0)]
        await check(service.context, tell=pytest.fail)
    assert [commit.number for commit in commits] == list(range(1, len(commits) + 1))
    for change in itertools.chain.from_iterable(commit.changes for commit in commits):
        if change.key.type != "Organization":  # a server's own definitions
            continue
        assert change.version == versions.get(change.key.id, 0) + 1
        versions[change.key.id] = change.version
        if change.key.id not in {"shared", *ACCOUNTS}:
            assert change.body is not None
            identifiers[change.body.decode().partition('"value":"')[2].partition('"')[0]] += 1
    assert len({versions[id_] for id_ in ACCOUNTS}) == 1, "a transaction was done in part"
    return versions, identifiers


@pytest.mark.torture
async def test_what_clients_of_several_servers_were_told_is_what_happened(store_url: str) -> None:
    await begin(store_url)
    told = Told()
    processes = await asyncio.gather(*[asyncio.to_thread(Process, store_url) for _ in range(SERVERS)])

    async def write(process: Process) -> None:
        async with client_of(process) as http:
            await Clients(http, told).write(lambda: iter(range(WRITES)))

    try:
        await asyncio.gather(*[write(process) for process in processes])
    finally:
        assert await asyncio.gather(*[asyncio.to_thread(process.end) for process in processes]) == [0] * SERVERS
    assert set(told.statuses) <= {200, 201, 412}, told.statuses
    versions, identifiers = await versions_of(store_url)
    assert sorted(told.updates) == list(range(2, versions["shared"] + 1))
    assert sorted(told.creates, key=int) == [str(number) for number in range(WRITES)]
    assert identifiers == dict.fromkeys(told.creates, 1)
    assert sorted(told.transfers) == list(range(2, versions["t0"] + 1))
    assert len(told.transfers) == SERVERS * WRITES


@pytest.mark.torture
async def test_servers_killed_at_any_moment_have_lost_nothing_that_they_told(store_url: str) -> None:
    """Each of several servers is killed, again and again, while others write; those that live go on."""
    await begin(store_url)
    told, chance, numbers, ended = Told(), random.Random(7), itertools.count(), asyncio.Event()

    async def serve(kills: int) -> None:
        for _ in range(kills):
            process = await asyncio.to_thread(Process, store_url)
            async with client_of(process) as http:
                life = asyncio.create_task(Clients(http, told).write(partial(_while_alive, process, numbers)))
                await asyncio.sleep(chance.uniform(0.05, 0.6))
                process.popen.kill()
                await life
            await asyncio.to_thread(process.kill)

    async def live() -> None:
        process = await asyncio.to_thread(Process, store_url)
        async with client_of(process) as http:
            await Clients(http, told).write(lambda: itertools.takewhile(lambda _: not ended.is_set(), numbers))
        assert await asyncio.to_thread(process.end) == 0

    living = asyncio.create_task(live())
    await asyncio.gather(*[serve(KILLS // 2) for _ in range(2)])
    ended.set()
    await living
    assert set(told.statuses) <= {200, 201, 412, 503}, told.statuses
    versions, identifiers = await versions_of(store_url)
    assert max(identifiers.values()) == 1, "a conditional create happened twice"
    assert {*told.creates, *told.matches} <= set(identifiers), "told that it exists, and it does not"
    for known, last in ((told.updates, versions["shared"]), (told.transfers, versions["t0"])):
        assert len(known) == len(set(known)), "two clients were told the same version"
        assert max(known) <= last, "an acknowledged write is gone"


def _while_alive(process: Process, numbers: Iterator[int]) -> Iterator[int]:
    return itertools.takewhile(lambda _: process.popen.poll() is None, numbers)
