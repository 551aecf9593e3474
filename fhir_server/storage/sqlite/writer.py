"""The one writer of a process: a thread that takes waiting jobs together, a group a commit.

Several processes take turns (``locks``). Whoever waits is answered, whatever fails, each with an exception of his own.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from fhir_server.storage.protocol import Plan, StoreError, StoreFull, StoreLimits, StoreUnavailable
from fhir_server.storage.sqlite import filesystem
from fhir_server.storage.sqlite.committing import Committer, GroupFailed
from fhir_server.storage.sqlite.connection import code, is_damage
from fhir_server.storage.sqlite.identity import Identity
from fhir_server.storage.sqlite.jobs import Answer, Job, Jobs, PlanJob, WorkJob
from fhir_server.storage.sqlite.locks import Turns
from fhir_server.storage.sqlite.reading import Reading

_LOG: Final = logging.getLogger(__name__)

_CLOSED: Final = "the store is closed"
_STOPPED: Final = "the writer has stopped by an error of its own: nothing is written until the server is started again"


class Writer:
    """Takes jobs on event loops, performs them in its thread."""

    def __init__(self, path: Path, identity: Identity, committer: Committer, turns: Turns, limits: StoreLimits) -> None:
        self._path = path
        self._identity = identity
        self._committer = committer
        self._turns = turns
        self._most = limits.group_plans
        self._jobs = Jobs(limits.queue_plans)
        self._failure: str | None = None
        self._end: str | None = None
        """Why nothing will be written any more."""
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)

    # --- from the event loop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def commit(self, plan: Plan[Any]) -> asyncio.Future[Any]:
        """Queue a plan; the future is the caller's to cancel. Raises ``StoreUnavailable``, as ``perform`` does."""
        loop = asyncio.get_running_loop()
        job = PlanJob(plan, loop.create_future(), loop)
        self._jobs.add(job)
        return job.future

    def perform(self, work: Callable[[Reading], Any]) -> asyncio.Future[Any]:
        """Queue work for a transaction of its own."""
        loop = asyncio.get_running_loop()
        job = WorkJob(work, loop.create_future(), loop)
        self._jobs.add(job)
        return job.future

    def finish(self) -> None:
        """Write what is queued, then end the thread. Blocks."""
        self._jobs.close(_CLOSED)
        self._thread.join()

    def failure(self) -> str | None:
        """Say why the last commit failed, until one succeeds. Raises ``StoreUnavailable`` if none ever will."""
        if self._end is not None:
            raise StoreUnavailable(self._end)
        return self._failure

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while jobs := self._jobs.first(self._most):
                self._write(jobs)
        except BaseException as error:  # a bug of ours; without an answer those who wait would wait for ever
            _LOG.critical("%s: %s", self._path, _STOPPED, exc_info=error)
            self._end = _STOPPED
            self._jobs.fail(_STOPPED)

    def _write(self, jobs: Sequence[Job]) -> None:
        """Answer the first of the jobs, one at least."""
        try:
            self._jobs.answer(self._in_turn(jobs))
        except GroupFailed:  # each alone, so that one cannot spoil another
            for job in jobs:
                self._jobs.answer(self._alone(job))

    def _alone(self, job: Job) -> Sequence[Answer]:
        try:
            return self._in_turn([job])
        except GroupFailed as failure:
            return [(job, self._failed(failure.cause))]

    def _in_turn(self, jobs: Sequence[Job]) -> Sequence[Answer]:
        """Commit the first of the jobs and return their answers. Raises ``GroupFailed`` if they may run one by one."""
        try:
            with self._turns.turn():
                if self._end is not None:
                    raise StoreUnavailable(self._end)
                self._identity.check()
                group = self._committer.commit(jobs)
        except GroupFailed as failure:
            self._note_damage(failure.cause)
            raise
        except Exception as error:
            return [(job, self._failed(error)) for job in jobs]
        if group.changes:
            self._failure = None
        return group.answers

    def _note_damage(self, error: sqlite3.Error) -> None:
        """What is written to a damaged file may be lost, or damage more."""
        if is_damage(error) and self._end is None:
            self._end = f"the database is damaged ({error}): nothing is written until it is opened again"
            _LOG.error("%s: %s", self._path, self._end)

    def _failed(self, error: Exception) -> Exception:
        """Return why a transaction failed in the store's own words, an exception for one caller; remember it."""
        if isinstance(error, sqlite3.Error):
            self._note_damage(error)
        told = self._told(error)
        told.__cause__ = error
        self._failure = str(told)
        return told

    def _told(self, error: Exception) -> Exception:
        match error:
            case sqlite3.Error() if self._is_full(error):
                return StoreFull("the disk is full: nothing of this write was kept")
            case sqlite3.Error():
                return StoreUnavailable(self._end or f"the database cannot be written now: {error}")
            case OSError():
                return StoreUnavailable(f"the database cannot be written now: {error.strerror or error}")
            case StoreError():
                return type(error)(*error.args)
        return RuntimeError(f"the writer failed: {type(error).__name__}")

    def _is_full(self, error: sqlite3.Error) -> bool:
        found = code(error)
        return found == sqlite3.SQLITE_FULL or (found == sqlite3.SQLITE_IOERR and filesystem.is_full(self._path))
