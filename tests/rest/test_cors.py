"""Browsers: which pages may call the server. https://fetch.spec.whatwg.org/#http-cors-protocol"""

from __future__ import annotations

import httpx
import pytest

from tests.rest.asking import BASE, practitioner
from tests.rest.conftest import Serve, Server

APP = "https://app.example.org"
SENT = "accept,authorization,content-type,if-match,if-modified-since,if-none-exist,if-none-match,prefer,x-request-id"
READ = {"ETag", "Last-Modified", "Location", "X-Request-Id", "Content-Location"}


async def preflight(server: Server, origin: str, method: str = "PUT", headers: str = SENT) -> httpx.Response:
    """Ask as a browser does, without the checks of answers that are meant for clients."""
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app)) as http:
        return await http.options(f"{BASE}/Practitioner/p", headers=asked)


def listed(response: httpx.Response, name: str) -> set[str]:
    return {item.strip() for item in response.headers[name].split(",")}


async def test_no_page_may_call_unless_it_is_told_so(server: Server) -> None:
    assert not [name for name in (await preflight(server, APP)).headers if name.startswith("access-control")]
    answer = await server.http.get("metadata", headers={"Origin": APP})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def test_page_of_a_listed_origin_may_send_what_clients_send(serve: Serve, method: str) -> None:
    async with serve(cors_origins=(APP, "http://localhost:3000")) as server:
        answer = await preflight(server, APP, method)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert method in listed(answer, "access-control-allow-methods")
        assert set(SENT.split(",")) <= {name.lower() for name in listed(answer, "access-control-allow-headers")}
        assert "Origin" in listed(answer, "vary")


async def test_page_of_another_origin_may_not(serve: Serve) -> None:
    async with serve(cors_origins=(APP,)) as server:
        for origin in (
            "https://evil.example.org",
            "https://app.example.org.evil.org",
            "http://app.example.org",
            "null",
        ):
            answer = await preflight(server, origin)
            assert answer.status_code == 400
            assert "access-control-allow-origin" not in answer.headers
            got = await server.http.get("metadata", headers={"Origin": origin})
            assert "access-control-allow-origin" not in got.headers
            assert "Origin" in listed(got, "vary")


async def test_answers_and_refusals_can_be_read_by_the_page(serve: Serve) -> None:
    async with serve(cors_origins=(APP,)) as server:
        answers = [
            await server.http.post("Practitioner", json=practitioner("Page"), headers={"Origin": APP}),
            await server.http.get("Practitioner/nobody", headers={"Origin": APP}),
            await server.http.get("metadata", headers={"Origin": APP, "Accept": "text/html"}),
            await server.http.put("metadata", json={}, headers={"Origin": APP}),
            await server.http.options("Practitioner", headers={"Origin": APP}),
        ]
        assert [answer.status_code for answer in answers] == [201, 404, 406, 405, 200]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == APP
            assert listed(answer, "access-control-expose-headers") >= READ
            assert "Origin" in listed(answer, "vary")


async def test_answer_of_a_cache_depends_on_the_origin_even_if_none_asked(serve: Serve) -> None:
    async with serve(cors_origins=(APP,)) as server:
        answer = await server.http.get("metadata", headers={"Accept-Encoding": "gzip"})
        assert listed(answer, "vary") == {"Accept-Encoding", "Origin"}
        assert "access-control-allow-origin" not in answer.headers


async def test_every_page_may_call_without_cookies_where_the_setting_is_a_star(serve: Serve) -> None:
    async with serve(cors_origins=("*",)) as server:
        answer = await preflight(server, "https://any.example.org")
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        got = await server.http.get("metadata", headers={"Origin": "https://any.example.org", "Cookie": "a=b"})
        assert got.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in got.headers


async def test_server_asks_for_no_access_from_the_public_network(serve: Serve) -> None:
    async with (
        serve(cors_origins=("*",)) as server,
        httpx.AsyncClient(transport=httpx.ASGITransport(server.app)) as http,
    ):
        asked = {
            "Origin": APP,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Private-Network": "true",
        }
        answer = await http.options(f"{BASE}/metadata", headers=asked)
        assert "access-control-allow-private-network" not in answer.headers
