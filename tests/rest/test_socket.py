"""The server as a process, over a real socket, with clients that behave and clients that do not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.rest.asking import bundle, entry, practitioner
from tests.rest.process import HEADERS, Process, said

BODY = json.dumps(practitioner("Alice")).encode()
HEAD = (
    b"POST /fhir/Practitioner HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/fhir+json\r\nContent-Length: %d\r\n" % len(BODY)
)
"""The head of a request to create ``BODY``, but for the blank line at its end."""


def serving(folder: Path, stderr: IO[bytes] | None = None) -> Process:
    return Process(f"sqlite:{folder / 'store.db'}", "--body-bytes", "100000", "--no-definitions", stderr=stderr)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    running = serving(tmp_path_factory.mktemp("socket"))
    yield running
    running.end()


def received(client: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_one_connection_serves_many_requests(process: Process) -> None:
    connection = process.connect()
    made = said(connection, "POST", "/fhir/Practitioner", BODY)
    assert made.status == 201
    first = connection.sock
    path = "/" + made.headers["Location"].split("/", 3)[3].partition("/_history")[0]
    for method, status in (("GET", 200), ("HEAD", 200), ("GET", 200), ("DELETE", 204), ("GET", 410), ("HEAD", 410)):
        answer = said(connection, method, path)
        assert answer.status == status
        if method == "HEAD":
            assert int(answer.headers["Content-Length"]) > 0
    assert said(connection, "POST", "/fhir", b'{"resourceType":"Bundle","type":"batch"}').status == 200
    assert connection.sock is first
    connection.close()


def test_location_leads_to_the_resource(process: Process) -> None:
    made = process.ask("POST", "/fhir/Practitioner", BODY)
    assert made.headers["Location"].startswith(f"http://127.0.0.1:{process.port}/fhir/Practitioner/")
    path = made.headers["Location"].partition(str(process.port))[2]
    assert process.ask("GET", path).text == made.text  # type: ignore[attr-defined]


def test_body_in_chunks(process: Process) -> None:
    connection = process.connect()
    pieces = (BODY[place : place + 7] for place in range(0, len(BODY), 7))
    connection.request("POST", "/fhir/Practitioner", body=pieces, headers=HEADERS, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 201
    answer.read()
    connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_body_past_the_limit_is_answered(process: Process, chunked: bool) -> None:
    connection = process.connect()
    body: Any = (b" " * 10_000 for _ in range(20)) if chunked else b" " * 200_000
    connection.request("POST", "/fhir/Practitioner", body=body, headers=HEADERS, encode_chunked=chunked)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["issue"][0]["code"] == "too-long"
    connection.close()
    assert process.ask("GET", "/fhir/metadata").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET",
        b"GET /fhir/metadata HTTP/1.1\r\nHost: x",
        b"POST /fhir/Practitioner HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        b"POST /fhir/Practitioner HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_half_a_request_harms_nobody(process: Process, data: bytes) -> None:
    before = process.ask("GET", "/fhir/Practitioner?_summary=count").text  # type: ignore[attr-defined]
    process.raw(data).close()
    after = process.ask("GET", "/fhir/Practitioner?_summary=count").text  # type: ignore[attr-defined]
    assert json.loads(after)["total"] == json.loads(before)["total"]


@pytest.mark.parametrize(
    "data",
    [
        b"oops\r\n\r\n",
        b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
        b"POST /fhir/Practitioner HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n{}",
        b"POST /fhir/Practitioner HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /fhir/Practitioner HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_http_is_refused(process: Process, data: bytes) -> None:
    with process.raw(data) as client:
        client.shutdown(socket.SHUT_WR)
        answer = received(client)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert process.ask("GET", "/health").status == 200


def test_letters_that_nobody_percent_encoded(process: Process) -> None:
    request = "GET /fhir/Practitioner?family=Élodie HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    with process.raw(request) as client:
        answer = received(client)
    assert answer.split(b" ", 2)[1] in {b"200", b"400"}


def test_slow_client_holds_up_nobody(process: Process) -> None:
    with process.raw(HEAD + b"Connection: close\r\n\r\n") as slow:
        for byte in range(0, len(BODY) - 10, 10):
            slow.sendall(BODY[byte : byte + 10])
            assert process.ask("GET", "/health").status == 200
            sent = byte + 10
        slow.sendall(BODY[sent:])
        assert received(slow).startswith(b"HTTP/1.1 201 ")


def test_pipelined_requests_are_answered_in_order(process: Process) -> None:
    paths = ("/fhir/metadata", "/fhir/Practitioner/none", "/health")
    requests = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths[:-1])
    last = f"GET {paths[-1]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with process.raw((requests + last).encode()) as client:
        answer = received(client)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"404", b"200"]


def test_sigterm_lets_running_requests_finish(tmp_path: Path) -> None:
    process = serving(tmp_path)
    with process.raw(HEAD + b"\r\n" + BODY[:20]) as slow:
        time.sleep(0.3)
        process.popen.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.popen.poll() is None
        slow.sendall(BODY[20:])
        assert slow.recv(65_536).startswith(b"HTTP/1.1 201 ")
    assert process.end() == 0


@pytest.mark.parametrize("wait", [0.3, 0.8, 1.5])
def test_ctrl_c_leaves_a_bundle_in_work_and_no_trace(tmp_path: Path, wait: float) -> None:
    """Ctrl-C reaches the whole group of processes; the one that checks resources may be in the midst of its start."""
    wish = json.dumps(bundle("transaction", *[entry("POST", "Practitioner", practitioner())] * 400)).encode()
    head = b"POST /fhir HTTP/1.1\r\nHost: x\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n"
    with (tmp_path / "stderr").open("w+b") as stderr:
        process = serving(tmp_path, stderr)
        with process.raw(head % len(wish) + wish) as client:
            time.sleep(wait)
            os.killpg(process.popen.pid, signal.SIGINT)
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert process.popen.wait(30) == 0
        process.end()
        stderr.seek(0)
        told = stderr.read()
    assert b"Traceback" not in told and b"did not prepare" not in told, told.decode()
