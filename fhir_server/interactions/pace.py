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

COURTESY_SECONDS: Final = 0.01
"""The longest that a write stands back for reads at each of its turns: as long as a search of hundreds of slots takes.

A process whose clients never stop reading still writes, at a sixth of its pace.
"""

_LOOK_SECONDS: Final = 0.001
_SWITCH_SECONDS: Final = 0.0005
_COLLECT_AFTER: Final = (500_000, 20, 100)
"""Net allocations before a collection of each generation: more than a few large Bundles have at once.

A collection stops every thread, 40 ms for 50,000 objects, and finds nothing while Bundles leave no cycles: the tests
hold them to that.
"""


class Reads:
    """The reads that are being answered, each inside ``with``."""

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return self._count > 0


READS: Final = Reads()
"""Those of this process: it has one event loop."""


class Pace:
    """The pace of one piece of work: ``keep`` between its steps."""

    def __init__(self, *, is_read: bool = False) -> None:
        """Writes let reads go first; ``is_read``: a read waits for no other."""
        self._turn = monotonic()
        self._is_read = is_read

    async def keep(self) -> None:
        """Let others run if they have waited for ``LOOP_SECONDS``; give reads ``COURTESY_SECONDS`` to be over."""
        now = monotonic()
        if now - self._turn > LOOP_SECONDS:
            await asyncio.sleep(0)
            # An Event belongs to one event loop, READS to the process.
            while not self._is_read and READS and monotonic() - now < COURTESY_SECONDS:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)
            self._turn = monotonic()


async def aside(size: int, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Return what ``work`` on ``size`` bytes returns: done here, or in a thread from ``THREAD_FROM`` on."""
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
