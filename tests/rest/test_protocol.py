"""What comes before a request is whole is bounded in size and time: over a real socket, in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from uvicorn import Config, Server

from fhir_server.rest.protocol import UNREAD_BYTES, BoundedProtocol

Port = int


class Hasty(BoundedProtocol):
    patience = 0.2
    body_seconds = 0.5


async def answer_early(scope: Any, receive: Any, send: Any) -> None:
    """Answer before the body was read, as a body that is too large is."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the length of the body."""
    if scope["path"] == "/early":
        await answer_early(scope, receive, send)
        return
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port(request: pytest.FixtureRequest) -> AsyncIterator[Port]:
    """A listener with the protocol that the test names, or the usual one."""
    protocol = getattr(request, "param", BoundedProtocol)
    server = Server(Config(echo, http=protocol, lifespan="off", ws="none", log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([listener])
        yield listener.getsockname()[1]
        server.force_exit = True
        await server.shutdown([listener])


async def said(port: Port, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send pieces, and return all that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


LAST = b"Host: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "piece",
    [b"x" * 10_000, b"X-Long: x\r\n" * 1_000, b"Y" * 5_000 + b": y\r\n"],
    ids=["one header", "many headers", "long names"],
)
async def test_endless_headers_are_cut(port: Port, piece: bytes) -> None:
    sent = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nX-First: ")
    answer = asyncio.create_task(reader.read())
    while not answer.done() and sent < 50 * UNREAD_BYTES:
        try:
            writer.write(piece)
            await writer.drain()
        except ConnectionError:
            break
        sent += len(piece)
        await asyncio.sleep(0.001)
    with suppress(ConnectionError):  # closed while there was more to read
        assert (await answer).startswith(b"HTTP/1.1 431 ")
    assert sent < 20 * UNREAD_BYTES
    writer.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"0\r\n"] + [b"X-Trailer: x\r\n" * 1_000] * 60,
        [b"5;"] + [b"x" * 10_000] * 60,
    ],
    ids=["trailers", "chunk extension"],
)
async def test_what_is_around_a_body_is_cut_too(port: Port, pieces: list[bytes]) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await said(port, head, *pieces, pause=0.002)
    assert not answer.startswith(b"HTTP/1.1 200")


async def test_headers_below_the_bound_and_large_bodies_pass(port: Port) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1_000) for number in range(60))
    body = b"x" * 2_000_000
    head = b"POST / HTTP/1.1\r\n" + headers + LAST + b"Content-Length: %d\r\n\r\n" % len(body)
    pieces = [head[start : start + 7_000] for start in range(0, len(head), 7_000)]
    assert (await said(port, *pieces, body)).endswith(b"2000000")


async def test_bytes_are_counted_for_each_request_anew(port: Port) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 50_000 + b"\r\n"
    last = head + b"Connection: close\r\n\r\n"
    answer = await said(port, *[head + b"\r\n"] * 6, last)
    assert answer.count(b"HTTP/1.1 200") == 7


@pytest.mark.parametrize("port", [Hasty], indirect=True)
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", b""),
    ],
    ids=["nothing", "half a head", "half a body"],
)
async def test_who_keeps_waiting_is_left(port: Port, data: bytes, expected: bytes) -> None:
    answer = await said(port, data)
    assert answer.startswith(expected)
    assert b" 200 " not in answer


@pytest.mark.parametrize("port", [Hasty], indirect=True)
async def test_who_sends_slowly_is_not_left(port: Port) -> None:
    head = b"POST / HTTP/1.1\r\n" + LAST + b"Content-Length: 8\r\n\r\n"
    assert (await said(port, head, *[b"x"] * 8, pause=0.08)).endswith(b"8")


@pytest.mark.parametrize("port", [Hasty], indirect=True)
async def test_body_that_trickles_on_after_its_answer_is_cut(port: Port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    rest = asyncio.create_task(reader.read())
    sent = 0
    while not rest.done() and sent < 100:
        with suppress(ConnectionError):
            writer.write(b"x")
            await writer.drain()
        sent += 1
        await asyncio.sleep(0.05)
    assert rest.done()
    with suppress(ConnectionError):
        await rest
    assert 5 < sent < 50
    writer.close()


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
"""What Java's own client sends with each request that is not encrypted."""


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"Content-Length: 5\r\n\r\n12345"], b"5"),
        ([b"Content-Length: 5\r\n\r\n", b"12", b"345"], b"5"),
        ([b"Content-Length: 5\r\n", b"\r\n12345"], b"5"),
        ([b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", b"0\r\n\r\n"], b"5"),
        ([b"\r\n"], b"0"),
    ],
    ids=["at once", "body in pieces", "head in pieces", "chunks", "no body"],
)
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
async def test_offer_of_another_protocol_is_declined(
    port: Port, protocol: bytes, pieces: list[bytes], expected: bytes
) -> None:
    first, *others = pieces
    head = b"POST / HTTP/1.1\r\nHost: x\r\n" + OFFER.replace(b"h2c", protocol)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in (head + first, *others, *([head + first] if not others else [])):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.005)
    writer.write(b"GET / HTTP/1.1\r\n" + LAST + b"\r\n")
    answers = (await asyncio.wait_for(reader.read(), 5)).split(b"HTTP/1.1 ")
    assert all(answer.startswith(b"200 ") for answer in answers[1:])
    assert [answer[-1:] for answer in answers[1:]] == [expected] * (1 if others else 2) + [b"0"]
    writer.close()
