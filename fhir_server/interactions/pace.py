"""Long work that lets others run: a Bundle of thousands of entries must not make a read wait.

What one request does on the event loop without a pause, all others wait for.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

LOOP_SECONDS: Final = 0.005
"""The longest that work on a Bundle keeps the event loop."""


class Pace:
    """The pace of one piece of work: ``keep`` between its steps."""

    def __init__(self) -> None:
        self._turn = monotonic()

    async def keep(self) -> None:
        """Let others run if they have waited for ``LOOP_SECONDS``."""
        if monotonic() - self._turn > LOOP_SECONDS:
            await asyncio.sleep(0)
            self._turn = monotonic()
