"""Behind a proxy: forwarded headers of trusted peers choose the base URL that is written, and nobody else's do."""

from __future__ import annotations

import httpx
import pytest

from fhir_server.rest.forwarded import Told, chosen, made, told
from tests.rest.asking import bundle, created, entry, link, practitioner, role
from tests.rest.conftest import Serve, Server

OUT, IN, OTHER = "https://fhir.example.org/r4", "http://intern.example.org:8080/fhir", "https://cpts.example.org/fhir"
BASES = (OUT, IN, OTHER)
OTHERS = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cpts.example.org"}


async def written(server: Server, headers: dict[str, str], peer: str = "127.0.0.1") -> str:
    """Return the base URL that an answer to such a request writes."""
    transport = httpx.ASGITransport(server.app, client=(peer, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080/fhir/") as http:
        response = await http.get("metadata", headers=headers)
        assert response.status_code == 200
        base: str = response.json()["implementation"]["url"]
        return base


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, OUT),
        (OTHERS, OTHER),
        ({"Forwarded": "for=192.0.2.1;proto=https;host=cpts.example.org"}, OTHER),
        ({"Forwarded": 'for="[2001:db8::1]:4711";host="CPTS.example.org:443" ; proto=HTTPS'}, OTHER),
        ({"X-Forwarded-Host": "intern.example.org:8080"}, IN),
        ({"X-Forwarded-Host": "intern.example.org", "X-Forwarded-Port": "8080", "X-Forwarded-Proto": "http"}, IN),
        ({"X-Forwarded-Proto": "https", "Host": "cpts.example.org"}, OTHER),
        ({"Host": "cpts.example.org"}, OUT),
        ({"X-Forwarded-Proto": "http", "X-Forwarded-Host": "cpts.example.org"}, OUT),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example.net"}, OUT),
        ({"X-Forwarded-Host": "evil.example.net, cpts.example.org"}, OTHER),
        ({"X-Forwarded-Host": "cpts.example.org, evil.example.net"}, OUT),
        ({"Forwarded": "host=cpts.example.org, host=evil.example.net"}, OUT),
        ({**OTHERS, "Forwarded": "host=intern.example.org:8080;proto=http"}, OUT),
        ({**OTHERS, "Forwarded": "proto=https"}, OTHER),
        ({**OTHERS, "Forwarded": "for=192.0.2.1"}, OTHER),
        ({**OTHERS, "Forwarded": 'host="cpts.example.org'}, OUT),
        ({**OTHERS, "X-Forwarded-Port": "99999"}, OUT),
    ],
)
async def test_trusted_proxy_chooses_among_the_configured_base_urls(
    serve: Serve, headers: dict[str, str], base: str
) -> None:
    async with serve(base_url=BASES, trusted_proxies=("127.0.0.1",)) as server:
        assert await written(server, headers) == base


@pytest.mark.parametrize("peer", ["192.0.2.7", "::1", "testclient", "127.0.0.2"])
async def test_headers_of_anyone_else_are_not_looked_at(serve: Serve, peer: str) -> None:
    async with serve(base_url=BASES, trusted_proxies=("127.0.0.1", "10.0.0.0/8")) as server:
        assert await written(server, OTHERS, peer) == OUT


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"])
async def test_networks_can_be_trusted(serve: Serve, peer: str) -> None:
    async with serve(base_url=BASES, trusted_proxies=("10.0.0.0/8", "2001:db8::/32")) as server:
        assert await written(server, OTHERS, peer) == OTHER


async def test_without_trusted_proxies_no_header_is_read(server: Server) -> None:
    forged = {**OTHERS, "Forwarded": "host=evil.example.net;proto=https", "Host": "evil.example.net"}
    assert await written(server, forged) == "http://127.0.0.1:8080/fhir"


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        (OTHERS, OTHER),
        ({**OTHERS, "X-Forwarded-Prefix": "/cpts/"}, "https://cpts.example.org/cpts/fhir"),
        ({**OTHERS, "X-Forwarded-Port": "8443"}, "https://cpts.example.org:8443/fhir"),
        ({"Forwarded": 'host="[2001:db8::1]:8443";proto=https'}, "https://[2001:db8::1]:8443/fhir"),
        ({"X-Forwarded-Proto": "https", "Host": "cpts.example.org"}, OTHER),
        ({"X-Forwarded-For": "192.0.2.1", "Host": "evil.example.net"}, "http://127.0.0.1:8080/fhir"),
        *(
            ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": host}, "http://127.0.0.1:8080/fhir")
            for host in ("a/b", "a@b", 'a"b', "a b", "a?b", "a#b", "a:b", "a:0", "[a]", "é", "<a>", "\\a", "a" * 300)
        ),
        *(
            ({**OTHERS, "X-Forwarded-Prefix": prefix}, "http://127.0.0.1:8080/fhir")
            for prefix in ("//evil.example.net", "/../x", "evil", "/a?b", "/a b", "/%2e%2e", "https://evil.example.net")
        ),
        ({"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "a"}, "http://127.0.0.1:8080/fhir"),
    ],
)
async def test_without_base_urls_a_trusted_proxy_tells_them(serve: Serve, headers: dict[str, str], base: str) -> None:
    async with serve(trusted_proxies=("127.0.0.1",)) as server:
        given = {name: value.encode() for name, value in headers.items()}
        assert await written(server, given) == base  # type: ignore[arg-type]


