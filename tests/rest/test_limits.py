"""Sizes of bodies and headers: both figures are told. https://hl7.org/fhir/R4/http.html#Status-Codes"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fhir_server.interactions import sizes
from fhir_server.interactions.batch import batch
from fhir_server.interactions.envelope import posted_bundle
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.preparing import InProcesses
from fhir_server.rest.api import FhirApi, _while_there
from fhir_server.service import Service
from tests.rest.asking import (
    bundle,
    created,
    done,
    entry,
    expressions,
    found,
    ids,
    issues,
    link,
    practitioner,
    refused,
    role,
    status,
)
from tests.rest.conftest import Serve, Server


@pytest.fixture
async def small(serve: Serve) -> AsyncIterator[Server]:
    async with serve(body_bytes=10_000, header_bytes=4_096, page_maximum=2, page_default=2) as server:
        yield server


async def test_body_past_the_limit_is_refused_with_both_figures(small: Server) -> None:
    for method, path in (
        ("POST", "Practitioner"),
        ("PUT", "Practitioner/p"),
        ("POST", ""),
        ("PATCH", "Practitioner/p"),
    ):
        response = await small.http.request(method, path, json=practitioner("x" * 10_000))
        refused(response, 413, "body-limit")
        assert "10000" in response.text and response.request.headers["content-length"] in response.text
    assert await found(small.http, "Practitioner") == []


async def test_body_without_a_length_is_cut_at_the_limit(small: Server) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000
            yield b" " * 1_000

    response = await small.http.post("Practitioner", content=endless())
    refused(response, 413, "body-limit")
    assert "11000" in response.text and sent < 20_000


async def test_body_at_the_limit_is_read(small: Server) -> None:
    body = b'{"resourceType":"Practitioner","active":true}'
    assert (await small.http.post("Practitioner", content=body.ljust(10_000))).status_code == 201
    assert (await small.http.post("Practitioner", content=body.ljust(10_001))).status_code == 413


async def test_a_length_that_is_none_is_not_believed(small: Server) -> None:
    for length in ("-1", "many", "1e3"):
        response = await small.http.post("Practitioner", content=b"{}", headers={"Content-Length": length})
        assert response.status_code == 400


@pytest.mark.parametrize("where", ["header", "query", "path"])
async def test_headers_past_the_limit_are_refused_with_both_figures(small: Server, where: str) -> None:
    long = "x" * 5_000
    if where == "header":
        response = await small.http.get("Practitioner/p", headers={"X-Long": long})
    else:
        response = await small.http.get(f"Practitioner?family={long}" if where == "query" else f"Practitioner/{long}")
    refused(response, 431, "header-limit")
    assert "4096" in response.text


async def test_page_is_bounded_whatever_is_asked(small: Server) -> None:
    for _ in range(3):
        await small.http.post("Practitioner", json=practitioner())
    for url in ("Practitioner?_count=50", "Practitioner", "_history?_count=50"):
        assert len((await small.http.get(url)).json()["entry"]) == 2
    answer = await small.http.get("Practitioner?active:missing=true&_count=50")
    for relation in ("self", "first", "next"):
        assert "?active:missing=true&_count=2" in (link(answer, relation) or ""), "what was understood"


async def test_many_parameters_are_refused(http: httpx.AsyncClient) -> None:
    response = await http.get("Practitioner?" + "&".join(f"family=n{n}" for n in range(1_000)))
    assert response.status_code == 400


# --- one resource ----------------------------------------------------------------------------------------------------


async def test_resource_past_its_limit_is_refused_with_both_figures(serve: Serve) -> None:
    async with serve(resource_bytes=2_000) as server:
        large = practitioner("x" * 2_000, id="p")
        for method, path in (("POST", "Practitioner"), ("PUT", "Practitioner/p")):
            response = await server.http.request(method, path, json=large)
            refused(response, 413, "resource-limit")
            assert "2000" in response.text and response.request.headers["content-length"] in response.text
        headers = {"Content-Type": "application/json-patch+json"}
        refused(
            await server.http.patch("Practitioner/p", content=b"[" + b" " * 2_000 + b"]", headers=headers),
            413,
            "resource-limit",
        )
        assert (await server.http.post("Practitioner", json=practitioner("x" * 1_800))).status_code == 201


async def test_patched_resource_past_its_limit_is_refused(serve: Serve) -> None:
    async with serve(resource_bytes=2_000) as server:
        assert (await server.http.put("Practitioner/p", json=practitioner(id="p"))).status_code == 201
        headers = {"Content-Type": "application/json-patch+json"}
        for family, expected in (("x" * 1_000, 200), ("y" * 1_000, 413)):
            operations = [{"op": "add", "path": "/name/-", "value": {"family": family}}]
            response = await server.http.patch("Practitioner/p", json=operations, headers=headers)
            assert response.status_code == expected, response.text
        refused(response, 413, "resource-limit")


async def test_resource_of_an_entry_past_its_limit_is_refused(serve: Serve) -> None:
    async with serve(resource_bytes=2_000) as server:
        large, small = practitioner("x" * 2_000), practitioner()
        entries = [entry("POST", "Practitioner", resource) for resource in (small, large, small)]
        answered = await done(server.http, "batch", *entries)
        assert [status(one) for one in answered] == [201, 413, 201]
        assert expressions(answered[1]["response"]["outcome"]) == ["Bundle.entry[1].resource"]
        response = await server.http.post("", json=bundle("transaction", *entries))
        refused(response, 400, "resource-limit")


async def test_heavy_resource_leaves_the_loop_to_others(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patient of 2 MB took the loop for a second; now a process checks it."""
    monkeypatch.setattr("fhir_server.app.InProcesses", InProcesses)  # of its own: none is started yet
    extensions = [{"url": "https://example.org/fictif", "valueString": f"fictif {number}"} for number in range(2_000)]
    async with serve() as server:
        preparer = server.service.context.preparer
        assert isinstance(preparer, InProcesses)
        for heavy in (False, True):
            body = practitioner(extension=extensions) if heavy else practitioner()
            assert (await server.http.post("Practitioner", json=body)).status_code == 201
            assert bool(preparer.pids) is heavy


