"""Who is let in where a proxy in front tells the subject of the certificate, and on which listener."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from fhir_server.rest.door import Door, Doors
from fhir_server.rest.peers import Trusted
from fhir_server.rest.subjects import Client
from tests.rest.conftest import Serve
from tests.rest.wire import send

RIGHT = b"CN=sas.example.org,OU=1259999068,O=\\C3\\89diteur\\, fictif,C=FR"
DOORS = Doors(
    frozenset({Client("sas.example.org", "1259999068")}),
    sas_paths=("/sas", "/sas-sos"),
    open_paths=("/health",),
    header="x-client",
    verify_header="x-verify",
)
VERIFIED = (b"x-verify", b"SUCCESS")

Headers = tuple[tuple[bytes, bytes], ...]


async def said(
    path: str,
    headers: Headers = (),
    *,
    peer: str = "10.1.2.3",
    doors: Doors = DOORS,
    port: int = 8080,
    tls: dict[str, Any] | None = None,
    method: str = "GET",
) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Return why a request is refused, empty if it is not, and the headers that are left of it."""
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    scope |= {"client": (peer, 50_000), "server": ("127.0.0.1", port)}
    if tls is not None:
        scope["extensions"] = {"tls": tls}
    sent: list[Any] = []

    async def keep(message: Any) -> None:
        sent.append(message)

    if not await Door(doors, Trusted(["10.0.0.0/8"])).refuses(scope, keep):
        assert not sent
        return "", scope["headers"]
    start, end = sent
    assert start["status"] == 403
    if method == "HEAD":
        return "", []
    assert dict(start["headers"])[b"content-length"] == str(len(end["body"])).encode()
    [issue] = json.loads(end["body"])["issue"]
    assert issue["details"]["coding"][0]["code"] == "client-refused"
    return issue["diagnostics"].partition(":")[0], scope["headers"]


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (((b"x-client", RIGHT), VERIFIED), ""),
        (((b"x-client", "C=FR, O=Éditeur, OU=1259999068, CN=sas.example.org".encode()), VERIFIED), ""),
        (((b"x-client", b"CN=sas.example.com,OU=1259999068"), VERIFIED), "wrong-cn"),
        (((b"x-client", b"CN=sas.example.org,OU=1259999027"), VERIFIED), "wrong-ou"),
        (((b"x-client", b"CN=x\\,CN=sas.example.org,OU=1259999068"), VERIFIED), "wrong-cn"),
        (((b"x-client", b"/C=FR/OU=1259999068/CN=sas.example.org"), VERIFIED), "malformed"),
        (((b"x-client", b"CN=\xff\xfe,OU=1259999068"), VERIFIED), "malformed"),
        (((b"x-client", RIGHT), (b"x-client", RIGHT), VERIFIED), "malformed"),
        (((b"x-client", RIGHT), (b"x-verify", b"FAILED:certificate has expired")), "unverified"),
        (((b"x-client", RIGHT), (b"x-verify", b"NONE")), "unverified"),
        (((b"x-client", RIGHT), (b"x-verify", b"NONE"), VERIFIED), "unverified"),
        (((b"x-client", RIGHT),), "unverified"),
        (((b"x-client", b""), (b"x-verify", b"NONE")), "absent"),
        (((b"x-client", b"(null)"), VERIFIED), "absent"),
        ((VERIFIED,), "absent"),
        ((), "absent"),
    ],
)
async def test_subject_that_a_trusted_proxy_tells(headers: Headers, why: str) -> None:
    assert await said("/sas/Slot", headers) == (why, [])


@pytest.mark.parametrize("peer", ["192.0.2.7", "::1", "127.0.0.1"])
async def test_subject_that_anybody_else_tells_counts_for_nothing(peer: str) -> None:
    assert await said("/sas/Slot", ((b"x-client", RIGHT), VERIFIED), peer=peer) == ("absent", [])
    kept = ((b"accept", b"*/*"),)
    assert await said("/fhir/Slot", ((b"x-client", RIGHT), *kept, VERIFIED), peer=peer) == ("", list(kept))


async def test_certificate_of_a_proxy_is_not_its_clients() -> None:
    tls = {"client_cert_name": RIGHT.decode(), "client_cert_chain": []}
    assert (await said("/sas/Slot", tls=tls))[0] == "absent"
    assert (await said("/sas/Slot", tls=tls, peer="192.0.2.7"))[0] == ""


@pytest.mark.parametrize(
    ("path", "is_everywhere", "why"),
    [
        ("/sas", False, "absent"),
        ("/sas/", False, "absent"),
        ("/sas-sos/Slot", False, "absent"),
        ("/sas-other", False, ""),
        ("/fhir/Slot", False, ""),
        ("/fhir/Slot", True, "absent"),
        ("/docs", True, "absent"),
        ("/health", True, ""),
    ],
)
async def test_paths_that_demand_a_client(path: str, is_everywhere: bool, why: str) -> None:
    doors = Doors(DOORS.clients, is_everywhere, sas_paths=DOORS.sas_paths, open_paths=DOORS.open_paths)
    assert (await said(path, doors=doors))[0] == why


async def test_listener_of_the_sas_serves_its_paths_and_nothing_else() -> None:
    doors = Doors(sas_paths=("/sas",), sas_port=8443, open_paths=("/health",))
    for path, port, why in (
        ("/sas/Slot", 8443, ""),
        ("/fhir/Slot", 8443, "listener"),
        ("/", 8443, "listener"),
        ("/health", 8443, ""),
        ("/health", 8080, ""),
        ("/sas/Slot", 8080, "listener"),
        ("/fhir/Slot", 8080, ""),
    ):
        assert (await said(path, doors=doors, port=port))[0] == why
    assert await said("/fhir/Slot", doors=doors, port=8443, method="HEAD") == ("", [])


async def test_refusal_is_logged_without_a_name(caplog: pytest.LogCaptureFixture) -> None:
    for ou in (b"1259999027", b"1259999027", b"1259999019"):
        await said("/sas/Slot", ((b"x-client", b"CN=sas.example.org,OU=" + ou), VERIFIED))
    records = [record.__dict__ for record in caplog.records]
    assert [(one["levelno"], one["message"], one["reason"]) for one in records] == [
        (logging.WARNING, "client refused", "wrong-ou")
    ] * 3
    first, again, other = (one["certificate"] for one in records)
    assert first == again != other
    assert "example" not in caplog.text


async def test_door_stands_before_the_sas_base_path(serve: Serve) -> None:
    async with serve(
        clients="CN=sas.example.org,OU=1259999068", client_header="x-client", trusted_proxies=("127.0.0.1",)
    ) as server:
        for headers, status in (([], 403), ([(b"x-client", RIGHT)], 200)):
            assert (await send(server, "GET", b"metadata", headers=headers, base=b"/sas/")).status_code == status
        assert (await send(server, "GET", b"metadata")).status_code == 200
