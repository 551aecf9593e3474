"""What an engine is: a log that takes plans, and snapshots of what the log says.

**A write is a plan, a function of the state at the head of one ordered log; it is checked there and appended there, or
refused there.** See ``docs/architecture.md`` for the rules that both engines keep, and ``tests/storage`` for the
contract that each must pass.

A store receives data and plans. It never parses a URL, evaluates FHIRPath, builds a Bundle, resolves an include or
knows an HTTP status.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.search.query import Cursor, Equality, IndexEntry, Node, Page, Query

T = TypeVar("T")

SCHEMA: Final = 1
"""The layout of what is stored, on every engine. A program that knows less than the store refuses to write."""

ENDED: Final = 2**31 - 1
"""The schema of the head of a log that goes on in another store: to every program it is newer than what it knows, so
none appends to it."""

POSITIONS: Final = 2**20
"""Changes that one commit can hold: a power of two."""


# --- data ------------------------------------------------------------------------------------------------------------


class Address(NamedTuple):
    """Where a change stands in the log: its commit's number, and its place inside (from 0)."""

    number: int
    position: int


class Stored(NamedTuple):
    """One version of a resource as it is in the store."""

    key: Key
    version: int
    """1, 2, 3 …: ``meta.versionId``."""
    instant: int
    """Microseconds since the epoch, a whole number of milliseconds: ``meta.lastUpdated``."""
    interaction: Interaction
    """create, update, patch or delete."""
    body: bytes | None
    """JSON as it is sent to clients; None is a deletion."""
    address: Address
    generation: int = 0
    """The generation of the definitions that its index entries were computed with."""

    @property
    def is_deleted(self) -> bool:
        """Whether this version is a deletion."""
        return self.body is None


@dataclass(frozen=True, slots=True)
class Change:
    """One version to be appended. The plan takes ``version`` and the commit's instant from its view."""

    key: Key
    version: int
    interaction: Interaction
    body: bytes | None
    """None for a deletion, which leaves a tombstone for good."""
    entries: tuple[IndexEntry, ...] = ()
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Planned(Generic[T]):
    """What a plan decides: changes to append (none: a refusal, a match, a no-op) and the answer for the caller."""

    changes: Sequence[Change]
    answer: T


@dataclass(frozen=True, slots=True)
class Committed(Generic[T]):
    """A plan's answer, certain; ``number`` is the change number and ``first`` the position of its own first change
    in that commit, or None if it changed nothing."""

    answer: T
    number: int | None
    first: int | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """One group of plans' changes, as the log has it."""

    number: int
    instant: int
    generation: int
    """The change number of the last commit up to this one, this one included, that touched a definition."""
    schema: int
    changes: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log that a snapshot sees."""

    log_id: str
    number: int
    """0: nothing was ever written."""
    instant: int
    generation: int
    schema: int


class Match(NamedTuple):
    """A resource found by a search, and its place in the order."""

    stored: Stored
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Matches:
    """One page of a search: ``more`` tells whether the result goes on in the direction read."""

    matches: tuple[Match, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose history: one resource (``type`` and ``id``), one type, or everything."""

    type: str | None = None
    id: str | None = None
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Which part of a history. Newest first unless ``ascending``; ``after`` is the last address already read.

    ``since``/``before_instant``: only versions with ``since <= instant < before_instant`` (microseconds).
    ``bytes``: what their bodies may have together, as for a page of a search.
    """

    count: int
    after: Address | None = None
    ascending: bool = False
    since: int | None = None
    before_instant: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """One page of a history; ``more`` tells whether it goes on."""

    versions: tuple[Stored, ...]
    more: bool


Reindexed: TypeAlias = tuple[Key, int, int, tuple[IndexEntry, ...] | None]
"""(key, version, generation, entries): what a version is found by under a generation; None: by what it was before."""


# --- errors ----------------------------------------------------------------------------------------------------------


class StoreError(Exception):
    """Base of what a store raises itself; a plan's own exceptions pass through ``commit`` unchanged."""


class StoreUnavailable(StoreError):
    """The store cannot answer now (queue full, busy, unreachable, outcome unknown): try again later."""


class StoreFull(StoreError):
    """The disk is full; nothing of the commit was kept."""


