"""Long work that lets others run: a Bundle of thousands of entries must not make a read wait.

What one request does on the event loop without a pause, all others wait for.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from time import monotonic
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LOOP_SECONDS: Final = 0.002
"""The longest that work on a Bundle keeps the event loop."""

THREAD_FROM: Final = 100_000
"""Bytes; work on more of them at once is done beside the event loop."""

_SWITCH_SECONDS: Final = 0.0005
_COLLECT_AFTER: Final = (500_000, 20, 100)
"""Net allocations before a collection of each generation: more than a few large Bundles have at once.

A collection stops every thread, 40 ms for 50,000 objects, and finds nothing while Bundles leave no cycles: the tests
hold them to that.
"""


class Pace:
    """The pace of one piece of work: ``keep`` between its steps."""

    def __init__(self) -> None:
        self._turn = monotonic()

    async def keep(self) -> None:
        """Let others run if they have waited for ``LOOP_SECONDS``."""
        if monotonic() - self._turn > LOOP_SECONDS:
            await asyncio.sleep(0)
            self._turn = monotonic()


async def aside(size: int, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Return what ``work`` on ``size`` bytes returns: done here, or in a thread where they are ``THREAD_FROM`` or more."""
    return await asyncio.to_thread(work, *given, **named) if size >= THREAD_FROM else work(*given, **named)


def tune() -> None:
    """Set up a process that serves: call it once, when the definitions are loaded.

    What is loaded stays, so no collection needs to look at it again; collections are rarer (they took a fifth of an
    import's time); and a thread that comes back from SQLite waits less for the one that works on a Bundle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_SECONDS)