# --- forms -----------------------------------------------------------------------------------------------------------


async def test_form_past_its_limit_is_refused(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await http.post("Practitioner/_search", content=b"family=" + b"%41" * 170_000, headers=headers)
    refused(response, 413, "body-limit")
    assert "500000" in response.text


async def test_parameters_are_counted_before_they_are_decoded(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await http.post("Practitioner/_search", content=b"a=%zz&" * 1_000, headers=headers)
    refused(response, 400, "search-bound")
    assert "1000" in response.text and "200" in response.text


async def test_url_of_an_entry_is_bounded(http: httpx.AsyncClient) -> None:
    (answered,) = await done(http, "batch", entry("GET", "Practitioner?family=" + "%41" * 400_000))
    assert ids(answered["response"]["outcome"]) == ["search-bound"]


# --- one answer ------------------------------------------------------------------------------------------------------

SIZE = 30_000
"""Of one resource; an answer of ``FHIR_ANSWER_BYTES`` = 100,000 holds three."""


@pytest.fixture
async def brief(serve: Serve) -> AsyncIterator[Server]:
    """A server with short answers, and eight resources."""
    async with serve(answer_bytes=100_000) as server:
        for number in range(8):
            body = practitioner("x" * SIZE, id=f"p{number}")
            assert (await server.http.put(f"Practitioner/p{number}", json=body)).status_code == 201
        yield server


async def _pages(server: Server, url: str, step: str = "next") -> list[list[str]]:
    """Return the ids of each page, following the links."""
    pages, following = [], url
    while following:
        answer = await server.http.get(following)
        pages.append([one["resource"]["id"] for one in answer.json()["entry"]])
        following = link(answer, step) or ""
        assert len(pages) < 10
    return pages


@pytest.mark.parametrize("url", ["Practitioner", "Practitioner?_count=5", "Practitioner?_sort=-_id", "_history"])
async def test_page_ends_before_it_passes_the_limit(brief: Server, url: str) -> None:
    pages = await _pages(brief, url)
    assert max(map(len, pages)) == 3
    assert sorted(one for page in pages for one in page) == [f"p{number}" for number in range(8)]


async def test_feed_goes_on_after_a_page_that_ended_early(brief: Server) -> None:
    pages = await _pages(brief, "_history?_after=0")
    assert [one for page in pages for one in page] == [f"p{number}" for number in range(8)]


async def test_page_before_ends_early_at_its_far_end(brief: Server) -> None:
    answer = await brief.http.get("Practitioner?_count=4")
    while following := link(answer, "next"):
        answer = await brief.http.get(following)
    last = [one["resource"]["id"] for one in answer.json()["entry"]]
    before = await _pages(brief, link(answer, "prev") or "", "prev")
    assert [one for page in reversed(before) for one in page] + last == [f"p{number}" for number in range(8)]
    assert answer.json()["total"] == 8


async def test_page_has_one_resource_however_large(serve: Serve) -> None:
    async with serve(answer_bytes=100_000) as server:
        for number in range(2):
            await server.http.put(f"Practitioner/p{number}", json=practitioner("x" * 200_000, id=f"p{number}"))
        assert await _pages(server, "Practitioner") == [["p0"], ["p1"]]


async def test_included_resources_past_the_limit_are_refused(brief: Server) -> None:
    for number in range(8):
        await created(brief.http, role(f"Practitioner/p{number}"))
    refused(await brief.http.get("PractitionerRole?_include=PractitionerRole:practitioner"), 400, "answer-limit")
    few = await brief.http.get("PractitionerRole?_include=PractitionerRole:practitioner&_count=3")
    assert len(few.json()["entry"]) == 6


async def test_entries_of_a_batch_past_the_limit_are_refused(brief: Server) -> None:
    reads = [entry("GET", f"Practitioner/p{number}") for number in range(6)]
    answered = await done(brief.http, "batch", *reads, entry("PUT", "Practitioner/p0", practitioner(id="p0")))
    assert sorted(status(one) for one in answered[:-1]) == [200, 200, 200, 400, 400, 400]
    assert [status(answered[place]) for place in (0, 1, -1)] == [200, 200, 200]
    assert ids(answered[-2]["response"]["outcome"]) == ["answer-limit"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_reads_of_a_bundle_that_has_taken_too_long_are_refused(
    brief: Server, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "READS_BEGIN_SECONDS", 0.0)
    put, search = entry("PUT", "Practitioner/p0", practitioner(id="p0")), entry("GET", "Practitioner?_id=p0")
    answered = await done(brief.http, kind, put, search)
    assert [status(one) for one in answered] == [200, 400]
    assert ids(answered[-1]["response"]["outcome"]) == ["bundle-time"]


async def test_write_past_the_limit_is_answered_without_its_resource(brief: Server) -> None:
    large = [entry("POST", "Practitioner", practitioner("y" * SIZE)) for _ in range(5)]
    answered = await done(brief.http, "batch", *large)
    assert [status(one) for one in answered] == [201] * 5
    assert sum("resource" in one for one in answered) == 3


async def test_entries_of_a_transaction_past_the_limit_are_refused(brief: Server) -> None:
    searches = [entry("GET", f"Practitioner?_id=p{number}") for number in range(6)]
    answered = await done(brief.http, "transaction", *searches)
    assert [status(one) for one in answered] == [200, 200, 200, 400, 400, 400]
    assert ids(answered[-1]["response"]["outcome"]) == ["answer-limit"]


async def test_transaction_that_is_stored_is_answered_its_reads_whatever_its_writes_would_say(brief: Server) -> None:
    writes = [entry("POST", "Practitioner", practitioner("y" * SIZE)) for _ in range(5)]
    sent = bundle("transaction", *writes, entry("GET", "Practitioner/p0"))
    answer = await brief.http.post("", json=sent, headers={"Prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    answered = answer.json()["entry"]
    assert [status(one) for one in answered] == [201] * 5 + [200]
    assert answered[-1]["resource"]["id"] == "p0"
    assert 0 < sum("resource" in one for one in answered[:-1]) < 5


@pytest.mark.parametrize("writes", [(), (entry("PUT", "Practitioner/p9", practitioner(id="p9")),)])
@pytest.mark.parametrize("url", ["Practitioner/p0", "Practitioner/p0/_history/1"])
async def test_transaction_that_reads_too_much_by_id_is_refused(
    brief: Server, writes: tuple[Any, ...], url: str
) -> None:
    sent = bundle("transaction", *writes, *[entry("GET", url)] * 6)
    answer = await brief.http.post("", json=sent)
    refused(answer, 400, "answer-limit")
    assert expressions(answer) == [f"Bundle.entry[{len(writes) + 3}].request.url"]
    assert (await brief.http.get("Practitioner/p9")).status_code == 404


async def test_writes_of_a_transaction_past_the_limit_are_answered_without_their_resources(brief: Server) -> None:
    large = [entry("POST", "Practitioner", practitioner("y" * SIZE)) for _ in range(5)]
    sent = bundle("transaction", *large)
    answer = await brief.http.post("", json=sent, headers={"Prefer": "return=representation"})
    answered = answer.json()["entry"]
    assert [status(one) for one in answered] == [201] * 5
    assert sum("resource" in one for one in answered) == 3


async def test_nothing_is_read_for_a_batch_after_a_read_was_refused(brief: Server) -> None:
    asked = 0

    async def counted(request: Request) -> Response:
        nonlocal asked
        asked += 1
        return await brief.service.perform(request)

    wish = bundle("batch", *(entry("GET", "Practitioner?_count=2") for _ in range(20)))
    outer = Request("POST", "", resource=wish)
    envelope = await posted_bundle(brief.service.context, outer)
    await batch(brief.service.context, outer, envelope, counted)
    assert asked == 2


async def test_batch_reads_two_at_a_time(server: Server) -> None:
    running, most = 0, 0
    perform = server.service.perform

    async def counted(request: Request) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        try:
            return await perform(request)
        finally:
            running -= 1

    wish = bundle("batch", *(entry("GET", "Practitioner") for _ in range(9)))
    outer = Request("POST", "", resource=wish)
    envelope = await posted_bundle(server.service.context, outer)
    await batch(server.service.context, outer, envelope, counted)
    assert most == 2


# --- a client that goes away -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "cancelled"), [("GET", True), ("PUT", False)])
async def test_only_a_read_is_dropped_when_its_client_goes_away(
    server: Server, monkeypatch: pytest.MonkeyPatch, method: str, cancelled: bool
) -> None:
    events: list[str] = []

    async def slow(_service: Service, _request: Request) -> Response:
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        events.append("done")
        return Response(200)

    monkeypatch.setattr(Service, "perform", slow)
    messages = iter([{"type": "http.request", "body": b"{}", "more_body": False}])

    async def receive() -> dict[str, object]:
        return next(messages, {"type": "http.disconnect"})

    async def send(_message: object) -> None:
        events.append("sent")

    path = "/fhir/Practitioner/p"
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    task = asyncio.create_task(server.app({**scope, "headers": []}, receive, send))
    await task
    assert events == (["cancelled"] if cancelled else ["done", "sent", "sent"])


async def test_server_that_stops_tells_those_who_are_still_sending(server: Server) -> None:
    sent: list[dict[str, object]] = []
    waits = asyncio.Event()

    async def receive() -> dict[str, object]:
        waits.set()
        return await asyncio.Future()

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    path = "/fhir/Practitioner"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    task = asyncio.create_task(server.app({**scope, "headers": []}, receive, send))  # type: ignore[arg-type]
    await waits.wait()
    task.cancel()
    await task
    assert sent[0]["status"] == 503
    assert b"server-stopping" in bytes(sent[1]["body"])  # type: ignore[call-overload]


async def test_body_that_trickles_for_too_long_is_answered(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FhirApi, "body_seconds", 0.2)
    sent = 0

    async def trickle() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b" "
            await asyncio.sleep(0.02)

    response = await server.http.post("Practitioner", content=trickle())
    refused(response, 408, "body-timeout")
    assert issues(response)[0]["code"] == "timeout" and response.headers["connection"] == "close"
    assert sent < 50
    assert (await server.http.post("Practitioner", json=practitioner())).status_code == 201


async def test_a_server_stops_although_a_client_went_away_at_the_same_moment() -> None:
    async def receive() -> dict[str, object]:
        task.cancel()
        return {"type": "http.disconnect"}

    async def slow() -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(_while_there(receive, slow()))
    await asyncio.wait([task])
    assert task.cancelled()
