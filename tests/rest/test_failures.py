"""When the store cannot, or the server has a bug: the status says so, and nothing else is told."""

from __future__ import annotations

import json
import logging
from typing import cast

import httpx
import pytest

from fhir_server.logs import JsonLines
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.service import HANDLERS
from fhir_server.storage.protocol import (
    CommitTooLarge,
    CursorGone,
    QueryTimeout,
    QueryTooCostly,
    SchemaTooNew,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from tests.rest.asking import done, entry, expressions, ids, issues, post, practitioner, refused, status
from tests.rest.conftest import Server
from tests.rest.failing import FailingStore, put_failing_store

PERSONAL = "Dupont Jeanne 2690525"


@pytest.fixture
async def store(server: Server) -> FailingStore:
    await server.http.put("Practitioner/p", json=practitioner(id="p"))
    return put_failing_store(server)


REQUESTS = [
    ("GET", "Practitioner/p", None),
    ("GET", "Practitioner/p/_history/1", None),
    ("GET", "Practitioner", None),
    ("GET", "_history", None),
    ("POST", "Practitioner", practitioner()),
    ("PUT", "Practitioner/p", practitioner("Neuf", id="p")),
    ("PUT", "Practitioner?family=x", practitioner("Neuf")),
    ("DELETE", "Practitioner/p", None),
    ("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry("GET", "Practitioner/p")]}),
    ("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry("DELETE", "Practitioner/p")]}),
]


@pytest.mark.parametrize(
    ("error", "expected", "id_"),
    [
        (StoreUnavailable("queue"), 503, "store-unavailable"),
        (StoreError("?"), 503, "store-unavailable"),
        (SchemaTooNew("the store was written by a newer program"), 503, "store-newer"),
        (StoreFull("disk"), 507, "store-full"),
        (CommitTooLarge(12, 10), 413, "commit-limit"),
        (QueryTimeout("the search took more than 10 s"), 400, "query-too-costly"),
        (QueryTooCostly("more than 100 values"), 400, "query-too-costly"),
        (CursorGone("the log is another"), 410, "log-position"),
    ],
)
async def test_errors_of_the_store_have_their_status(
    http: httpx.AsyncClient, store: FailingStore, error: Exception, expected: int, id_: str
) -> None:
    store.error = error
    for method, path, body in REQUESTS:
        response = await http.request(method, path, json=body)
        refused(response, expected, id_)
        assert (response.headers.get("retry-after") == "1") == (id_ == "store-unavailable")
    store.error = None
    assert (await http.get("Practitioner/p")).json()["meta"]["versionId"] == "1"


async def test_both_figures_of_a_commit_that_is_too_large(http: httpx.AsyncClient, store: FailingStore) -> None:
    store.error = CommitTooLarge(1234, 999)
    text = issues(await http.delete("Practitioner/p"))[0]["diagnostics"]
    assert "1234" in text and "999" in text


async def test_bug_is_told_by_the_id_of_the_request_alone(
    http: httpx.AsyncClient, store: FailingStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.error = ValueError(PERSONAL)
    for method, path, body in REQUESTS:
        caplog.clear()
        response = await http.request(method, path, json=body, headers={"X-Request-Id": "r-1"})
        refused(response, 500, "server-failed")
        assert "r-1" in issues(response)[0]["diagnostics"]
        assert issues(response)[0]["code"] == "exception" and issues(response)[0]["severity"] == "fatal"
        assert PERSONAL not in response.text and "ValueError" not in response.text
        (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        line = JsonLines().format(record)
        assert json.loads(line)["request_id"] == "r-1"
        assert "ValueError" in line and "failing.py" in line and PERSONAL not in line


async def test_bug_in_one_entry_of_a_batch_is_its_own(
    http: httpx.AsyncClient, store: FailingStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_key: Key) -> None:
        raise KeyError(PERSONAL)

    monkeypatch.setattr(store, "read", broken)
    first, second = await done(http, "batch", entry("GET", "Practitioner/p"), entry("GET", "metadata"))
    assert (status(first), status(second)) == (500, 200)
    assert ids(first["response"]["outcome"]) == ["server-failed"]
    assert PERSONAL not in json.dumps(first)
    assert any(record.exc_info for record in caplog.records)


async def test_bug_after_a_transaction_is_the_entrys_own(
    http: httpx.AsyncClient, store: FailingStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError(PERSONAL)

    monkeypatch.setitem(cast("dict[Interaction, object]", HANDLERS), Interaction.SEARCH_TYPE, broken)
    first, second = await done(
        http, "transaction", entry("PUT", "Practitioner/p", practitioner("Neuf", id="p")), entry("GET", "Practitioner")
    )
    assert (status(first), status(second)) == (200, 500)
    outcome = second["response"]["outcome"]
    assert ids(outcome) == ["server-failed"] and expressions(outcome) == ["Bundle.entry[1]"]
    assert PERSONAL not in json.dumps(second)
    assert any(record.exc_info for record in caplog.records)
    assert (await http.get("Practitioner/p")).json()["meta"]["versionId"] == "2"


async def test_entries_of_a_batch_have_the_status_of_the_store(http: httpx.AsyncClient, store: FailingStore) -> None:
    store.error = StoreUnavailable("queue")
    response = await post(http, "batch", entry("DELETE", "Practitioner/p"), entry("GET", "metadata"))
    assert [status(item) for item in response.json()["entry"]] == [503, 200]


async def test_health_and_readiness(server: Server, store: FailingStore) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url="http://127.0.0.1:8080") as http:
        assert (await http.get("/ready")).json() == {"status": "pass", "warnings": []}
        store.error = StoreUnavailable("gone")
        ready = await http.get("/ready")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
        assert (await http.get("/health")).json() == {"status": "pass"}
