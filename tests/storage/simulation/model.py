"""An executable model of the append protocol on a document database: every step is scheduled by the test.

A writer is a generator: it yields one operation at a time, and the test decides when it happens, whether its answer
arrives, whether the request is lost, or hangs on the wire until long after its sender gave up or died. The rules are
those of ``docs/architecture.md``; each can be broken by name, to prove that the simulation would notice.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Literal, TypeAlias

DEFINITION: Final = "SearchParameter/s"
KEYS: Final = ("Slot/a", "Slot/b", DEFINITION)

Rule = Literal[
    "guard by change number",
    "project the last change only",
    "append after the mark",
    "confirm a refusal",
    "insert the same document again",
    "tombstones stay",
    "instants never go back",
    "overlay carries the generation",
]
RULES: Final[tuple[Rule, ...]] = (
    "guard by change number",
    "project the last change only",
    "append after the mark",
    "confirm a refusal",
    "insert the same document again",
    "tombstones stay",
    "instants never go back",
    "overlay carries the generation",
)


# --- data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A resource: ``body`` lists the plans that wrote it; None is a tombstone."""

    version: int
    body: tuple[int, ...] | None


@dataclass(frozen=True)
class Change:
    key: str
    row: Row
    plan: int
    generation: int


@dataclass(frozen=True)
class Document:
    """One commit, as it is inserted: ``token`` tells whose it is."""

    number: int
    token: tuple[str, int]
    instant: int
    generation: int
    changes: tuple[Change, ...]


Kind = Literal["append", "create", "delete", "transfer", "define", "prepared"]


@dataclass(frozen=True)
class Plan:
    """``prepared`` appends, but only while the generation it was prepared with is in force."""

    identity: int
    kind: Kind
    key: str = "Slot/a"
    generation: int = 0


@dataclass(frozen=True)
class Answer:
    """What a caller is told: of which plan, on which state (the commits below ``number`` and the first ``position``
    changes of that commit), and what. ``wrote``: it has changes in that commit."""

    plan: Plan
    number: int
    position: int
    text: str
    wrote: bool


Decided: TypeAlias = tuple[tuple[Change, ...], str]


def decide(plan: Plan, state: Mapping[str, Row], generation: int) -> Decided:
    """Run a plan on a state: its changes, and its answer."""

    def written(key: str) -> Change:
        row = state.get(key)
        body = row.body if row is not None and row.body is not None else ()
        new = Row(1 if row is None else row.version + 1, (*body, plan.identity))
        return Change(key, new, plan.identity, generation)

    row = state.get(plan.key)
    there = row is not None and row.body is not None
    decided: Decided
    match plan.kind:
        case "append":
            decided = (written(plan.key),), "written"
        case "create" if row is not None and there:
            decided = (), f"exists {row.version}"
        case "create":
            decided = (written(plan.key),), "created"
        case "delete" if row is not None and there:
            decided = (Change(plan.key, Row(row.version + 1, None), plan.identity, generation),), "deleted"
        case "delete":
            decided = (), "gone"
        case "transfer":
            decided = (written("Slot/a"), written("Slot/b")), "both written"
        case "define":
            decided = (written(DEFINITION),), "defined"
        case "prepared" if plan.generation != generation:
            decided = (), f"moved to {generation}"
        case "prepared":
            decided = (written(plan.key),), "written"
    return decided


def replay(
    documents: Mapping[int, Document], below: int, changes: int = 0
) -> tuple[dict[str, Row], dict[str, tuple[int, int]], int]:
    """Return what the log says before (number, position): rows, where each was written, the generation."""
    rows: dict[str, Row] = {}
    places: dict[str, tuple[int, int]] = {}
    generation = 0
    for number in range(1, below + 1):
        document = documents.get(number)
        if document is None:
            break
        part = document.changes if number < below else document.changes[:changes]
        for position, change in enumerate(part):
            rows[change.key] = change.row
            places[change.key] = (number, position)
            if change.key == DEFINITION:
                generation = number
    return rows, places, generation


# --- the database ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadHead:
    pass


@dataclass(frozen=True)
class ReadMark:
    pass


@dataclass(frozen=True)
class ReadRow:
    key: str


@dataclass(frozen=True)
class ReadDocument:
    number: int
    linearizable: bool = False


@dataclass(frozen=True)
class Insert:
    document: Document


@dataclass(frozen=True)
class Project:
    """Write one change into the searched collection, if what is there is older."""

    number: int
    position: int
    change: Change


@dataclass(frozen=True)
class AddVersion:
    number: int
    position: int
    change: Change


@dataclass(frozen=True)
class Mark:
    number: int


Operation: TypeAlias = ReadHead | ReadMark | ReadRow | ReadDocument | Insert | Project | AddVersion | Mark


class Lost(Enum):
    """What a sender knows when no answer came."""

    UNKNOWN = "unknown"
    DEADLINE = "deadline"


UNKNOWN: Final = Lost.UNKNOWN
DEADLINE: Final = Lost.DEADLINE


