"""The server agrees with the specification's words: what is found, in which order, on which page, and what rides along.

The same worlds and searches as in ``tests/search``, through HTTP, on each engine, page by page.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.definitions.registry import Registry
from tests.mongo_server import server as mongo_server
from tests.rest.asking import bundle, link
from tests.rest.conftest import MEMORY, START, Server
from tests.rounds import FULL
from tests.search.asking import BASE, PARIS
from tests.search.oracle import Oracle, Resource
from tests.search.worlds import TYPES, Asked, searches, targets, worlds

EXAMPLES = 300 if FULL else 3
NewStore = Callable[[], AbstractContextManager[str]]


@contextmanager
def _sqlite() -> Iterator[str]:
    with TemporaryDirectory(prefix="fhir-tests-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        yield f"sqlite:{Path(folder) / 'store.db'}"


@pytest.fixture(params=["sqlite", "mongo"])
def new_store(request: pytest.FixtureRequest) -> NewStore:
    """Return what gives an empty store of one engine, as often as it is asked."""
    if request.param == "sqlite":
        return _sqlite
    return partial(mongo_server.database, request.getfixturevalue("mongo_uri"))


@pytest.mark.torture
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), several=st.lists(searches(), min_size=4, max_size=10), count=st.integers(1, 3))
def test_server_finds_what_the_specification_says(
    new_store: NewStore, world: list[Resource], several: list[Asked], count: int
) -> None:
    with new_store() as store_url:
        asyncio.run(_agree(store_url, world, several, count))


async def _agree(store_url: str, world: list[Resource], several: list[Asked], count: int) -> None:
    async with Server(store_url, types=tuple(sorted(TYPES)), base_url=(BASE,), booking=False) as server:
        stored = await _written(server.http, world)
        oracle = Oracle(stored, targets(Registry.load(TYPES)), BASE, PARIS, START)
        for asked in several:
            if oracle.refuses(asked.type, asked.pairs):
                assert (await _first(server.http, asked, count)).status_code == 400, asked
                continue
            expected = oracle.search(asked.type, asked.pairs, asked.whose)
            found, riding = await _pages(server.http, asked, count)
            assert found == [each["id"] for each in expected], asked
            for page, also in zip(_parts(expected, count), riding, strict=True):
                assert also == oracle.riding(page, asked.pairs), asked


async def _written(http: httpx.AsyncClient, world: list[Resource]) -> list[Resource]:
    """Write a world in its order, by two transactions; return it as the server has it."""
    half = len(world) // 2
    for part in (world[:half], world[half:]):
        entries = [
            {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
            for each in part
        ]
        answer = await http.post("", json=bundle("transaction", *entries))
        assert answer.status_code == 200, answer.text
    return [(await http.get(f"{each['resourceType']}/{each['id']}")).json() for each in world]


async def _pages(http: httpx.AsyncClient, asked: Asked, count: int) -> tuple[list[str], list[set[str]]]:
    """Return the ids of all matches, page after page, and what rides along with each page: each resource once."""
    found: list[str] = []
    riding: list[set[str]] = []
    answer = await _first(http, asked, count)
    while True:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        modes = [(each["search"]["mode"], each["resource"]) for each in body.get("entry", [])]
        found += [resource["id"] for mode, resource in modes if mode == "match"]
        also = [f"{resource['resourceType']}/{resource['id']}" for mode, resource in modes if mode == "include"]
        assert len(also) == len(set(also))
        riding.append(set(also))
        following = link(answer, "next")
        if following is None:
            assert body["total"] == len(found)
            return found, riding
        answer = await http.get(following)


async def _first(http: httpx.AsyncClient, asked: Asked, count: int) -> httpx.Response:
    where = asked.type if asked.whose is None else f"Practitioner/{asked.whose}/{asked.type}"
    return await http.get(where, params=[*asked.pairs, ("_count", str(count))])


def _parts(expected: list[Resource], count: int) -> list[list[Resource]]:
    """Return the pages of a result; an empty one has one page."""
    return [expected[start : start + count] for start in range(0, len(expected), count)] or [[]]
