"""The one writer of a process: a thread that takes waiting plans together, a group a commit.

Each plan runs whole in this thread, in a savepoint of its own: its view never suspends, so one ``send`` ends it. An
answer leaves when the group's commit is certain. Several processes take turns (``locks``).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from fhir_server.storage.protocol import (
    SCHEMA,
    Clock,
    Committed,
    CommitTooLarge,
    Head,
    Plan,
    Planned,
    SchemaTooNew,
    StoreError,
    StoreFull,
    StoreLimits,
    StoreUnavailable,
)
from fhir_server.storage.sizes import size
from fhir_server.storage.sqlite import filesystem
from fhir_server.storage.sqlite.appending import Appender
from fhir_server.storage.sqlite.connection import code, is_damage
from fhir_server.storage.sqlite.identity import Identity
from fhir_server.storage.sqlite.locks import Turns
from fhir_server.storage.sqlite.migrations import check_layout
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.view import SqliteView

T = TypeVar("T")
LOG: Final = logging.getLogger(__name__)
MILLISECOND: Final = 1000
SPOILING: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
)
"""After these nothing of the transaction is kept."""

_WAITED: Final = "a plan awaits nothing but its view: this one waited for something else"


@dataclass(eq=False, slots=True)
class Job(Generic[T]):
    """Something to be written, and who waits for it: a plan, or work that takes a transaction for itself."""

    plan: Plan[Any] | None
    work: Callable[[Reading], T] | None
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


Answers = list[tuple[Job[Any], Any]]


class GroupFailed(Exception):
    """The whole transaction is gone; its plans must run again, one by one. ``cause``: what SQLite said."""

    def __init__(self, cause: sqlite3.Error) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass
class Group:
    """A transaction under way."""

    head: Head
    instant: int
    answers: Answers = field(default_factory=list)
    changes: int = 0
    bytes: int = 0
    generation: int = 0

    def view(self, reading: Reading) -> SqliteView:
        """Earlier plans of the group are in the tables already; the generation is theirs too."""
        head = self.head
        return SqliteView(reading, Head(head.log_id, head.number, head.instant, self.generation, SCHEMA), self.instant)


class Writer:
    def __init__(
        self,
        path: Path,
        identity: Identity,
        connection: sqlite3.Connection,
        turns: Turns,
        clock: Clock,
        limits: StoreLimits,
        definition_types: frozenset[str],
    ) -> None:
        self._path = path
        self._identity = identity
        self._connection = connection
        self._reading = Reading(connection)
        self._appender = Appender(self._reading, definition_types)
        self._turns = turns
        self._clock = clock
        self._limits = limits
        self._waiting: deque[Job[Any]] = deque()
        self._arrival = threading.Condition()
        self._closing = False
        self._failure: str | None = None
        self._damage: str | None = None
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)

    # --- from the event loop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def submit(self, plan: Plan[Any] | None, work: Callable[[Reading], Any] | None = None) -> asyncio.Future[Any]:
        """Queue a plan, or work for a transaction of its own; the future is the caller's to cancel."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._arrival:
            if self._closing or not self._thread.is_alive():
                raise StoreUnavailable("the store is closed")
            if len(self._waiting) >= self._limits.queue_plans:
                raise StoreUnavailable(f"{self._limits.queue_plans} writes are waiting already")
            self._waiting.append(Job(plan, work, future, loop))
            self._arrival.notify()
        return future

    def finish(self) -> None:
        """Write what is queued, then end the thread. Blocks."""
        with self._arrival:
            self._closing = True
            self._arrival.notify()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def failure(self) -> str | None:
        """Say why the last commit failed, until one succeeds. Raises ``StoreUnavailable`` if none ever will."""
        if self._damage is not None:
            raise StoreUnavailable(self._damage)
        return self._failure

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._arrival:
                while not self._waiting and not self._closing:
                    self._arrival.wait()
                if not self._waiting:
                    return
            try:
                answers = self._write(self._limits.group_plans)
            except GroupFailed:
                answers = self._write_singly()
            self._answer(answers)

    def _write_singly(self) -> Answers:
        """After a transaction was lost: each plan that was in it alone, so that one cannot spoil another."""
        with self._arrival:
            count = min(len(self._waiting), self._limits.group_plans)
        answers: Answers = []
        for _ in range(count):
            try:
                answers += self._write(1)
            except GroupFailed as failure:
                told = self._failed(failure.cause)
                with self._arrival:
                    answers.append((self._waiting.popleft(), told))
        return answers

    def _write(self, plans: int) -> Answers:
        """Run one group in one transaction; take its jobs from the queue only when the outcome is certain."""
        try:
            with self._turns.turn():
                if self._damage is not None:
                    raise StoreUnavailable(self._damage)
                self._identity.check()
                return self._transaction(plans)
        except GroupFailed:
            raise
        except Exception as error:
            self._roll_back()
            told = self._failed(error)
            with self._arrival:
                jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), plans))]
            return [(job, told) for job in jobs]

    def _transaction(self, plans: int) -> Answers:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            group = self._begin()
            taken = 0
            while taken < plans and taken < len(self._waiting):
                job = self._waiting[taken]
                if job.work is not None and taken > 0:
                    break
                if not self._perform(job, group):
                    break
                taken += 1
                if job.work is not None or group.bytes >= self._limits.group_bytes:
                    break
            if group.changes:
                self._appender.close(group.head.number + 1, group.instant, group.generation)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._note_damage(error)
            self._roll_back()
            raise GroupFailed(error) from error
        if group.changes:
            self._failure = None
        with self._arrival:
            for _ in range(taken):
                self._waiting.popleft()
        return group.answers

    def _begin(self) -> Group:
        check_layout(self._connection)
        head = self._reading.head()
        if head.schema > SCHEMA:
            raise SchemaTooNew(f"the log has schema {head.schema}; this program knows schemas up to {SCHEMA}")
        now = self._clock() // MILLISECOND * MILLISECOND
        return Group(head, max(now, head.instant), generation=head.generation)

    def _perform(self, job: Job[Any], group: Group) -> bool:
        """Run one job inside the transaction; False if it must wait for the next one."""
        if job.work is not None:
            return self._work(job, group)
        self._connection.execute("SAVEPOINT plan")
        try:
            planned = self._plan(job, group)
            weight = sum(size(change) for change in planned.changes)
            if weight > self._limits.commit_bytes:
                raise CommitTooLarge(weight, self._limits.commit_bytes)
            if group.changes and group.bytes + weight > self._limits.commit_bytes:
                self._undo()
                return False
            number = group.head.number + 1
            first = group.changes
            if self._appender.add(planned.changes, number, first, group.instant):
                group.generation = number
        except BaseException as error:  # a plan's exceptions, whatever they are, are its caller's
            self._check_transaction(error)
            self._undo()
            group.answers.append((job, error))
            return True
        self._connection.execute("RELEASE plan")
        group.changes += len(planned.changes)
        group.bytes += weight
        wrote = bool(planned.changes)
        group.answers.append((job, Committed(planned.answer, number if wrote else None, first if wrote else None)))
        return True

    def _plan(self, job: Job[Any], group: Group) -> Planned[Any]:
        assert job.plan is not None  # noqa: S101
        with self._reading.meter.limit(self._limits.query_seconds):
            return run(job.plan(group.view(self._reading)))

    def _work(self, job: Job[Any], group: Group) -> bool:
        assert job.work is not None  # noqa: S101
        self._connection.execute("SAVEPOINT plan")
        try:
            answer: object = job.work(self._reading)
        except Exception as error:
            self._check_transaction(error)
            self._undo()
            answer = error
        else:
            self._connection.execute("RELEASE plan")
        group.answers.append((job, answer))
        return True

    def _check_transaction(self, error: BaseException) -> None:
        """Some errors end the transaction, and the plans before this one with it; a full disk is full for all."""
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if isinstance(cause, sqlite3.Error) and (not self._connection.in_transaction or code(cause) in SPOILING):
            raise cause

    def _undo(self) -> None:
        self._connection.execute("ROLLBACK TO plan")
        self._connection.execute("RELEASE plan")
        self._reading.names.forget()

    def _roll_back(self) -> None:
        self._reading.names.forget()
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # then nothing is begun any more, which is said
                self._connection.execute("ROLLBACK")

    def _note_damage(self, error: sqlite3.Error) -> None:
        """What is written to a damaged file may be lost, or damage more."""
        if is_damage(error) and self._damage is None:
            self._damage = f"the database is damaged ({error}): nothing is written until it is opened again"
            LOG.error("%s: %s", self._path, self._damage)

    def _failed(self, error: Exception) -> Exception:
        """Say in the store's own words why a transaction failed; remember it."""
        told = error
        if isinstance(error, sqlite3.Error):
            self._note_damage(error)
            if self._is_full(error):
                told = StoreFull("the disk is full: nothing of this write was kept")
            else:
                told = StoreUnavailable(self._damage or f"the database cannot be written now: {error}")
        elif isinstance(error, OSError):
            told = StoreUnavailable(f"the database cannot be written now: {error.strerror or error}")
        self._failure = str(told) if isinstance(told, StoreError) else type(told).__name__
        return told

    def _is_full(self, error: sqlite3.Error) -> bool:
        found = code(error)
        return found == sqlite3.SQLITE_FULL or (found == sqlite3.SQLITE_IOERR and filesystem.is_full(self._path))

    def _answer(self, answers: Answers) -> None:
        """Hand the answers over, once for each event loop."""
        by_loop: dict[asyncio.AbstractEventLoop, Answers] = {}
        for job, answer in answers:
            by_loop.setdefault(job.loop, []).append((job, answer))
        for loop, own in by_loop.items():
            with suppress(RuntimeError):  # the loop may be closed: then nobody waits
                loop.call_soon_threadsafe(_settle, own)


def run(awaitable: Any) -> Planned[Any]:
    """Run a plan to its end without an event loop; fail if it awaits anything but its view."""
    steps = awaitable.__await__()
    try:
        steps.send(None)
    except StopIteration as end:
        planned = end.value
        if not isinstance(planned, Planned):
            raise TypeError(f"a plan returns Planned, not {type(planned).__name__}") from None
        return planned
    except RuntimeError as error:
        if "no running event loop" in str(error):
            raise RuntimeError(_WAITED) from error
        raise
    steps.close()
    raise RuntimeError(_WAITED)


def _settle(answers: Iterable[tuple[Job[Any], Any]]) -> None:
    for job, answer in answers:
        if job.future.done():
            continue
        if isinstance(answer, asyncio.CancelledError):
            job.future.cancel()
        elif isinstance(answer, BaseException):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)
