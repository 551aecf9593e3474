"""A MongoDB that answers at once what it has answered before: a proxy before a slow one, in a process of its own.

What a server computes for a request can so be told at the pace of a real engine, not once a second with all its caches
cold. Only reads are remembered, by their very words, and only as long as nobody writes: so it serves one measurement.

    python -m benchmarks.replay HOST PORT    # prints the port it listens on
"""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import bson

from tests.mongo_server.server import URI

READS: Final = frozenset(("find", "aggregate", "getMore"))
_HEADER: Final = struct.Struct("<iiii")
_OP_MSG: Final = 2013
_FLAGS_AND_KIND: Final = 5
_VARYING: Final = "maxTimeMS"
"""What is left of the time differs from one to the next."""


@contextmanager
def answering(store: Path | str) -> Iterator[Path | str]:
    """Yield the address of the stand-in behind such a proxy; a file of SQLite's, or a real MongoDB, stays as it is."""
    if isinstance(store, Path) or URI in os.environ:
        yield store
        return
    place = urlsplit(store)
    command = [sys.executable, "-m", "benchmarks.replay", str(place.hostname), str(place.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None  # noqa: S101
            port = int(process.stdout.readline())
            yield place._replace(netloc=f"127.0.0.1:{port}").geturl()
        finally:
            process.kill()


class Replay:
    """The answers known, by the words of the command."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._known: dict[bytes, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        behind, ahead = await asyncio.open_connection(*self._place)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                number, message = await _message(reader)
                asked = _read_asked(message)
                answer = None if asked is None else self._known.get(asked)
                if answer is None:
                    ahead.write(message)
                    _, answer = await _message(behind)
                    if asked is not None:
                        self._known[asked] = answer
                writer.write(_answering(number, answer))
        ahead.close()
        writer.close()


async def _message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the next message and its number."""
    head = await reader.readexactly(_HEADER.size)
    length, number, _, _ = _HEADER.unpack(head)
    return number, head + await reader.readexactly(length - _HEADER.size)


def _read_asked(message: bytes) -> bytes | None:
    """Return the words of a command that reads, None for any other."""
    *_, code = _HEADER.unpack_from(message)
    if code != _OP_MSG:
        return None
    start = _HEADER.size + _FLAGS_AND_KIND
    size = int.from_bytes(message[start : start + 4], "little")
    command: dict[str, Any] = bson.decode(message[start : start + size])
    if next(iter(command)) not in READS:
        return None
    command.pop(_VARYING, None)
    return bson.encode(command)


def _answering(number: int, answer: bytes) -> bytes:
    """Return an answer made one to the message of a number."""
    length, own, _, code = _HEADER.unpack_from(answer)
    return _HEADER.pack(length, own, number, code) + answer[_HEADER.size :]


async def main(host: str, port: int) -> None:
    """Listen until killed."""
    server = await asyncio.start_server(Replay(host, port).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
