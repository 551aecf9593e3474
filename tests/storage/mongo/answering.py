"""A server that speaks MongoDB's wire protocol and gives the same answers to everybody.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import bson

Documents = Mapping[str, Mapping[str, Any]]
"""The answer to each command, by its name; ``hello`` is any greeting."""

OP_REPLY: Final = 1
OP_QUERY: Final = 2004
OP_MSG: Final = 2013
GREETINGS: Final = frozenset({"hello", "ismaster", "isMaster"})
HELLO: Final = {
    "ok": 1,
    "isWritablePrimary": True,
    "ismaster": True,
    "minWireVersion": 0,
    "maxWireVersion": 13,
    "maxBsonObjectSize": 16_777_216,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
}


@asynccontextmanager
async def answering(documents: Documents) -> AsyncIterator[int]:
    """Serve on a free loopback port; give its number. Commands that have no answer are answered ``ok``."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = asyncio.current_task()
        assert own is not None
        tasks.add(own)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                length, number, _, kind = struct.unpack("<iiii", await reader.readexactly(16))
                writer.write(_answer(documents, number, kind, await reader.readexactly(length - 16)))
                await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


def _answer(documents: Documents, number: int, kind: int, message: bytes) -> bytes:
    start = 5 if kind == OP_MSG else message.index(b"\0", 4) + 9
    size = int.from_bytes(message[start : start + 4], "little")
    name = next(iter(bson.decode(message[start : start + size])))
    document = documents.get("hello", HELLO) if name in GREETINGS else documents.get(name, {"ok": 1})
    body = bson.encode(document)
    if kind == OP_QUERY:
        return struct.pack("<iiiiiqii", 36 + len(body), 0, number, OP_REPLY, 8, 0, 0, 1) + body
    return struct.pack("<iiiiIB", 21 + len(body), 0, number, OP_MSG, 0, 0) + body
