"""A TCP proxy that reads MongoDB's messages as they pass, and may delay one or cut the connection around it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Fate: TypeAlias = Literal["pass", "delay", "cut before", "cut after"]
"""``cut before``: the message never arrives. ``cut after``: it arrives, and its sender will not know."""
Direction: TypeAlias = Literal["request", "answer"]
Decide: TypeAlias = Callable[[Direction, bytes], Fate]

DELAY_SECONDS = 0.15


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
