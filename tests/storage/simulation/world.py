"""The world in which the protocol model runs: writers, a wire that loses and delays, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tests.storage.simulation.model import (
    DEADLINE,
    DEFINITION,
    UNKNOWN,
    Answer,
    Database,
    Kind,
    Operation,
    Plan,
    ReadDocument,
    ReadHead,
    ReadMark,
    ReadRow,
    Rule,
    Steps,
    Writer,
    decide,
    replay,
)

Delivery = Literal["answered", "answered late", "request lost", "answer lost", "held", "deadline", "held at deadline"]
DELIVERIES: tuple[Delivery, ...] = (
    "answered",
    "answered late",
    "request lost",
    "answer lost",
    "held",
    "deadline",
    "held at deadline",
)
"""``answered late``: a plain read is served by a replica that is behind, but never behind what this writer has seen."""


@dataclass
class Process:
    """A process: its committer, and what it is in the middle of."""

    writer: Writer
    steps: Steps | None = None
    waiting: Operation | None = None
    group: tuple[Plan, ...] = ()
    submitted_at: int = 0
    """The newest change number acknowledged to anyone when the group was handed in."""
    seen: int = 0
    """Index of the newest database state that this process has seen."""


@dataclass
class World:
    broken: frozenset[Rule] = frozenset()
    states: list[Database] = field(default_factory=lambda: [Database()])
    processes: list[Process] = field(default_factory=list)
    wire: list[Operation] = field(default_factory=list)
    plans: int = 0
    acknowledged: list[Answer] = field(default_factory=list)
    newest: int = 0

    def __post_init__(self) -> None:
        self.processes = [Process(Writer(f"writer {n}", self.broken)) for n in range(3)]

    @property
    def database(self) -> Database:
        return self.states[-1]

    # --- what can happen ---------------------------------------------------------------------------------------------

    def submit(self, index: int, wishes: list[tuple[Kind, str]]) -> None:
        """Hand a group of plans to a process that has none."""
        process = self.processes[index]
        if process.steps is not None:
            return
        _, _, generation = replay(self.database.documents, self.database.head + 1)
        plans = []
        for kind, key in wishes:
            self.plans += 1
            plans.append(Plan(self.plans, kind, DEFINITION if kind == "define" else key, generation))
        process.group = tuple(plans)
        process.submitted_at = self.newest
        self._begin(process, process.writer.committing(process.group))

    def heal(self, index: int) -> None:
        process = self.processes[index]
        if process.steps is None:
            process.group = ()
            self._begin(process, process.writer.healing())

    def crash(self, index: int) -> None:
        """The process dies: what it knew is gone, what it sent is not."""
        old = self.processes[index]
        if old.steps is not None:
            old.steps.close()
        fresh = Writer(f"{old.writer.name}'", self.broken, clock=old.writer.clock)
        self.processes[index] = Process(fresh)

    def set_clock(self, index: int, clock: int) -> None:
        self.processes[index].writer.clock = clock

    def step(self, index: int, delivery: Delivery = "answered", lag: int = 0) -> None:
        """Let what a process waits for happen, or not."""
        process = self.processes[index]
        operation = process.waiting
        if process.steps is None or operation is None:
            return
        answer: object = UNKNOWN
        if delivery in {"deadline", "held at deadline"}:
            answer = DEADLINE
        elif delivery == "answered late" and self._is_plain_read(operation):
            chosen = max(process.seen, len(self.states) - 1 - lag)
            process.seen = chosen
            _, answer = self.states[chosen].perform(operation, self.broken)
        elif delivery in {"answered", "answered late"}:
            answer = self._happen(operation)
            process.seen = len(self.states) - 1
        if delivery == "answer lost":
            self._happen(operation)
        elif delivery in {"held", "held at deadline"}:
            self.wire.append(operation)
        self._resume(process, answer)

    def deliver(self, index: int) -> None:
        """A request that hung on the wire arrives; nobody waits for its answer any more."""
        if self.wire:
            self._happen(self.wire.pop(index % len(self.wire)))

    def finish(self) -> None:
        """Let everything come to rest: late requests, work under way, and one process that heals."""
        while self.wire:
            self.deliver(0)
        for index in range(len(self.processes)):
            self.run(index)
            self.heal(index)
            self.run(index)
        self.check()
        assert self.database.mark == self.database.head, "a healed log is wholly marked"
        rows, places, _ = replay(self.database.documents, self.database.head + 1)
        projected = {key: row for key, (_, _, row) in self.database.rows.items()}
        assert projected == rows, "the projection differs from the replay of the log"
        assert {key: (number, position) for key, (number, position, _) in self.database.rows.items()} == places
        for answer in self.acknowledged:
            self._check_answer(answer)

    def run(self, index: int) -> None:
        """Let a process work undisturbed until it has nothing to do."""
        for _ in range(10_000):
            if self.processes[index].steps is None:
                return
            self.step(index)
        raise AssertionError("a committer that nobody disturbs does not come to an end")

    # --- how it happens ----------------------------------------------------------------------------------------------

    def _is_plain_read(self, operation: Operation) -> bool:
        if isinstance(operation, ReadDocument):
            return not operation.linearizable
        return isinstance(operation, ReadHead | ReadMark | ReadRow)

    def _happen(self, operation: Operation) -> object:
        state, answer = self.database.perform(operation, self.broken)
        if state is not self.database:
            self.states.append(state)
        return answer

    def _begin(self, process: Process, steps: Steps) -> None:
        process.steps = steps
        process.waiting = next(steps)

    def _resume(self, process: Process, answer: object) -> None:
        assert process.steps is not None
        try:
            process.waiting = process.steps.send(answer)
        except StopIteration as end:
            process.steps = process.waiting = None
            for told in end.value or []:
                self._acknowledge(process, told)

    def _acknowledge(self, process: Process, answer: Answer) -> None:
        assert answer.number > process.submitted_at, "an answer from before what others were already told"
        self._check_answer(answer)
        self.acknowledged.append(answer)
        self.newest = max(self.newest, answer.number if answer.wrote else answer.number - 1)
        if answer.wrote:
            assert self.database.mark >= answer.number, "acknowledged before it was applied"

    # --- what must hold ----------------------------------------------------------------------------------------------

    def _check_answer(self, answer: Answer) -> None:
        rows, _, generation = replay(self.database.documents, answer.number, answer.position)
        _, text = decide(answer.plan, rows, generation)
        assert text == answer.text, f"told {answer.text!r}, true was {text!r}"
        document = self.database.documents.get(answer.number)
        mine = [] if document is None else [c for c in document.changes if c.plan == answer.plan.identity]
        assert bool(mine) == answer.wrote, "told that it wrote, and the log does not have it"

    def check(self) -> None:
        """Check every invariant of one state."""
        database = self.database
        head = database.head
        assert sorted(database.documents) == list(range(1, head + 1)), "a gap in the log"
        in_commits: dict[int, set[int]] = {}
        for document in database.documents.values():
            for change in document.changes:
                in_commits.setdefault(change.plan, set()).add(document.number)
        assert all(len(numbers) == 1 for numbers in in_commits.values()), "a plan was applied twice"
        for answer in self.acknowledged:
            if answer.wrote:
                assert in_commits.get(answer.plan.identity) == {answer.number}, "an acknowledged plan is not in the log"
        for number in range(1, head + 1):
            document = database.documents[number]
            _, _, generation = replay(database.documents, number + 1)
            assert document.generation == generation, "a commit with another generation than the log's"
            if number > 1:
                assert document.instant >= database.documents[number - 1].instant, "lastUpdated went back"
        self._check_versions(database)
        self._check_projection(database, head)

    def _check_versions(self, database: Database) -> None:
        versions: dict[str, int] = {}
        written_by: dict[str, tuple[int, ...]] = {}
        for number in sorted(database.documents):
            for change in database.documents[number].changes:
                assert change.row.version == versions.get(change.key, 0) + 1, "two versions with one number"
                versions[change.key] = change.row.version
                before = written_by.get(change.key, ())
                if change.row.body is not None:
                    assert change.row.body == (*before, change.plan), "an update was lost"
                written_by[change.key] = change.row.body or ()

    def _check_projection(self, database: Database, head: int) -> None:
        rows, places, _ = replay(database.documents, head)
        last = database.documents.get(head)
        touched = {change.key for change in last.changes} if last is not None else set()
        for key, row in rows.items():
            if key not in touched:
                assert key in database.rows, "more than the last commit is unapplied"
                assert database.rows[key] == (*places[key], row), "more than the last commit is unapplied"
        for number in range(1, head):
            for position, change in enumerate(database.documents[number].changes):
                assert database.versions.get((number, position)) == change, "a version of an older commit is missing"
