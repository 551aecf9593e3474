"""Making resources ready to be stored: on the event loop, or in processes of their own where it takes long.

A thousand resources are a third of a second of checking and indexing, and so is one of a megabyte. On the loop they
would share it with every read; in another process they use another core.
See ``docs/decisions/0011-large-bundles-in-a-process.md``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Final, NamedTuple, Protocol

from fhir_server.interactions.draft import Draft, check, draft
from fhir_server.interactions.pace import Pace, tune
from fhir_server.interactions.tools import Tools
from fhir_server.model.formats import Json, Resource
from fhir_server.model.reference import Key
from fhir_server.outcome import Issue

_LOG: Final = logging.getLogger(__name__)

TOGETHER: Final = 50
"""Resources handed to a process at once."""

WORTH_A_PROCESS: Final = 2 * TOGETHER
"""Fewer resources are done sooner here than sent to another process and back, unless they are heavy."""

HEAVY: Final = 100_000
"""Characters of JSON; more of them keep the event loop too long, be it one resource."""


class Raw(NamedTuple):
    """A resource to be made ready; ``at`` is the Bundle entry it came from, or empty."""

    resource: Resource
    key: Key
    at: str


Ready = Draft | list[Issue]
"""What is to be stored, or what forbids it."""


class Prepares(Protocol):
    async def prepare(self, raw: Sequence[Raw]) -> list[Ready]:
        """Return what became of each, in order. Never raises for what is wrong with a resource."""
        ...

    def close(self) -> None: ...


class OnLoop:
    """Prepares on the event loop, at a pace that lets others run."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def prepare(self, raw: Sequence[Raw]) -> list[Ready]:
        pace, ready = Pace(), []
        for one in raw:
            ready.append(prepared(self._tools, one))
            await pace.keep()
        return ready

    def close(self) -> None:
        """There is nothing to close."""


class InProcesses:
    """Prepares large numbers and heavy resources in processes, started when the first comes; others on the loop."""

    def __init__(self, tools: Tools, make_tools: Callable[[], Tools], processes: int) -> None:
        """``make_tools`` is called in each process, so it must be picklable."""
        self._here = OnLoop(tools)
        self._make_tools = make_tools
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    async def prepare(self, raw: Sequence[Raw]) -> list[Ready]:
        if len(raw) < WORTH_A_PROCESS and not _is_heavy(raw):
            return await self._here.prepare(raw)
        pool = self._started()
        try:
            return await _in_pool(pool, raw)
        except BrokenProcessPool:
            _LOG.warning("a process that prepares resources has died; these are prepared without it")
            if self._pool is pool:  # another request may have started a new one
                self.close()
            return await self._here.prepare(raw)

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [] if self._pool is None else list(self._pool._processes or ())

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not forked: this process has threads, and SQLite's connections do not survive a fork.
            self._pool = ProcessPoolExecutor(self._processes, get_context("spawn"), _start, (self._make_tools,))
        return self._pool

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def weight(value: Json, limit: int) -> int:
    """Return about how many characters a value has as JSON; once past ``limit`` nothing more is counted."""
    size, todo = 0, [value]
    while todo and size <= limit:
        node = todo.pop()
        if isinstance(node, str):
            size += len(node) + 3
        elif isinstance(node, dict):
            size += sum(map(len, node)) + 4 * len(node)
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)
        size += 2
    return size


def _is_heavy(raw: Sequence[Raw]) -> bool:
    left = HEAVY
    for one in raw:
        left -= weight(one.resource, left)
        if left < 0:
            return True
    return False


async def _in_pool(pool: ProcessPoolExecutor, raw: Sequence[Raw]) -> list[Ready]:
    loop = asyncio.get_running_loop()
    parts = [raw[start : start + TOGETHER] for start in range(0, len(raw), TOGETHER)]
    done = await asyncio.gather(*(loop.run_in_executor(pool, _prepare, part) for part in parts))
    return [one for part in done for one in part]


def prepared(tools: Tools, raw: Raw) -> Ready:
    """Check, index and write down one resource."""
    errors, warnings = check(tools, raw.resource, raw.at)
    if errors:
        return errors
    return draft(tools, raw.resource, raw.key)._replace(warnings=tuple(warnings))


# --- in the process --------------------------------------------------------------------------------------------------

_tools: Tools | None = None


def _start(make_tools: Callable[[], Tools]) -> None:
    global _tools  # noqa: PLW0603 - a process of the pool is its state
    _tools = make_tools()
    tune()


def _prepare(raw: Sequence[Raw]) -> list[Ready]:
    assert _tools is not None  # noqa: S101 - _start ran first
    return [prepared(_tools, one) for one in raw]
