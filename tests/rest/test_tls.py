"""TLS of a listener, and who is let in by the certificate that a client shows, over real sockets."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.rest.authority import CN, DAY, OU, Authority, anonymous, self_signed
from tests.rest.process import Process
from tests.rest.test_regulators import IDNPS, account

Answer = tuple[int, dict[str, Any]]


class Guarded(NamedTuple):
    """A server whose SAS base paths have a listener of their own, with certificates of clients."""

    process: Process
    sas_port: int
    folder: Path
    authority: Authority
    crl: Path
    stderr: Path

    def ask(self, client: ssl.SSLContext, path: str = "/sas/metadata") -> Answer:
        return asked(self.sas_port, client, path)

    def refusals(self) -> list[dict[str, Any]]:
        lines = map(json.loads, self.stderr.read_text().splitlines())
        return [line for line in lines if line["message"] == "client refused"]


def asked(port: int, client: ssl.SSLContext, path: str) -> Answer:
    connection = HTTPSConnection("127.0.0.1", port, timeout=20, context=client)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    crl = authority.revoke(folder / "crl.pem")
    (folder / "clients").write_text(f"CN={CN},OU={OU}\n")
    stderr = folder / "stderr"
    with stderr.open("wb") as log:
        process = Process(
            f"sqlite:{folder / 'store.db'}",
            "--no-definitions",
            "--workers=2",
            "--drain-seconds=60",
            f"--tls-certificate={authority.server(b'secret').path}",
            "--sas-listen=127.0.0.1:0",
            f"--sas-tls-certificate={authority.server().path}",
            f"--client-authorities={authority.path}",
            f"--client-crls={crl}",
            f"--clients=@{folder / 'clients'}",
            stderr=log,
            tls=anonymous(),
            variables={"FHIR_TLS_KEY_PASSWORD": "secret"},
        )
    assert process.popen.stdout is not None
    match = re.search(rb"https://127\.0\.0\.1:(\d+),", process.popen.stdout.readline())
    assert match is not None
    yield Guarded(process, int(match[1]), folder, authority, crl, stderr)
    process.end()


def test_listed_client_is_let_in(guarded: Guarded) -> None:
    status, statement = guarded.ask(guarded.authority.client().client())
    assert (status, statement["resourceType"]) == (200, "CapabilityStatement")
    assert guarded.ask(guarded.authority.client(ous=("autre", OU)).client())[0] == 200


@pytest.mark.parametrize(
    ("cn", "ou", "reason"), [("sas.example.com", OU, "wrong-cn"), (CN, "1259999027", "wrong-ou"), (CN, "", "wrong-ou")]
)
def test_client_of_another_name_is_forbidden(guarded: Guarded, cn: str, ou: str, reason: str) -> None:
    before = len(guarded.refusals())
    made = guarded.authority.client(cn, (ou,) if ou else ())
    status, outcome = guarded.ask(made.client())
    assert status == 403
    assert outcome["issue"][0]["code"] == "forbidden"
    assert outcome["issue"][0]["diagnostics"].startswith(f"{reason}: ")
    [line] = guarded.refusals()[before:]
    digest = ssl.PEM_cert_to_DER_cert(made.path.read_text().partition("-----BEGIN PRIVATE")[0])
    assert (line["reason"], line["level"]) == (reason, "warning")
    assert line["certificate"] == sha256(digest).hexdigest()[:16]
    assert line["request_id"] == outcome["id"]


def other_issuer(guarded: Guarded) -> ssl.SSLContext:
    return Authority(guarded.folder, "Autre").client().client()


def forged_issuer(guarded: Guarded) -> ssl.SSLContext:
    return Authority(guarded.folder).client().client()


def expired(guarded: Guarded) -> ssl.SSLContext:
    return guarded.authority.client(begin=-2 * DAY, end=-DAY).client()


def not_yet(guarded: Guarded) -> ssl.SSLContext:
    return guarded.authority.client(begin=DAY, end=2 * DAY).client()


def of_a_server(guarded: Guarded) -> ssl.SSLContext:
    return guarded.authority.client(is_server=True).client()


@pytest.mark.parametrize(
    ("client", "reason", "alert"),
    [
        (other_issuer, "unknown-issuer", "ALERT_UNKNOWN_CA"),
        (forged_issuer, "unknown-issuer", "ALERT_DECRYPT_ERROR"),
        (expired, "expired", "ALERT_CERTIFICATE_EXPIRED"),
        (not_yet, "not-yet-valid", "ALERT_BAD_CERTIFICATE"),
        (of_a_server, "wrong-purpose", "ALERT_UNSUPPORTED_CERTIFICATE"),
        (lambda guarded: self_signed(guarded.folder).client(), "self-signed", "ALERT_UNKNOWN_CA"),
        (lambda _: anonymous(), "absent", "ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE)"),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_that_cannot_be_verified_is_refused(
    guarded: Guarded, client: Callable[[Guarded], ssl.SSLContext], reason: str, alert: str, version: ssl.TLSVersion
) -> None:
    before = len(guarded.refusals())
    context = client(guarded)
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError, match=alert):
        guarded.ask(context)
    [line] = guarded.refusals()[before:]
    assert (line["reason"], line["level"]) == (reason, "warning")


def test_list_of_clients_counts_as_soon_as_it_is_written(guarded: Guarded) -> None:
    client, file = guarded.authority.client().client(), guarded.folder / "clients"
    before = file.read_text()
    assert guarded.ask(client)[0] == 200
    for text, wanted in (("CN=another.example.org,OU=1259999076\n", 403), ("no subject\n", 403), (before, 200)):
        file.write_text(text)
        _wait_for(guarded, client, wanted)
    assert guarded.refusals()[-1]["reason"] == "wrong-cn"
    assert "another.example.org" not in guarded.stderr.read_text()


def _wait_for(guarded: Guarded, client: ssl.SSLContext, wanted: int) -> None:
    """Ask until each of the two workers may have looked again and several answers in a row are as wanted."""
    end, row = time.monotonic() + 20, 0
    while row < 8:
        assert time.monotonic() < end, f"not {wanted}"
        row = row + 1 if guarded.ask(client)[0] == wanted else 0
        time.sleep(0.2)


def test_revocation_counts_as_soon_as_the_list_is_written(guarded: Guarded) -> None:
    made, other = guarded.authority.client(), guarded.authority.client()
    client = made.client()
    assert guarded.ask(client)[0] == 200
    guarded.authority.revoke(guarded.crl, [made])
    end = time.monotonic() + 20
    with pytest.raises(ssl.SSLError, match="ALERT_CERTIFICATE_REVOKED"):
        while time.monotonic() < end:
            guarded.ask(client)
            time.sleep(0.05)
    assert guarded.refusals()[-1]["reason"] == "revoked"
    assert guarded.ask(other.client())[0] == 200


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_refused(guarded: Guarded) -> None:
    context = guarded.authority.client().client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        guarded.ask(context)
    assert guarded.refusals()[-1]["reason"] == "tls-version"


def test_each_listener_serves_its_own_paths(guarded: Guarded) -> None:
    client = guarded.authority.client().client()
    for path in ("/fhir/metadata", "/docs", "/openapi.json", "/elsewhere"):
        status, outcome = guarded.ask(client, path)
        assert status == 403
        assert outcome["issue"][0]["diagnostics"].startswith("listener: ")
    assert guarded.ask(client, "/health")[0] == 200
    assert guarded.ask(client, "/ready")[0] == 200
    assert guarded.process.ask("GET", "/sas/Slot").status == 403
    assert guarded.process.ask("GET", "/fhir/metadata").status == 200


def test_no_line_of_the_log_names_a_client(guarded: Guarded) -> None:
    guarded.ask(guarded.authority.client("docteur.exemple").client())
    text = guarded.stderr.read_text()
    assert "client refused" in text
    assert not [word for word in ("docteur", "exemple", "diteur", CN, OU) if word in text]


def test_stop_lets_requests_of_each_listener_finish_and_waits_for_no_farewell(guarded: Guarded) -> None:
    begun = []
    client = guarded.authority.client().client()
    idle = HTTPSConnection("127.0.0.1", guarded.sas_port, timeout=20, context=client)
    idle.request("GET", "/health")
    assert idle.getresponse().read()
    places = ((guarded.process.port, "/fhir/Practitioner"), (guarded.sas_port, "/sas/Practitioner")) * 2
    for number, (port, path) in enumerate(places):
        body = json.dumps(account(IDNPS, f"3456780581/{number}")).encode()
        connection = HTTPSConnection("127.0.0.1", port, timeout=20, context=client)
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", "application/fhir+json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:9])
        begun.append((connection, body[9:]))
    time.sleep(0.3)
    guarded.process.popen.terminate()
    time.sleep(0.3)
    for connection, rest in begun:
        connection.send(rest)
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (201, True)
        connection.close()
    assert guarded.process.popen.wait(30) == 0
    idle.close()
