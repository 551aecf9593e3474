"""The one committer of a process: it takes waiting plans together and appends what they change as one document.

Nothing but the insertion at a number that is still free makes a commit. If somebody else was first, the plans run
again; if the outcome stays unknown, they are answered 503 and never run again. An answer leaves when its commit is
certain, projected and marked; an answer without changes when the number after the head it was true at is certainly
free.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import islice
from secrets import token_hex
from typing import Any, Final, TypeAlias

import bson
from pymongo.errors import PyMongoError

from fhir_server.storage.following import check_writable
from fhir_server.storage.mongo.appending import Appender
from fhir_server.storage.mongo.asking import AskingView, Leads, driven
from fhir_server.storage.mongo.connection import unavailable
from fhir_server.storage.mongo.documents import Written, commit_document, resource_document
from fhir_server.storage.mongo.log import DOCUMENT_BYTES, Log
from fhir_server.storage.mongo.reading import Reading
from fhir_server.storage.mongo.searching import Searching
from fhir_server.storage.mongo.turns import IDLE_SECONDS, Turns
from fhir_server.storage.mongo.view import Group, MongoView
from fhir_server.storage.plans import PLAN_WAITED, checked, instant_after
from fhir_server.storage.protocol import (
    SCHEMA,
    Clock,
    Committed,
    CommitTooLarge,
    Head,
    Plan,
    Planned,
    StoreError,
    StoreLimits,
    StoreUnavailable,
)
from fhir_server.storage.sizes import size

LOG: Final = logging.getLogger(__name__)
DEADLINE_SECONDS: Final = 30.0
"""So long plans run again, and a commit of unknown outcome is settled."""
CHANGE_BYTES: Final = 300
"""What a change takes in a commit besides its body, its entries and its key."""
LARGE_BYTES: Final = 2_000_000
"""Index values of this size may take several times as much in a document, so it is measured."""


@dataclass(eq=False, slots=True)
class Job:
    """A plan, and who waits for its answer."""

    plan: Plan[Any]
    future: asyncio.Future[Any]


Answers: TypeAlias = list[tuple[Job, object]]


class Committer:
    def __init__(
        self,
        log: Log,
        appender: Appender,
        reading: Reading,
        searching: Searching,
        clock: Clock,
        limits: StoreLimits,
        types: frozenset[str],
    ) -> None:
        self._log = log
        self._appender = appender
        self._reading = reading
        self._searching = searching
        self._clock = clock
        self._limits = limits
        self._definition_types = types
        self._turns = Turns(log)
        self._head: Head | None = None
        """The head as we know it: a guess that the insertion proves."""
        self._waiting: deque[Job] = deque()
        self._arrival = asyncio.Event()
        self._closing = False
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self.failure: str | None = None
        """Why the last commit failed, until one succeeds."""

    # --- for the store -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def submit(self, plan: Plan[Any]) -> asyncio.Future[Any]:
        """Queue a plan; the future is the caller's to cancel. Raises ``StoreUnavailable``."""
        if self._closing or self._task is None or self._task.done():
            raise StoreUnavailable("the store is closed")
        if len(self._waiting) >= self._limits.queue_plans:
            raise StoreUnavailable(f"{self._limits.queue_plans} writes are waiting already")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(Job(plan, future))
        self._arrival.set()
        return future

    async def finish(self) -> None:
        """Write what is queued, then end."""
        self._closing = True
        self._arrival.set()
        if self._task is not None:
            await self._task

    @property
    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done()

    async def tick(self) -> None:
        """Apply what a process that died has left."""
        if not self._busy:
            await self._appender.heal()

    # --- the work ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while await self._arrived():
                self._busy = True
                answers = await self._group(list(islice(self._waiting, self._limits.group_plans)))
                for job, answer in answers:
                    self._waiting.popleft()
                    _settle(job.future, answer)
                self._busy = False
            await self._turns.leave()
        finally:
            for job in self._waiting:  # of a bug: nobody is left waiting
                _settle(job.future, StoreUnavailable("the writer has ended"))

    async def _arrived(self) -> bool:
        """Wait for plans; false: there will be none."""
        while not self._waiting:
            if self._closing:
                return False
            self._turns.pause()
            self._arrival.clear()
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._arrival.wait()
            except TimeoutError:
                await self._turns.leave()
                if not self._waiting:
                    await self._arrival.wait()
        return True

    async def _group(self, jobs: Sequence[Job]) -> Answers:
        """Answer the first of the jobs, one at least."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while True:
                    try:
                        answers = await self._attempt(jobs)
                    except CommitTooLarge as error:  # more than was weighed: nothing was sent
                        if len(jobs) == 1:
                            return [(jobs[0], error)]
                        jobs = jobs[:1]
                        continue
                    if answers is not None:
                        self.failure = None
                        return answers
                    self._head = None
        except TimeoutError:
            return self._failed(
                jobs, StoreUnavailable("the outcome of the write is not certain: MongoDB took too long")
            )
        except PyMongoError as error:
            return self._failed(jobs, unavailable(error))
        except Exception as error:
            if not isinstance(error, StoreError):
                LOG.exception("a group of writes failed")
            return self._failed(jobs, error)

    def _failed(self, jobs: Sequence[Job], error: Exception) -> Answers:
        """All that might have been in the commit are told the same; none of them runs again."""
        self._head = None
        self.failure = str(error) if isinstance(error, StoreError) else type(error).__name__
        return [(job, _of_his_own(error)) for job in jobs]

    async def _attempt(self, jobs: Sequence[Job]) -> Answers | None:
        """Run plans at the head and append what they change; None: somebody else was first."""
        head = await self._known_head()
        check_writable(head)
        group = Group(head, instant_after(head, self._clock), head.generation)
        answers = await self._plan(jobs, group)
        if not group.changes:
            return answers if await self._log.is_free(group.number) else None
        if not await self._appender.append(commit_document(group.commit(), group.changes, token_hex(8))):
            return None
        self._head = Head(head.log_id, group.number, group.instant, group.generation, SCHEMA)
        state = await self._appender.apply(group.changes, self._head)
        if state is None or not self._turns.is_alone(state):
            await self._turns.leave()
        return answers

    async def _known_head(self) -> Head:
        """Return the head at which to try: applied, and the last one as far as we know."""
        found = await self._turns.take()
        if found is not None:
            self._head = found.head
        elif self._head is None:
            self._head = await self._appender.heal()
        return self._head

    # --- plans -------------------------------------------------------------------------------------------------------

    async def _plan(self, jobs: Sequence[Job], group: Group) -> Answers:
        """Run plans one after the other, as many as one commit holds."""
        view = MongoView(self._reading, self._searching, group)
        answers: Answers = []
        total = 0
        weight = 0
        for job in jobs:
            try:
                planned = await self._planned(job, view)
                changes = await view.written(planned.changes)
                own, own_weight = self._weigh(changes, planned)
            except Leads:
                break
            except Exception as error:
                answers.append((job, error))
                continue
            except asyncio.CancelledError as error:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
                answers.append((job, error))
                continue
            if group.changes and (total + own > self._limits.commit_bytes or weight + own_weight > DOCUMENT_BYTES):
                break
            first = len(group.changes)
            group.add(changes, defines=any(change.stored.key.type in self._definition_types for change in changes))
            wrote = bool(changes)
            answers.append((job, Committed(planned.answer, group.number if wrote else None, first if wrote else None)))
            total, weight = total + own, weight + own_weight
            if total >= self._limits.group_bytes:
                break
        return answers

    async def _planned(self, job: Job, view: MongoView) -> Planned[Any]:
        return checked(await driven(job.plan(AskingView(view)), PLAN_WAITED))

    def _weigh(self, changes: Sequence[Written], planned: Planned[Any]) -> tuple[int, int]:
        """Return what changes count for, and about what they take in a commit. Raises ``CommitTooLarge``."""
        sizes = [size(change) for change in planned.changes]
        total = sum(sizes)
        if total > self._limits.commit_bytes:
            raise CommitTooLarge(total, self._limits.commit_bytes)
        weight = 0
        for change, own in zip(changes, sizes, strict=True):
            weight += own + CHANGE_BYTES + 12 * len(change.entries)
            if own > LARGE_BYTES:
                taken = len(bson.encode(resource_document(change)))
                weight = weight - own + taken
                if taken > DOCUMENT_BYTES:
                    raise CommitTooLarge(taken, DOCUMENT_BYTES)
        if weight > DOCUMENT_BYTES:
            raise CommitTooLarge(weight, DOCUMENT_BYTES)
        return total, weight


def _of_his_own(error: Exception) -> Exception:
    """Return the exception for one of several callers: raising one changes it."""
    if not isinstance(error, StoreError):
        return RuntimeError(f"the write failed: {type(error).__name__}")
    own = copy(error)
    own.__cause__ = error.__cause__
    return own


def _settle(future: asyncio.Future[Any], answer: object) -> None:
    if future.done():
        return
    if isinstance(answer, asyncio.CancelledError):
        future.cancel()
    elif isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
