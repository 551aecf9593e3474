"""What criteria find: many questions asked together, and what changes between the snapshot and the head of the log."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.interactions.writing import resolve
from fhir_server.interactions.writing.conditional import LISTED, Wish, ask, ask_all
from fhir_server.model.formats import Resource
from fhir_server.search.query import UNIT_SEPARATOR as US
from fhir_server.search.query import And, Equal, Node, Not, Present, StartsWith
from fhir_server.storage.protocol import Committed, Plan, Store, T
from tests.rest.asking import SYSTEM, created, done, entry, found, place, post, practitioner, refused, role, status
from tests.rest.conftest import Server

MATCH = f"identifier={SYSTEM}|x"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(f"sqlite:{tmp_path / 'store.db'}") as running:
        yield running


@pytest.fixture
def http(server: Server) -> httpx.AsyncClient:
    return server.http


class Meanwhile:
    """A store in which something else is committed just before a plan, once."""

    def __init__(self, store: Store, first: Callable[[], Awaitable[Any]]) -> None:
        self._store = store
        self._first: Callable[[], Awaitable[Any]] | None = first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        first, self._first = self._first, None
        if first is not None:
            await first()
        return await self._store.commit(plan)


def meanwhile(server: Server, first: Callable[[], Awaitable[Any]]) -> None:
    """Have something happen between the preparation of the next write and its commit."""
    context = server.service.context
    store: Any = Meanwhile(context.store, first)
    server.service.context = replace(context, store=store)


# --- questions -------------------------------------------------------------------------------------------------------


async def test_questions_asked_together_are_answered_as_each_alone(server: Server, http: httpx.AsyncClient) -> None:
    for number in range(40):
        identifier = [
            {"system": f"{SYSTEM}/{number % 3}", "value": f"v{number % 7}"},
            {"value": f"v{number % 11}"},
            {"system": f"{SYSTEM}/0", "value": "all"},
        ]
        await created(http, {"resourceType": "Practitioner", "identifier": identifier})
    wheres: list[Node] = [
        *(Equal("identifier", (f"v{value}{US}{SYSTEM}/{system}",)) for value in range(9) for system in range(4)),
        *(StartsWith("identifier", (f"v{value}{US}",)) for value in range(12)),
        *(StartsWith("identifier", (f"v{value}",)) for value in range(3)),
        Equal("identifier", (f"all{US}{SYSTEM}/0",)),
        Equal("identifier", (f"all{US}{SYSTEM}/0",)),
        Equal("identifier", (f"v1{US}", f"v2{US}")),
        And((StartsWith("identifier", (f"v1{US}",)), Not(Present("active")))),
        Equal("identifier", ("",)),
    ]
    for limit in (1, 2, LISTED + 1, 1_000):
        wishes = [Wish("Practitioner", where, limit) for where in wheres]
        async with server.service.context.store.snapshot() as snapshot:
            together = await ask_all(snapshot, wishes)
            assert together == [await ask(snapshot, wish) for wish in wishes]
        assert [(question.where, question.limit) for question in together] == [(where, limit) for where in wheres]


# --- what changes meanwhile ------------------------------------------------------------------------------------------


async def test_conditional_reference_that_moves_meanwhile_is_resolved_again(
    server: Server, http: httpx.AsyncClient
) -> None:
    await http.put("Practitioner/p", json=practitioner("P", "x", id="p"))
    other = [
        entry("PUT", "Practitioner/p", practitioner("P", "y", id="p")),
        entry("PUT", "Practitioner/q", practitioner("Q", "x", id="q")),
    ]
    meanwhile(server, lambda: done(http, "transaction", *other))
    (answer,) = await done(http, "transaction", entry("POST", "PractitionerRole", role(f"Practitioner?{MATCH}")))
    assert (await http.get(place(answer))).json()["practitioner"] == {"reference": "Practitioner/q"}


@pytest.mark.parametrize("there", [True, False])
async def test_stored_end_of_a_chain_that_changes_meanwhile_is_looked_at_again(
    server: Server, http: httpx.AsyncClient, there: bool
) -> None:
    """The role that one entry writes comes to match the criteria of the other."""
    if there:
        await http.put("Practitioner/p", json=practitioner("P", "y", id="p"))
    entries = [
        entry("POST", "PractitionerRole", role("Practitioner/p")),
        entry("PUT", f"PractitionerRole?practitioner.{MATCH}", role("Practitioner/q")),
    ]
    meanwhile(server, lambda: http.put("Practitioner/p", json=practitioner("P", "x", id="p")))
    refused(await post(http, "transaction", *entries), 400, "transaction-overlap")
    assert await found(http, "PractitionerRole") == []


async def test_create_finds_what_others_have_made_meanwhile(server: Server, http: httpx.AsyncClient) -> None:
    meanwhile(server, lambda: http.put("Practitioner/p", json=practitioner("P", "x", id="p")))
    answers = await done(
        http,
        "transaction",
        entry("POST", "Practitioner", practitioner("Neuf", "x"), ifNoneExist="identifier=x"),
        entry("POST", "Practitioner", practitioner("Autre", "y"), ifNoneExist="identifier=y"),
    )
    assert [status(answer) for answer in answers] == [200, 201]
    assert place(answers[0]) == "Practitioner/p"


# --- large resources -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "in_a_thread"), [(1_000, False), (300_000, True)])
async def test_large_resource_is_patched_in_a_thread(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, size: int, in_a_thread: bool
) -> None:
    threads = []
    apply = resolve._apply

    def noted(patch: Any, body: bytes) -> Resource:
        threads.append(threading.current_thread())
        return apply(patch, body)

    monkeypatch.setattr(resolve, "_apply", noted)
    comment = {"comment": "x" * size}
    await http.put("HealthcareService/h", json={"resourceType": "HealthcareService", "id": "h", **comment})
    operations = [{"op": "add", "path": "/active", "value": True}]
    headers = {"Content-Type": "application/json-patch+json"}
    response = await http.patch("HealthcareService/h", json=operations, headers=headers)
    assert response.status_code == 200 and response.json()["active"] is True
    assert [thread is threading.main_thread() for thread in threads] == [not in_a_thread]
