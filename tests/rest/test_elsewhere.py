"""What stands beside the FHIR base path, and what does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.rest.asking import ids, issues
from tests.rest.conftest import Server


@pytest.fixture
async def root(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/Patient/1", "/metadata", "/fhirx", "/health/"])
async def test_who_looks_in_the_wrong_place_is_told_the_right_one(root: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        response = await root.request(method, path)
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/fhir+json"
        assert ids(response) == ["path-unknown"]
        for place in ("/fhir/metadata", "/docs"):
            assert place in issues(response)[0]["diagnostics"]


async def test_other_method_of_what_is_there_is_refused(root: httpx.AsyncClient) -> None:
    response = await root.post("/health")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    assert response.json()["resourceType"] == "OperationOutcome"


async def test_document_is_written_once(
    root: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await root.get("/openapi.json")
    assert first.headers["content-type"] == "application/json"
    assert first.json() == json.loads(json.dumps(server.app.openapi()))
    monkeypatch.setattr(
        "fhir_server.rest.application.serialize", lambda _document: pytest.fail("the document is written again")
    )
    assert (await root.get("/openapi.json")).content == first.content


async def test_pages_of_the_documentation_are_there(root: httpx.AsyncClient) -> None:
    assert '"openapi.json"' in (await root.get("/docs")).text