class CommitTooLarge(StoreError):
    """The plan's changes pass the limit of one commit."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the commit would be {size} bytes; the limit is {limit}")
        self.size, self.limit = size, limit


class QueryTimeout(StoreError):
    """A search ran past its time and was stopped in the engine."""


class QueryTooCostly(StoreError):
    """A search passed a bound; the text names it."""


class SchemaTooNew(StoreError):
    """The store was written by a newer program."""


class CursorGone(StoreError):
    """A position of another log, or beyond the head."""


# --- protocols -------------------------------------------------------------------------------------------------------


class Snapshot(Protocol):
    """The state at one instant of the log. Every answer of one snapshot agrees with the others."""

    @property
    def head(self) -> Head:
        """The end of the log that is seen."""
        ...

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, Stored]:
        """Return the current version of each key that ever was; deleted ones are tombstones."""
        ...

    async def vread(self, key: Key, version: int) -> Stored | None:
        """Return one version, deletions included; None if there is none."""
        ...

    async def deletions(self, versions: Sequence[tuple[Key, int]]) -> frozenset[tuple[Key, int]]:
        """Return those of the versions that are deletions."""
        ...

    async def history(self, scope: Scope, page: HistoryPage) -> Versions:
        """Return one page of versions, deletions included, in the order of their addresses."""
        ...

    async def search(self, query: Query, page: Page) -> Matches:
        """Return one page of the current resources that match. Raises ``QueryTimeout``, ``QueryTooCostly``."""
        ...

    async def count(self, query: Query, seconds: float | None = None) -> int:
        """Return how many resources match, exactly. Raises ``QueryTimeout`` after ``seconds`` (None: the store's)."""
        ...

    async def references(self, keys: Sequence[Key], parameter: str) -> Mapping[Key, tuple[str, ...]]:
        """Return the values of the Equality entries that current resources have for a parameter; those without one
        may be left out."""
        ...

    async def targets(self, keys: Sequence[Key], parameter: str) -> tuple[str, ...]:
        """Return the same values, whosever they are: each once, in the order of their code points. An include follows
        references by them, without parsing a body."""
        ...

    async def entries(self, keys: Sequence[Key]) -> Mapping[Key, tuple[IndexEntry, ...]]:
        """Return the index entries stored for each key that ever was, in no particular order: what ``check`` and
        ``reindex`` compare with those computed anew."""
        ...

    async def outdated(self, type: str, generation: int, limit: int) -> tuple[Stored, ...]:
        """Return up to ``limit`` current resources of a type whose entries an older generation has made than this one:
        the oldest first, so the first tells how far the type's index is behind."""
        ...

    async def together(self, reads: Callable[[Snapshot], Awaitable[T]]) -> T:
        """Return what ``reads`` returns. It awaits nothing but the snapshot that it is given: an engine to which each
        read is a job for a thread makes one job of all of them, which may take the time of one."""
        ...


class View(Snapshot, Protocol):
    """What a plan sees: the head of the log, and the commit that is to be.

    Plans of one group run one after the other; a view shows what the plans before it in the group have changed.
    ``head.number`` and ``head.instant`` are the log's; ``head.generation`` is ``number`` as soon as a plan before it
    in the group has touched a definition.
    """

    @property
    def instant(self) -> int:
        """The instant of the commit to be: microseconds, a whole number of milliseconds, never before the head's."""
        ...

    @property
    def number(self) -> int:
        """The number of the commit to be."""
        ...

    async def holders(self, lookups: Sequence[tuple[str, Equality]]) -> Sequence[tuple[Key, ...]]:
        """Return, for each (type, entry), the keys of the current resources that have this very entry."""
        ...

    async def matching(self, type: str, where: Node, limit: int) -> tuple[Stored, ...]:
        """Return up to ``limit`` current resources of a type that match, in order of creation."""
        ...


Plan = Callable[[View], Awaitable[Planned[T]]]
"""A plan is cheap and has no side effect: it may run again when another writer was first. It awaits nothing but its
view. It may raise: then it changes nothing, and the exception is the caller's."""


class Store(Protocol):
    """One engine's store of one log."""

    async def open(self) -> None:
        """Open the store, or make it. Raises ``StoreUnavailable``, ``SchemaTooNew``."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then close."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Return one state of the log to read, for as long as the block lasts. Raises ``StoreUnavailable``."""
        ...

    async def read(self, key: Key) -> Stored | None:
        """Return one current version (or tombstone) without the cost of a snapshot."""
        ...

    async def head(self) -> Head:
        """Return the end of the log without the cost of a snapshot."""
        ...

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        """Run the plan at the head and append its changes. Returns, or raises what the plan raised, only when the
        outcome is certain. Cancelling the caller drops the answer, never the commit."""
        ...

    def log(self, after: int) -> AsyncIterator[Commit]:
        """Yield the commits after a change number, in order, up to the last one known applied."""
        ...

    async def append(self, commits: Iterable[tuple[Commit, Sequence[tuple[IndexEntry, ...]]]], log_id: str) -> None:
        """Append commits verbatim, each with the index entries of its changes, into a store no plan has written."""
        ...

    async def end(self) -> None:
        """Mark the end of the log (``ENDED``) behind its last commit: no process ever writes to it again.

        Raises ``StoreUnavailable`` if it has ended already.
        """
        ...

    async def reindex(self, entries: Sequence[Reindexed], *, again: bool = False) -> int:
        """Write index entries anew, where the version is current and was indexed with an older generation; ``again``:
        or with the same one, because the program or its settings have changed. Returns how many were written. Not a
        commit."""
        ...

    def alone(self, task: str) -> AbstractAsyncContextManager[bool]:
        """Enter with True for one at a time of all who enter with a task's name on this store, in any process; the
        others enter with False, at once. Who dies has left."""
        ...

    async def healthy(self) -> Sequence[str]:
        """Return warnings that ``/ready`` shows; raise ``StoreUnavailable`` if the store cannot serve."""
        ...


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds of an engine, the same for all engines."""

    commit_bytes: int = 12_000_000
    """Bodies and entries of one commit."""
    group_bytes: int = 256_000
    group_plans: int = 64
    queue_plans: int = 1_000
    query_seconds: float = 10.0
    readers: int = 4


Clock = Callable[[], int]
"""Microseconds since the epoch; tests give a fixed one."""
