"""One commit: jobs run one after the other in one transaction, each in a savepoint of its own.

A plan runs whole in the writer's thread: its view never suspends. An answer counts when the transaction is certain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.storage.following import check_writable
from fhir_server.storage.plans import PLAN_WAITED, checked, instant_after
from fhir_server.storage.protocol import (
    SCHEMA,
    Clock,
    Committed,
    CommitTooLarge,
    Head,
    Planned,
    StoreError,
    StoreLimits,
)
from fhir_server.storage.sizes import size
from fhir_server.storage.sqlite.appending import Appender
from fhir_server.storage.sqlite.awaiting import finished
from fhir_server.storage.sqlite.connection import code
from fhir_server.storage.sqlite.jobs import Answer, Job, PlanJob, WorkJob
from fhir_server.storage.sqlite.migrations import check_layout
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.view import SqliteView

SPOILING: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
)
"""After these nothing of the transaction is kept."""


class GroupFailed(Exception):
    """The whole transaction is gone; its jobs may run again, one by one. ``cause``: what SQLite said."""

    def __init__(self, cause: sqlite3.Error) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass
class Group:
    """A transaction under way, or just committed: the answers are those of its jobs, in their order."""

    head: Head
    instant: int
    answers: list[Answer] = field(default_factory=list)
    changes: int = 0
    bytes: int = 0
    generation: int = 0

    def view(self, reading: Reading) -> SqliteView:
        """Earlier plans of the group are in the tables already; the generation is theirs too."""
        head = self.head
        return SqliteView(reading, Head(head.log_id, head.number, head.instant, self.generation, SCHEMA), self.instant)


class Committer:
    """Commits on one connection, in the turn of whoever calls."""

    def __init__(
        self, connection: sqlite3.Connection, clock: Clock, limits: StoreLimits, definition_types: frozenset[str]
    ) -> None:
        self._connection = connection
        self._reading = Reading(connection)
        self._appender = Appender(self._reading, definition_types)
        self._clock = clock
        self._limits = limits

    def commit(self, jobs: Sequence[Job]) -> Group:
        """Run the first of the jobs, as many as one commit holds and one at least. Raises ``GroupFailed``, or what
        kept the transaction from beginning; then nothing is written."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            group = self._begin()
            for job in jobs:
                if not self._perform(job, group):
                    break
            if group.changes:
                self._appender.close(group.head.number + 1, group.instant, group.generation)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise GroupFailed(error) from error
        except BaseException:
            self._roll_back()
            raise
        return group

    def _roll_back(self) -> None:
        self._reading.names.forget()
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # then nothing is begun any more, which is said
                self._connection.execute("ROLLBACK")

    def _begin(self) -> Group:
        check_layout(self._connection)
        head = self._reading.head()
        check_writable(head)
        return Group(head, instant_after(head, self._clock), generation=head.generation)

    def _perform(self, job: Job, group: Group) -> bool:
        """Run one job inside the transaction; False: it, or the job after it, must wait for the next one."""
        if isinstance(job, WorkJob):
            if not group.answers:
                self._work(job, group)
            return False
        return self._plan(job, group) and group.bytes < self._limits.group_bytes

    def _plan(self, job: PlanJob, group: Group) -> bool:
        """Run a plan and append its changes; False if it must wait: the commit would be too large with them."""
        self._connection.execute("SAVEPOINT job")
        try:
            planned = self._planned(job, group)
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
            self._refuse(job, error, group)
            return True
        self._connection.execute("RELEASE job")
        group.changes += len(planned.changes)
        group.bytes += weight
        wrote = bool(planned.changes)
        group.answers.append((job, Committed(planned.answer, number if wrote else None, first if wrote else None)))
        return True

    def _planned(self, job: PlanJob, group: Group) -> Planned[Any]:
        with self._reading.meter.limit(self._limits.query_seconds):
            return checked(finished(job.plan(group.view(self._reading)), PLAN_WAITED))

    def _work(self, job: WorkJob, group: Group) -> None:
        self._connection.execute("SAVEPOINT job")
        try:
            answer: object = job.work(self._reading)
        except Exception as error:
            self._refuse(job, error, group)
        else:
            self._connection.execute("RELEASE job")
            group.answers.append((job, answer))

    def _refuse(self, job: Job, error: BaseException, group: Group) -> None:
        """Undo what a job has written; its exception is its answer.

        Some errors end the transaction, and the jobs before this one with it; a full disk is full for all.
        """
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if isinstance(cause, sqlite3.Error) and (not self._connection.in_transaction or code(cause) in SPOILING):
            raise cause
        self._undo()
        group.answers.append((job, error))

    def _undo(self) -> None:
        self._connection.execute("ROLLBACK TO job")
        self._connection.execute("RELEASE job")
        self._reading.names.forget()
