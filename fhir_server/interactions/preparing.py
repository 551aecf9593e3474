"""Making resources ready to be stored: on the event loop, or in processes of their own where it takes long.

A thousand resources are a third of a second of checking and indexing, and so is one of a megabyte. On the loop they
would share it with every read; in another process they use another core.
See ``docs/decisions/0011-large-bundles-in-a-process.md``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final, Protocol

from fhir_server.definitions.installed import Installed
from fhir_server.interactions.draft import Raw, Ready, prepared
from fhir_server.interactions.pace import THREAD_FROM, Pace, aside
from fhir_server.interactions.process import Process, ProcessDied
from fhir_server.interactions.tools import Tools
from fhir_server.model.formats import Json

_LOG: Final = logging.getLogger(__name__)

TOGETHER: Final = 50
"""Resources handed to a process at once."""

WORTH_A_PROCESS: Final = 2 * TOGETHER
"""Fewer resources are done sooner here than sent to another process and back, unless they are heavy."""

HEAVY: Final = 100_000
"""Characters of JSON; more of them keep the event loop too long, be it one resource."""


class Prepares(Protocol):
    """Makes resources ready, wherever that is done."""

    async def prepare(self, tools: Tools, raw: Sequence[Raw]) -> list[Ready]:
        """Return what became of each, in order. Never raises for what is wrong with a resource."""
        ...

    def close(self) -> None:
        """End what was started; nothing is prepared any more."""
        ...


class OnLoop:
    """Prepares on the event loop, at a pace that lets others run, and what is heavy in a thread."""

    async def prepare(self, tools: Tools, raw: Sequence[Raw]) -> list[Ready]:
        """Return what became of each."""
        pace, ready = Pace(), []
        for one in raw:
            ready.append(await aside(weight(one.resource, THREAD_FROM), prepared, tools, one))
            await pace.keep()
        return ready

    def close(self) -> None:
        """There is nothing to close."""


class InProcesses:
    """Prepares large numbers and heavy resources in processes, started when the first comes; others on the loop."""

    def __init__(self, make_tools: Callable[[], Tools], processes: int) -> None:
        """``make_tools`` is called in each process, so it must be picklable. What is stored of definitions goes there
        with the resources."""
        self._here = OnLoop()
        self._processes = [Process(make_tools) for _ in range(processes)]
        self._idle: SimpleQueue[Process] = SimpleQueue()
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(processes, "preparing")
        """One for each process, to wait for its answers."""

    async def prepare(self, tools: Tools, raw: Sequence[Raw]) -> list[Ready]:
        """Return what became of each; what a process leaves undone is done here."""
        if len(raw) < WORTH_A_PROCESS and not _is_heavy(raw):
            return await self._here.prepare(tools, raw)
        parts = [raw[start : start + TOGETHER] for start in range(0, len(raw), TOGETHER)]
        done = await asyncio.gather(*(self._part(tools, part) for part in parts))
        return [one for part in done for one in part]

    async def _part(self, tools: Tools, raw: Sequence[Raw]) -> list[Ready]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._asked, tools.registry.installed, raw)
        except ProcessDied as error:
            _LOG.warning("a process did not prepare its resources (%s); they are prepared without it", error)
            return await self._here.prepare(tools, raw)

    def _asked(self, installed: Installed, raw: Sequence[Raw]) -> list[Ready]:
        process = self._idle.get()
        try:
            if process.is_hopeless:
                raise ProcessDied("it never started")
            return process.ask(installed, raw)
        finally:
            self._idle.put(process)

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that run now."""
        return [process.pid for process in self._processes if process.pid is not None]

    def close(self) -> None:
        """End the processes; what they had to do is prepared on the loop, if anyone still waits for it."""
        for process in self._processes:
            process.is_hopeless = True
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.end()


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
