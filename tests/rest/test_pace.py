"""What one request does on the event loop without a pause, all others wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import thread_time
from typing import Any

import pytest

from tests.rest.asking import Json, bundle, entry, practitioner
from tests.rest.conftest import Server

MANY = 1_000
HEAVY = 6_000
"""Elements of a resource of a megabyte."""

LONGEST = 0.012
"""Seconds of this thread's own time: several times what is meant, a part of what the whole work takes."""


async def longest_turn(work: Awaitable[object]) -> float:
    """Return the longest time, in seconds of this thread alone, that the loop has done work without a pause."""
    longest = 0.0
    task = asyncio.ensure_future(work)
    last = thread_time()
    while not task.done():
        await asyncio.sleep(0)
        now = thread_time()
        longest, last = max(longest, now - last), now
    await task
    return longest


async def asked(server: Server, path: str, query: str) -> int:
    """Send a GET and return how many bytes come back: nothing reads them here, for that would take the loop too."""
    size = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal size
        assert message.get("status", 200) == 200
        size += len(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode()}
    await server.app({**scope, "headers": []}, receive, send)
    return size


@pytest.fixture
async def full(server: Server) -> Server:
    """A server with many resources, and a heavy one."""
    texts = [{"family": f"Fictif {number}", "given": ["Un", "Deux"]} for number in range(10)]
    body: Json = practitioner(name=texts)
    for _ in range(MANY // 500):
        await server.http.post("", json=bundle("transaction", *[entry("POST", "Practitioner", body)] * 500))
    names = [{"family": f"Fictif {number}", "text": "x" * 50} for number in range(HEAVY)]
    made = await server.http.put("Organization/o", json=heavy_organization(names))
    assert made.status_code == 201, made.text
    return server


def heavy_organization(names: list[Json]) -> Json:
    extensions = [{"url": "https://example.org/fictif", "valueHumanName": name} for name in names]
    return {"resourceType": "Organization", "id": "o", "name": "Lourd", "extension": extensions}


ASKED = (
    ("/fhir/Practitioner", "_count=1000&_elements=name"),
    ("/fhir/Practitioner", "_count=1000&_summary=data"),
    ("/fhir/Practitioner", "_count=1000&_pretty=true"),
    ("/fhir/Practitioner", "_count=1000"),
    ("/fhir/_history", "_count=1000"),
    ("/fhir/_history", "_count=1000&_pretty=true"),
    ("/fhir/Organization/o", "_summary=data"),
    ("/fhir/Organization/o", "_pretty=true"),
)


async def test_large_answer_leaves_the_loop_to_others(full: Server) -> None:
    slow = {}
    for path, query in ASKED:  # of one server: to fill it takes far longer than to ask it
        await asked(full, path, "")  # what is made once is made
        # A collection of garbage may fall into one of them.
        turns = [await longest_turn(asked(full, path, query)) for _ in range(2)]
        if min(turns) >= LONGEST:
            slow[f"{path}?{query}"] = turns
    assert not slow