@dataclass(frozen=True)
class Database:
    """One state; every write makes a new one, so that a stale read is a read of an older state."""

    documents: Mapping[int, Document] = field(default_factory=dict)
    rows: Mapping[str, tuple[int, int, Row]] = field(default_factory=dict)
    versions: Mapping[tuple[int, int], Change] = field(default_factory=dict)
    mark: int = 0

    @property
    def head(self) -> int:
        return max(self.documents, default=0)

    def perform(self, operation: Operation, broken: frozenset[Rule]) -> tuple[Database, object]:  # noqa: PLR0911
        match operation:
            case ReadHead():
                return self, self.documents.get(self.head)
            case ReadMark():
                return self, self.mark
            case ReadRow(key):
                found = self.rows.get(key)
                return self, None if found is None else found[2]
            case ReadDocument(number):
                return self, self.documents.get(number)
            case Insert(document):
                if document.number in self.documents:
                    return self, False
                return replace(self, documents={**self.documents, document.number: document}), True
            case Project(number, position, change):
                present = self.rows.get(change.key)
                if present is not None and present[0] >= number and "guard by change number" not in broken:
                    return self, None
                rows = {**self.rows, change.key: (number, position, change.row)}
                if change.row.body is None and "tombstones stay" in broken:
                    del rows[change.key]
                return replace(self, rows=rows), None
            case AddVersion(number, position, change):
                return replace(self, versions={**self.versions, (number, position): change}), None
            case Mark(number):
                return replace(self, mark=max(self.mark, number)), None


# --- a writer --------------------------------------------------------------------------------------------------------

Steps: TypeAlias = Generator[Operation, object, "list[Answer] | None"]


class GaveUp(Exception):
    """The deadline passed: the callers get 503, and their plans are never run again.

    Nothing needs to be settled first: if the lost document arrives after all, it takes a free number or finds it taken,
    and whoever comes next reads the head again and heals it.
    """


@dataclass
class Writer:
    """One process's committer."""

    name: str
    broken: frozenset[Rule] = frozenset()
    clock: int = 0
    tokens: int = 0

    def committing(self, plans: tuple[Plan, ...]) -> Steps:
        """Run a group of plans; returns their answers, or None for 503."""
        try:
            while True:
                answers = yield from self._attempt(plans)
                if answers is not None:
                    return answers
        except GaveUp:
            return None

    def healing(self) -> Steps:
        """What start-up and the tick do."""
        with suppress(GaveUp):
            yield from self._heal()
        return None

    def _ask(self, operation: Operation) -> Generator[Operation, object, object]:
        """Send an operation that does no harm twice, until it is answered."""
        while True:
            answer = yield operation
            if answer is DEADLINE:
                raise GaveUp
            if answer is not UNKNOWN:
                return answer

    def _heal(self) -> Generator[Operation, object, Document | None]:
        """Return the head, known applied."""
        head = yield from self._ask(ReadHead())
        if head is None:
            return None
        assert isinstance(head, Document)
        mark = yield from self._ask(ReadMark())
        assert isinstance(mark, int)
        if mark < head.number and "append after the mark" not in self.broken:
            yield from self._apply(head)
        return head

    def _apply(self, document: Document) -> Generator[Operation, object, None]:
        last = {change.key: position for position, change in enumerate(document.changes)}
        for position, change in enumerate(document.changes):
            if last[change.key] == position or "project the last change only" in self.broken:
                yield from self._ask(Project(document.number, position, change))
            yield from self._ask(AddVersion(document.number, position, change))
        yield from self._ask(Mark(document.number))

    def _insert(self, document: Document) -> Generator[Operation, object, bool]:
        """Return whether the number is ours, when that is certain."""
        while True:
            answer = yield Insert(document)
            if answer is True:
                return True
            if answer is False:
                there = yield from self._ask(ReadDocument(document.number, linearizable=True))
                assert isinstance(there, Document)
                return there.token == document.token
            if answer is DEADLINE:
                raise GaveUp
            if "insert the same document again" in self.broken:
                self.tokens += 1
                document = replace(document, token=(self.name, self.tokens))

    def _attempt(self, plans: tuple[Plan, ...]) -> Generator[Operation, object, list[Answer] | None]:
        head = yield from self._heal()
        number = 1 if head is None else head.number + 1
        generation = 0 if head is None else head.generation
        overlay: dict[str, Row] = {}
        changes: list[Change] = []
        answers: list[Answer] = []
        for plan in plans:
            state = dict(overlay)
            for key in KEYS:
                if key not in overlay:
                    row = yield from self._ask(ReadRow(key))
                    if isinstance(row, Row):
                        state[key] = row
            made, text = decide(plan, state, generation)
            answers.append(Answer(plan, number, len(changes), text, bool(made)))
            changes.extend(made)
            overlay.update((change.key, change.row) for change in made)
            if any(change.key == DEFINITION for change in made) and "overlay carries the generation" not in self.broken:
                generation = number
        if not changes:
            if "confirm a refusal" in self.broken:
                return answers
            follower = yield from self._ask(ReadDocument(number, linearizable=True))
            return answers if follower is None else None
        if any(change.key == DEFINITION for change in changes):
            generation = number
        instant = self.clock
        if head is not None and "instants never go back" not in self.broken:
            instant = max(instant, head.instant)
        self.tokens += 1
        document = Document(number, (self.name, self.tokens), instant, generation, tuple(changes))
        if not (yield from self._insert(document)):
            return None
        yield from self._apply(document)
        return answers
