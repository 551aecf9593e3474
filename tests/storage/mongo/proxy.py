"""A TCP proxy that reads MongoDB's messages as they pass, and may delay one or cut the connection around it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import bson

Fate: TypeAlias = Literal["pass", "delay", "cut before", "cut after"]
"""``cut before``: the message never arrives. ``cut after``: it arrives, and its sender will not know."""
Direction: TypeAlias = Literal["request", "answer"]
Decide: TypeAlias = Callable[[Direction, bytes], Fate]

DELAY_SECONDS = 0.15
DOCUMENT_STARTS: Final = {1: 36, 2013: 21}
"""Where the document of an answer begins, by the kind of message: OP_REPLY, OP_MSG."""


@dataclass
class Proxy:
    """``decide`` is asked for each message; it may be replaced at any time."""

    host: str
    port: int
    decide: Decide = lambda _direction, _message: "pass"
    own_port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self.host, self.port)
        both = (writer, there_writer)
        self._writers.update(both)
        ways = (
            self._carry(reader, there_writer, "request", both),
            self._carry(there_reader, writer, "answer", both),
        )
        for way in ways:
            task = asyncio.create_task(way)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
        both: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(4)
                message = head + await reader.readexactly(struct.unpack("<i", head)[0] - 4)
                if direction == "answer":
                    message = for_the_whole_set(message, f"127.0.0.1:{self.own_port}")
                fate = self.decide(direction, message)
                if fate == "cut before":
                    break
                if fate == "delay":
                    await asyncio.sleep(DELAY_SECONDS)
                writer.write(message)
                await writer.drain()
                if fate == "cut after":
                    break
        for one in both:
            with suppress(OSError, RuntimeError):
                one.close()

    def cut(self) -> None:
        """Cut every connection."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def end(self) -> None:
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def for_the_whole_set(message: bytes, address: str) -> bytes:
    """Let a member of a replica set say that it is the only one, at an address: a driver would go round the proxy."""
    start = DOCUMENT_STARTS.get(int.from_bytes(message[12:16], "little"))
    if start is None or b"\x02setName\0" not in message:
        return message
    size = int.from_bytes(message[start : start + 4], "little")
    said: dict[str, Any] = bson.decode(message[start : start + size])
    if "setName" not in said:
        return message
    own: dict[str, Any] = {"me": address, "primary": address, "hosts": [address], "passives": [], "arbiters": []}
    document = bson.encode(said | own)
    rest = message[4:start] + document + message[start + size :]
    return struct.pack("<i", 4 + len(rest)) + rest


@asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[Proxy]:
    """Serve a proxy on a free loopback port."""
    proxy = Proxy(host, port)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.own_port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.end()
