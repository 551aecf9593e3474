"""A client that is cheaper than the server: HTTP/1.1 with keep-alive on bare asyncio, one request at a time.

It reads what these benchmarks need: a status, a Content-Length, a body. https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Final, NamedTuple

HOST: Final = "127.0.0.1"
FHIR_JSON: Final = "application/fhir+json"
SAS_JSON: Final = "application/json+fhir"
"""What the SAS platform sends in Accept."""

_PACED_CONNECTIONS: Final = 16


class Answer(NamedTuple):
    status: int
    body: bytes
    seconds: float
    """From the request's first byte written to the answer's last byte read."""


class WrongAnswer(Exception):
    """The server did not answer as the benchmark needs; what was measured would mean nothing."""

    def __init__(self, answer: Answer, expected: object) -> None:
        text = answer.body[:1_000].decode("utf-8", "replace")
        super().__init__(f"status {answer.status}, expected {expected}: {text}")


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a request; ``path`` is absolute."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {HOST}",
        *(f"{name}: {text}" for name, text in (headers or {}).items()),
    ]
    if body:
        lines += [f"Content-Type: {FHIR_JSON}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def get(path: str, accept: str = FHIR_JSON) -> bytes:
    return request("GET", path, headers={"Accept": accept})


class Connection(asyncio.Protocol):
    """One connection, kept open."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._data = bytearray()
        self._body_at = 0
        self._end = 0
        self._sent = 0.0

    def send(self, data: bytes) -> asyncio.Future[Answer]:
        """Send a request; the answer to the one before must have come."""
        assert self._transport is not None and self._waiter is None  # noqa: S101 - a bug of the benchmark
        self._waiter = asyncio.get_running_loop().create_future()
        self._sent = perf_counter()
        self._transport.write(data)
        return self._waiter

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._end:
            head = self._data.find(b"\r\n\r\n")
            if head < 0:
                return
            self._body_at = head + 4
            self._end = self._body_at + _content_length(bytes(self._data[:head]).lower())
        if len(self._data) >= self._end:
            self._answered()

    def _answered(self) -> None:
        taken = perf_counter() - self._sent
        answer = Answer(int(self._data[9:12]), bytes(self._data[self._body_at : self._end]), taken)
        waiter, self._waiter = self._waiter, None
        self._data.clear()
        self._end = 0
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)


def _content_length(head: bytes) -> int:
    place = head.find(b"\r\ncontent-length:")
    return int(head[place + 17 :].split(b"\r\n", 1)[0]) if place >= 0 else 0


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Open several connections to a server of this machine."""
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    try:
        for _ in range(count):
            _, connection = await loop.create_connection(Connection, HOST, port)
            opened.append(connection)
        yield opened
    finally:
        for connection in opened:
            connection.close()


@dataclass(slots=True)
class Run:
    """What some requests took: seconds of each, of all together, and of this process's own work."""

    samples: list[float] = field(default_factory=list)
    elapsed: float = 0.0
    client_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.samples) / self.elapsed if self.elapsed else 0.0


async def drive(
    port: int,
    requests: Iterable[bytes],
    *,
    clients: int = 1,
    seconds: float = 10.0,
    expected: Collection[int] = (200,),
    check: Callable[[Answer], None] | None = None,
) -> Run:
    """Send requests from several clients at once, each the next one as soon as it has its answer.

    Ends with the requests, or after so many seconds. Raises ``WrongAnswer`` for a status not expected.
    """
    run = Run()
    feed = iter(requests)

    async def client(connection: Connection) -> None:
        for each in feed:
            if perf_counter() > deadline:
                return
            answer = await connection.send(each)
            if answer.status not in expected:
                raise WrongAnswer(answer, expected)
            run.samples.append(answer.seconds)
            if check is not None:
                check(answer)

    async with connections(port, clients) as opened, asyncio.timeout(seconds + 120):
        started, cpu = perf_counter(), process_time()
        deadline = started + seconds
        async with asyncio.TaskGroup() as group:
            for connection in opened:
                group.create_task(client(connection))
        run.elapsed, run.client_cpu = perf_counter() - started, process_time() - cpu
    return run


async def paced(
    port: int,
    requests: Iterable[bytes],
    *,
    pause: float,
    until: asyncio.Event | None = None,
    check: Callable[[Answer], None] | None = None,
) -> Run:
    """Send a request every ``pause`` seconds, whether those before are answered or not, until they end or ``until`` is
    set.

    What a request takes counts from the instant it was due: a stall of the server is not hidden by a client that
    stalls with it. There are 16 connections; where all wait for answers, the next request waits too, and that counts.
    """
    run = Run()
    async with connections(port, _PACED_CONNECTIONS) as opened, asyncio.TaskGroup() as group:
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in opened:
            free.put_nowait(connection)

        async def one(data: bytes, due: float) -> None:
            connection = await free.get()
            answer = await connection.send(data)
            run.samples.append(perf_counter() - due)
            free.put_nowait(connection)
            if answer.status != 200:
                raise WrongAnswer(answer, 200)
            if check is not None:
                check(answer)

        started, cpu = perf_counter(), process_time()
        for turn, each in enumerate(requests):
            due = started + turn * pause
            if until is not None and until.is_set():
                break
            await asyncio.sleep(max(0.0, due - perf_counter()))
            group.create_task(one(each, due))
        run.elapsed, run.client_cpu = perf_counter() - started, process_time() - cpu
    return run


async def ask(port: int, data: bytes, expected: Collection[int] = (200,)) -> Answer:
    """Send one request on a connection of its own."""
    async with connections(port, 1) as (connection,), asyncio.timeout(120):
        answer = await connection.send(data)
    if answer.status not in expected:
        raise WrongAnswer(answer, expected)
    return answer
