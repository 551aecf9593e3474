"""Sizes of bodies and headers: both figures are told. https://hl7.org/fhir/R4/http.html#Status-Codes"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.rest.asking import found, practitioner, refused
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


async def test_many_parameters_are_refused(http: httpx.AsyncClient) -> None:
    response = await http.get("Practitioner?" + "&".join(f"family=n{n}" for n in range(1_000)))
    assert response.status_code == 400
