"""How a commit gets into the log, and from there into what is read.

If the outcome of an insertion is unknown, *the same document* is inserted again until it is certain. At most the last
commit is ever unapplied: whoever comes next finishes what its writer has begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Final

from pymongo.errors import OperationFailure, PyMongoError, WriteConcernError

from fhir_server.storage.mongo.connection import Document, passes
from fhir_server.storage.mongo.documents import Written, commit_document, written_of
from fhir_server.storage.mongo.log import Log, State
from fhir_server.storage.mongo.projecting import project
from fhir_server.storage.protocol import ENDED, Commit, Head, StoreUnavailable

LOG: Final = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 0.1
"""Between two tries of what did not answer."""
HELP_SECONDS: Final = 0.2
"""So long others are given to apply their own commit."""
HEAL_SECONDS: Final = 30.0
"""So long it may take to apply what another has left."""


class Appender:
    """Appends to one log. ``append`` and ``apply`` go on until the caller ends them; the others end by themselves."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, document: Document) -> bool:
        """Insert a commit until its outcome is certain; return whether the number is ours."""
        while True:
            try:
                if await self._log.insert(document):
                    return True
                there = await self._log.token(document["_id"])
                if there is not None:
                    return bool(there == document["token"])
            except (WriteConcernError, StoreUnavailable) as error:
                await _wait(error)
            except OperationFailure as error:
                if not passes(error.code):  # refused, and nothing written
                    raise
                await _wait(error)
            except PyMongoError as error:
                await _wait(error)

    async def apply(self, changes: Sequence[Written], head: Head) -> State | None:
        """Project a commit and mark it, until that is certain; return what ``Log.mark`` does."""
        while True:
            try:
                await project(self._log, changes)
                return await self._log.mark(head)
            except (PyMongoError, StoreUnavailable) as error:
                await _wait(error)

    async def heal(self) -> Head:
        """Return the head of the log, applied; finish what another process has not finished in time.

        Raises ``StoreUnavailable`` if that takes too long.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        async with _bounded():
            while True:
                head = (await self._log.state()).head
                last = await self._log.last()
                if last is None or last["_id"] <= head.number or head.schema == ENDED:
                    return head
                if last["schema"] == ENDED:
                    await self._log.mark_end()
                elif loop.time() - since < HELP_SECONDS:
                    await asyncio.sleep(HELP_SECONDS / 20)
                else:
                    await self._help(last["_id"])

    async def _help(self, number: int) -> None:
        """Apply a commit that its writer has left unapplied."""
        document = await self._log.find(number)
        if document is not None:
            LOG.info("commit %d was left unapplied by its writer, and is applied now", number)
            values = (document[name] for name in ("_id", "instant", "generation", "schema"))
            await self.apply(written_of(document), Head(self._log.identity, *values))

    async def end(self, successor: str | None = None) -> bool:
        """Mark the end of the log; return whether it is ours. ``successor``: the log that the store holds instead."""
        while True:
            head = await self.heal()
            if head.schema == ENDED or (successor is not None and head.number):
                return False
            last = Commit(head.number + 1, head.instant, head.generation, ENDED, ())
            async with _bounded():
                ours = await self.append(commit_document(last, (), token_hex(8)) | {"successor": successor})
            if ours:
                await self.heal()
                return True


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(HEAL_SECONDS):
            yield
    except TimeoutError as error:
        raise StoreUnavailable("MongoDB took too long to confirm a write") from error


async def _wait(error: Exception) -> None:
    LOG.warning("MongoDB did not confirm a write, which is tried again: %s", type(error).__name__)
    await asyncio.sleep(AGAIN_SECONDS)
