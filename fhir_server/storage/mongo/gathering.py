"""Questions of several callers asked together: a command costs more than what it asks for.

Nobody is answered by a command that was sent before he asked, so nobody misses what was acknowledged to another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from copy import copy
from itertools import chain
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FLIGHTS: Final = 2
"""Commands under way at once; who comes later waits for one of them to end, and shares the next."""
TURNS: Final = 2
"""Turns of the loop in which a command waits for company: requests that came together are read one after the other."""


class Gathered(Generic[K, V]):
    """``ask`` answers for several keys at once; a key that it leaves out has no answer: None."""

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._ask = ask
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._flights: set[asyncio.Task[None]] = set()
        self._boarding = False
        """Whether a command is about to take all who wait."""

    async def get(self, key: K) -> V | None:
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        self._go()
        return await future

    def _go(self) -> None:
        if self._waiting and not self._boarding and len(self._flights) < FLIGHTS:
            self._boarding = True
            flight = asyncio.create_task(self._fly())
            self._flights.add(flight)
            flight.add_done_callback(self._landed)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._go()

    async def _fly(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        taken, self._waiting = self._waiting, {}
        self._boarding = False
        try:
            found = await self._ask(list(taken))
        except Exception as error:
            for future in chain.from_iterable(taken.values()):
                if not future.done():  # else nobody is left to hear it
                    future.set_exception(copy(error))
        else:
            for key, futures in taken.items():
                for future in futures:
                    if not future.done():
                        future.set_result(found.get(key))
