"""Operations: paths, methods, Bundles, what is told of them. https://hl7.org/fhir/R4/operations.html"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import MappingProxyType

import pytest

from fhir_server.interactions.context import OPERATIONS_AT_ONCE, Context
from fhir_server.interactions.exchange import Response
from fhir_server.operations.call import Call
from fhir_server.validation.validator import Validator
from tests.operations.asking import CHANGE, ECHO, echo
from tests.rest.asking import bundle, done, entry, expressions, refused
from tests.rest.conftest import Serve, Server

TABLE = MappingProxyType({ECHO: echo, CHANGE: echo})


@pytest.fixture
async def echoing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr("fhir_server.app.OPERATIONS", tuple(TABLE))
    monkeypatch.setattr("fhir_server.operations.perform.PERFORM", TABLE)
    async with serve(types=("Slot", "Practitioner")) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "called"), [("$echo", "None/None"), ("Slot/$echo", "Slot/None"), ("Slot/un/$echo", "Slot/un")]
)
async def test_operation_is_asked_at_each_level(echoing: Server, path: str, called: str) -> None:
    for answer in (
        await echoing.http.get(f"{path}?text=a"),
        await echoing.http.post(f"{path}?text=a"),
        await echoing.http.post(
            path, json={"resourceType": "Parameters", "parameter": [{"name": "text", "valueString": "a"}]}
        ),
    ):
        assert answer.status_code == 200
        told = {one["name"]: one["valueString"] for one in answer.json()["parameter"]}
        assert told == {"called": called, "text": "a"}


async def test_few_work_at_once_so_that_reads_find_a_reader(echoing: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    working: list[int] = []

    async def slow(context: Context, call: Call) -> Response:
        working.append(working[-1] + 1 if working else 1)
        for _ in range(5):
            await asyncio.sleep(0)
        working.append(working[-1] - 1)
        return await echo(context, call)

    monkeypatch.setattr("fhir_server.operations.perform.PERFORM", {ECHO: slow})
    answers = await asyncio.gather(*(echoing.http.get("$echo?text=a") for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert (max(working), working[-1]) == (OPERATIONS_AT_ONCE, 0)


async def test_operation_waits_for_its_turn_a_while_and_is_told_the_bound(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()

    async def long(context: Context, call: Call) -> Response:
        await over.wait()
        return await echo(context, call)

    monkeypatch.setattr("fhir_server.app.OPERATIONS", tuple(TABLE))
    monkeypatch.setattr("fhir_server.operations.perform.PERFORM", {ECHO: long})
    async with serve(operation_wait_seconds=0.02) as running:
        running.may_fail = True
        working = [asyncio.ensure_future(running.http.get("$echo?text=a")) for _ in range(OPERATIONS_AT_ONCE)]
        await asyncio.sleep(0)
        answer = await running.http.get("$echo?text=b")
        refused(answer, 503, "operations-busy")
        assert answer.headers["retry-after"] == "5"
        assert "0.02 seconds, the bound of FHIR_OPERATION_WAIT_SECONDS" in answer.json()["issue"][0]["diagnostics"]
        over.set()
        assert {one.status_code for one in await asyncio.gather(*working)} == {200}
        assert (await running.http.get("$echo?text=c")).status_code == 200


async def test_methods_are_those_that_the_operation_has(echoing: Server) -> None:
    assert (await echoing.http.options("Slot/$echo")).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await echoing.http.head("Slot/$echo")).status_code == 200
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = await echoing.http.request(method, "Slot/$change", json={})
        assert answer.status_code == 405
        assert answer.headers["allow"] == "OPTIONS, POST"


@pytest.mark.parametrize("path", ["$ecko", "Slot/$ecko", "Slot/un/$ecko"])
async def test_unknown_operation_is_not_found_naming_the_known_ones(echoing: Server, path: str) -> None:
    answer = await echoing.http.get(path)
    refused(answer, 404, "operation-unknown")
    assert answer.json()["issue"][0]["diagnostics"].endswith("there are: $change, $echo")


@pytest.mark.parametrize(
    ("path", "id_"),
    [
        ("Slott/$echo", "type-unknown"),
        ("Patient/$echo", "type-not-served"),
        ("Slot/un/_history/1/$echo", "path-unknown"),
    ],
)
async def test_operation_of_what_is_not_there_is_not_found(echoing: Server, path: str, id_: str) -> None:
    refused(await echoing.http.get(path), 404, id_)


async def test_unknown_parameter_is_refused(echoing: Server) -> None:
    answer = await echoing.http.get("Slot/$echo?texte=a")
    refused(answer, 400, "operation-parameter-unknown")
    assert expressions(answer) == ["http.texte"]


async def test_operations_stand_in_a_batch(echoing: Server) -> None:
    first, second, third = await done(
        echoing.http,
        "batch",
        entry("GET", "Slot/$echo?text=a"),
        entry("POST", "Slot/$change", {"resourceType": "Practitioner"}),
        entry("GET", "Slot/$ecko"),
    )
    assert first["resource"]["resourceType"] == second["resource"]["resourceType"] == "Parameters"
    assert third["response"]["status"].startswith("404")


async def test_operation_that_changes_nothing_stands_in_a_transaction(echoing: Server) -> None:
    (answer,) = await done(echoing.http, "transaction", entry("GET", "Slot/$echo?text=a"))
    assert answer["resource"]["parameter"][1]["valueString"] == "a"
    changing = await echoing.http.post("", json=bundle("transaction", entry("POST", "Slot/$change")))
    refused(changing, 400, "transaction-operation")


async def test_operations_are_declared(echoing: Server) -> None:
    statement = (await echoing.http.get("metadata")).json()
    assert not [
        one for one in Validator(echoing.service.context.registry.structures).validate(statement) if one.is_error
    ]
    named = [{"name": one.name, "definition": one.url} for one in (CHANGE, ECHO)]
    (rest,) = statement["rest"]
    assert rest["operation"] == named
    assert all(resource["operation"] == named for resource in rest["resource"])


async def test_operations_are_told_in_openapi(echoing: Server) -> None:
    paths = echoing.app.openapi()["paths"]
    assert {method for method in paths["/Slot/$echo"] if method != "servers"} == {"get", "post"}
    assert set(paths["/Slot/{id}/$change"]) == {"post", "parameters"}
    told = {one["name"] for one in paths["/Slot/$echo"]["get"]["parameters"] if "name" in one}
    assert told == {"text", "times", "loud", "at", "url", "ratio"}
