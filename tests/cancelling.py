"""Work that is cancelled where it waits: whatever waits there, the cancellation must come out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from itertools import count
from typing import Any


class _Cancelled:
    """Awaits something, in a task that is cancelled when it waits for the ``at``-th time."""

    def __init__(self, work: Awaitable[object], at: int) -> None:
        self._work = work
        self._left = at

    def __await__(self) -> Generator[Any, Any, object]:
        steps = self._work.__await__()
        answer: Any = None
        failure: BaseException | None = None
        while True:
            try:
                waits_for = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as end:
                return end.value
            self._left -= 1
            if self._left == 0:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            answer, failure = None, None
            try:
                answer = yield waits_for
            except BaseException as error:
                failure = error


async def kept(work: Callable[[], Awaitable[object]]) -> list[int]:
    """Do some work again and again, cancelled at its first wait, its second and so on, until it ends before that.
    Return at which waits it kept the cancellation to itself."""
    found = []
    for at in count(1):
        cancelled = _Cancelled(work(), at)

        async def run(cancelled: _Cancelled = cancelled) -> int:
            await cancelled
            return cancelled._left

        task = asyncio.create_task(run())
        await asyncio.wait([task])
        if task.cancelled():
            continue
        if task.result() > 0:
            break
        found.append(at)
    assert at > 1, "it never waits"
    return found
