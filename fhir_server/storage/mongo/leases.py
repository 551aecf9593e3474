"""Tasks that one process at a time does: who does one shows that it is alive; who dies has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from typing import Final

from pymongo.errors import DuplicateKeyError, PyMongoError

from fhir_server.storage.beside import beside
from fhir_server.storage.mongo.connection import Document, told
from fhir_server.storage.mongo.log import Log

BEAT_SECONDS: Final = 0.2
STILL_SECONDS: Final = 1.0
"""So long a counter stands still, by the clock of whoever looks, before its holder counts as dead."""


class Leases:
    """The tasks that this process does alone."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._held: set[str] = set()

    @asynccontextmanager
    async def alone(self, task: str) -> AsyncIterator[bool]:
        if task in self._held:
            yield False
            return
        self._held.add(task)
        lease: Document = {"_id": f"alone: {task}", "holder": token_hex(6)}
        try:
            if not await self._take(lease):
                yield False
                return
            try:
                async with beside(self._beat(lease)):
                    yield True
            finally:
                with suppress(PyMongoError):  # then it counts as dead in a while
                    await self._log.states.delete_one(lease)
        finally:
            self._held.discard(task)

    async def _take(self, lease: Document) -> bool:
        """Take a lease that nobody has, or whose holder no longer shows that it is alive."""
        with told():
            there = await self._insert(lease)
            if there is None:
                return True
            await asyncio.sleep(STILL_SECONDS)
            gone = await self._log.states.delete_one({name: there[name] for name in ("_id", "holder", "beat")})
            return gone.deleted_count == 1 and await self._insert(lease) is None

    async def _insert(self, lease: Document) -> Document | None:
        """Return who has the lease, or None if it is ours now."""
        while True:
            try:
                await self._log.states.insert_one({**lease, "beat": 0})
            except DuplicateKeyError:
                there = await self._log.states.find_one({"_id": lease["_id"]})
                if there is not None:
                    return there
            else:
                return None

    async def _beat(self, lease: Document) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with suppress(PyMongoError):  # the work itself will meet it
                await self._log.states.update_one(lease, {"$inc": {"beat": 1}})
