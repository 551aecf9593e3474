"""What waits for the writer, in the order it came, and how answers go back to the event loops."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from fhir_server.storage.protocol import Plan, StoreUnavailable
from fhir_server.storage.sqlite.reading import Reading


@dataclass(eq=False, slots=True)
class PlanJob:
    """A plan, and who waits for its answer."""

    plan: Plan[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


@dataclass(eq=False, slots=True)
class WorkJob:
    """What takes a transaction for itself, and who waits for its answer."""

    work: Callable[[Reading], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


Job: TypeAlias = PlanJob | WorkJob
Answer: TypeAlias = tuple[Job, object]
"""A job with its result, or the exception that its caller gets."""


class Jobs:
    """At most ``most`` jobs. A job stays until it is answered, so that none is lost with whoever worked on it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Job] = deque()
        self._arrival = threading.Condition()
        self._refusal: str | None = None

    def add(self, job: Job) -> None:
        """Queue a job. Raises ``StoreUnavailable`` if too many wait, or none is taken any more."""
        with self._arrival:
            if self._refusal is not None:
                raise StoreUnavailable(self._refusal)
            if len(self._waiting) >= self._most:
                raise StoreUnavailable(f"{self._most} writes are waiting already")
            self._waiting.append(job)
            self._arrival.notify()

    def first(self, count: int) -> list[Job]:
        """Wait for jobs and return the first of them; none: all are answered and no more will come."""
        with self._arrival:
            while not self._waiting and self._refusal is None:
                self._arrival.wait()
            return list(islice(self._waiting, count))

    def answer(self, answers: Sequence[Answer]) -> None:
        """Hand over the answers of the first jobs, in their order."""
        _hand_over(answers)
        with self._arrival:
            for _ in answers:
                self._waiting.popleft()

    def close(self, refusal: str) -> None:
        """Take no more jobs."""
        with self._arrival:
            self._refusal = refusal
            self._arrival.notify()

    def fail(self, refusal: str) -> None:
        """Take no more jobs, and answer those that wait with ``StoreUnavailable``."""
        self.close(refusal)
        self.answer([(job, StoreUnavailable(refusal)) for job in self._waiting])


def _hand_over(answers: Sequence[Answer]) -> None:
    """Once for each event loop: waking one costs more than what it is told."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for job, answer in answers:
        by_loop.setdefault(job.loop, []).append((job, answer))
    for loop, own in by_loop.items():
        with suppress(RuntimeError):  # the loop may be closed: then nobody waits
            loop.call_soon_threadsafe(_settle, own)


def _settle(answers: Sequence[Answer]) -> None:
    for job, answer in answers:
        if job.future.done():
            continue
        if isinstance(answer, asyncio.CancelledError):
            job.future.cancel()
        elif isinstance(answer, BaseException):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)