async def test_all_that_an_answer_writes_is_under_the_chosen_base(serve: Serve) -> None:
    async with serve(base_url=BASES, trusted_proxies=("127.0.0.1",)) as server:
        server.http.headers.update(OTHERS)
        made = await server.http.post("Practitioner", json=practitioner("Un"))
        assert made.headers["location"].startswith(f"{OTHER}/Practitioner/")
        await created(server.http, practitioner("Deux"))
        page = await server.http.get("Practitioner?_count=1")
        assert page.json()["entry"][0]["fullUrl"].startswith(f"{OTHER}/Practitioner/")
        assert (link(page, "self") or "").startswith(f"{OTHER}/Practitioner?")
        history = await server.http.get("_history")
        assert all(entry["fullUrl"].startswith(f"{OTHER}/") for entry in history.json()["entry"])
        for type_ in ("batch", "transaction"):
            answer = await server.http.post("", json=bundle(type_, entry("POST", "Practitioner", practitioner())))
            assert answer.json()["entry"][0]["response"]["location"].startswith(f"{OTHER}/Practitioner/")


async def test_page_goes_on_under_another_base(serve: Serve) -> None:
    async with serve(base_url=BASES, trusted_proxies=("127.0.0.1",)) as server:
        for name in ("Un", "Deux"):
            await created(server.http, practitioner(name))
        first = await server.http.get("Practitioner?_count=1", headers=OTHERS)
        following = (link(first, "next") or "").removeprefix(OTHER + "/")
        second = await server.http.get(following)
        assert (link(second, "self") or "").startswith(OUT)
        assert second.json()["entry"][0]["resource"]["id"] != first.json()["entry"][0]["resource"]["id"]


async def test_references_under_each_base_are_ours_whatever_is_written(serve: Serve) -> None:
    async with serve(base_url=BASES, trusted_proxies=("127.0.0.1",)) as server:
        await server.http.put("Practitioner/p", json=practitioner(id="p"))
        for base in BASES:
            await created(server.http, role(f"{base}/Practitioner/p"))
        for headers in ({}, OTHERS):
            answer = await server.http.get("PractitionerRole?practitioner=Practitioner/p", headers=headers)
            assert answer.json()["total"] == len(BASES)


async def test_no_redirect_repeats_the_host_of_a_client(server: Server) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app)) as http:
        for path in ("/health/", "/docs/", "/ready/"):
            assert (await http.get(f"http://evil.example.net{path}")).status_code == 404


@pytest.mark.parametrize(
    ("prefix", "base"),
    [
        (None, "https://h/a/fhir"),
        ("/b", "https://h/b/fhir"),
        ("/c", "https://h/a/fhir"),
        ("/a/fhir", "https://h/a/fhir"),
    ],
)
def test_prefix_tells_base_urls_of_one_host_apart(prefix: str | None, base: str) -> None:
    bases = ("https://h/a/fhir", "https://h/b/fhir", "https://h/bb/fhir")
    assert chosen(bases, Told("https", "h", None, prefix)) == base


def test_port_of_the_scheme_is_not_written() -> None:
    assert made(Told("https", "h", 443), "/fhir") == "https://h/fhir"
    assert made(Told("http", "h", 443), "/fhir") == "http://h:443/fhir"


def test_long_header_is_read_in_linear_time() -> None:
    assert told({"forwarded": 'host="' + "\\a" * 30_000}) is None
    assert told({"forwarded": "," * 60_000}) is None
    assert told({"x-forwarded-host": "a," * 30_000}) is None
