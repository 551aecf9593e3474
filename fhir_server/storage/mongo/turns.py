"""Turns at appending, so that several processes do not run the same plans again and again: advice, never a lock.

The document ``head`` has a queue of tokens. Who stands first works; who is alone keeps the place for a while, since
coming back costs two commands. Safety rests on the number of a commit alone: a process that died, or stalls, is passed
over as soon as the counter ``beat`` has stood still for a while of the waiter's own clock.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from secrets import token_hex
from typing import Final

from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from fhir_server.storage.mongo.connection import Document, told
from fhir_server.storage.mongo.log import HEAD, Log, State
from fhir_server.storage.protocol import StoreError

LOG: Final = logging.getLogger(__name__)

STILL_SECONDS: Final = 0.2
"""So long a counter stands still before its holder is passed over."""
BEAT_SECONDS: Final = 0.05
IDLE_SECONDS: Final = 0.02
"""So long a place is kept with nothing to write."""
LOOK_SECONDS: Final = (0.002, 0.02)
"""Between two looks at the queue: at first, and at most."""


class Turns:
    """One process's place in the queue."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._token = token_hex(6)
        self._held = False
        self._beating: asyncio.Task[None] | None = None

    async def take(self) -> State | None:
        """Wait for our turn. Return the state of the log as we found it, or None if we have held it since."""
        if not self._held:
            state = await self._arrive()
            state = await self._reach(state)
            self._held = True
            self._beat()
            return state
        self._beat()
        return None

    def pause(self) -> None:
        """Stop beating: nothing is being written."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    def is_alone(self, state: State) -> bool:
        """Tell whether nobody else is waiting."""
        return state.queue == (self._token,)

    async def leave(self) -> None:
        """Let the next one work."""
        self.pause()
        if self._held:
            self._held = False
            with suppress(StoreError, PyMongoError):  # whoever waits will pass us over
                await self._log.states.update_one(
                    {**HEAD, "queue.0": self._token}, {"$pop": {"queue": -1}, "$inc": {"beat": 1}}
                )

    async def _arrive(self) -> State:
        return await self._change(
            {**HEAD, "queue": {"$ne": self._token}}, {"$push": {"queue": self._token}, "$inc": {"beat": 1}}
        )

    async def _reach(self, state: State) -> State:
        """Look at the queue until we are first."""
        loop = asyncio.get_running_loop()
        seen, since = (state.queue[:1], state.beat), loop.time()
        pause = LOOK_SECONDS[0]
        while state.queue[:1] != (self._token,):
            if self._token not in state.queue:  # passed over while we were away
                state = await self._arrive()
                continue
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LOOK_SECONDS[1])
            state = await self._log.state()
            if (state.queue[:1], state.beat) != seen:
                seen, since = (state.queue[:1], state.beat), loop.time()
            elif loop.time() - since > STILL_SECONDS:
                await self._pass_over(state)
                state = await self._log.state()
        return state

    async def _pass_over(self, state: State) -> None:
        (first,) = state.queue[:1]
        LOG.info("a writer that stood still was passed over")
        with told():
            await self._log.states.update_one(
                {**HEAD, "queue.0": first, "beat": state.beat}, {"$pop": {"queue": -1}, "$inc": {"beat": 1}}
            )

    async def _change(self, where: Document, change: Document) -> State:
        with told():
            document = await self._log.states.find_one_and_update(where, change, return_document=ReturnDocument.AFTER)
        return await self._log.state() if document is None else self._log.state_of(document)

    def _beat(self) -> None:
        if self._beating is None:
            self._beating = asyncio.create_task(self._beats())

    async def _beats(self) -> None:
        """Show that we are alive, however long the plans take."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with suppress(PyMongoError):  # the work itself will meet it
                await self._log.states.update_one({**HEAD, "queue.0": self._token}, {"$inc": {"beat": 1}})
