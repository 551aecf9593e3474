"""check: the log is whole, its replay equals what is read and found now, and references lead somewhere.

Each change of the log is compared with what the store answers for it: by induction over its versions, what is current
is what the log says. Index entries are computed anew and compared with those stored. Memory does not grow with the
store, and the store may be in use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from fhir_server.interactions.context import Context
from fhir_server.maintenance.pages import COUNT_SECONDS
from fhir_server.maintenance.progress import CommandFailed, Progress, unheard
from fhir_server.model.formats import Resource, parse
from fhir_server.model.primitives import instant
from fhir_server.model.reference import Key, Local, local, references
from fhir_server.outcome import FhirError
from fhir_server.search.query import IndexEntry, Query
from fhir_server.storage.protocol import SCHEMA, Commit, Head, Snapshot, Stored

TOGETHER: Final = 200
"""Changes compared on one snapshot."""

Told: TypeAlias = Callable[[str], None]


@dataclass(slots=True)
class Checked:
    """What was found; ``problems`` is how many, each was told when it was found. ``dangling`` and ``waiting`` are
    warnings: references by (type, type referred to), and resources whose entries await the reindexing of newer
    definitions."""

    head: Head
    commits: int = 0
    changes: int = 0
    problems: int = 0
    current: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    references: int = 0
    dangling: Counter[tuple[str, str]] = field(default_factory=Counter)
    waiting: int = 0
    counted: bool = False
    """Whether the counts of the log were compared with those of searches: not if others wrote meanwhile."""


async def check(context: Context, *, tell: Told, progress: Progress = unheard) -> Checked:
    """Compare the log, up to its head of now, with everything that is made of it.

    ``tell`` takes each problem as one line; it names resources by type and id. ``progress`` counts commits.
    Raises ``CommandFailed`` where the store cannot be read any further.
    """
    async with context.store.snapshot() as snapshot:
        head = snapshot.head
    checker = _Checker(context, Checked(head), tell)
    try:
        await checker.log(progress)
        await checker.end()
    except (TypeError, ValueError, LookupError) as error:  # what rows that nobody wrote lead to
        told = f"Past commit {checker.report.commits} of {head.number}, the store cannot be read"
        raise CommandFailed(f"{told}: what it holds is damaged ({type(error).__name__}).") from error
    return checker.report


class _Checker:
    def __init__(self, context: Context, report: Checked, tell: Told) -> None:
        self._context = context
        self._tell = tell
        self._waiting: list[Stored] = []
        self._last: Commit | None = None
        self.report = report

    def _problem(self, text: str) -> None:
        self.report.problems += 1
        self._tell(text)

    # --- the log ---------------------------------------------------------------------------------------------------

    async def log(self, progress: Progress) -> None:
        """Check each commit up to the head."""
        head = self.report.head.number
        if head:
            async for commit in self._context.store.log(0):
                await self.commit(commit)
                progress(commit.number, head)
                if commit.number >= head:
                    break

    async def commit(self, commit: Commit) -> None:
        """Check one commit, and its changes when enough of them have come together."""
        for text in _faults(commit, self._last):
            self._problem(f"commit {commit.number}: {text}")
        self._last = commit
        self.report.commits += 1
        self.report.changes += len(commit.changes)
        for change in commit.changes:
            self._waiting.append(change)
            if len(self._waiting) == TOGETHER:
                await self._compare()

    async def end(self) -> None:
        await self._compare()
        head, report = self.report.head, self.report
        last = self._last.number if self._last else 0
        if last != head.number:
            self._problem(f"the log ends at commit {last}, the head says {head.number}")
        async with self._context.store.snapshot() as snapshot:
            if snapshot.head != head:
                return
            report.counted = True
            for type_ in sorted(self._context.registry.structures.resource_types):
                found = await snapshot.count(Query((type_,)), COUNT_SECONDS)
                if found != report.current[type_]:
                    self._problem(f"{type_}: the log has {report.current[type_]}, a search finds {found}")

    # --- changes, against what is read and found -------------------------------------------------------------------

    async def _compare(self) -> None:
        changes, self._waiting = self._waiting, []
        if not changes:
            return
        keys = list({change.key: None for change in changes})
        async with self._context.store.snapshot() as snapshot:
            current = await snapshot.read(keys)
            entries = await snapshot.entries(keys)
            wanted: dict[Local, list[str]] = {}
            for change in changes:
                now = current.get(change.key)
                if now is None:
                    self._problem(f"{change.key}: version {change.version} is in the log, and nothing can be read")
                    continue
                resource = self._resource(change)
                if change.address == now.address:
                    await self._compare_current(snapshot, change, now, resource, entries.get(change.key, ()))
                    for target in self._targets(resource):
                        wanted.setdefault(target, []).append(change.key.type)
                else:
                    await self._compare_former(snapshot, change, now)
            await self._resolve(snapshot, wanted)

    async def _compare_current(
        self, snapshot: Snapshot, change: Stored, now: Stored, resource: Resource | None, entries: Sequence[IndexEntry]
    ) -> None:
        (self.report.deleted if change.is_deleted else self.report.current)[change.key.type] += 1
        if _bare(now) != _bare(change):
            self._problem(f"{change.key}: what is read is not version {change.version} of the log")
        await self._follows(snapshot, change)
        if change.is_deleted:
            if entries:
                self._problem(f"{change.key}: it is deleted, and has {len(entries)} index entries")
        elif now.generation < self._context.registry.changed:
            self.report.waiting += 1
        elif resource is not None and now.generation <= self._context.registry.generation:
            self._compare_entries(change.key, resource, entries)

    def _compare_entries(self, key: Key, resource: Resource, entries: Sequence[IndexEntry]) -> None:
        try:
            expected = set(self._context.indexer.entries(resource))
        except Exception as error:  # whatever is wrong with one stored resource, the others are checked
            self._problem(f"{key}: its index entries cannot be computed ({type(error).__name__})")
            return
        missing, surplus = expected - set(entries), set(entries) - expected
        if missing or surplus:
            codes = ", ".join(sorted({entry.parameter for entry in missing | surplus}))
            told = f"{len(missing)} index entries are missing and {len(surplus)} are too many"
            self._problem(f"{key}: {told} ({codes})")

    async def _compare_former(self, snapshot: Snapshot, change: Stored, now: Stored) -> None:
        if change.version >= now.version or change.address > now.address:
            told = f"version {change.version} is in the log, what is read is version {now.version}"
            self._problem(f"{change.key}: {told}")
        found = await snapshot.vread(change.key, change.version)
        if found is None or _bare(found) != _bare(change):
            self._problem(f"{change.key}: version {change.version} is not read as the log has it")
        await self._follows(snapshot, change)

    async def _follows(self, snapshot: Snapshot, change: Stored) -> None:
        if change.version > 1:
            before = await snapshot.vread(change.key, change.version - 1)
            if before is None or before.address > change.address:
                self._problem(f"{change.key}: no version {change.version - 1} precedes version {change.version}")

    def _resource(self, change: Stored) -> Resource | None:
        """Return what a change holds; tell what its own text contradicts."""
        if change.body is None:
            return None
        try:
            resource: Any = parse(change.body)
            meta = resource["meta"]
            told = (resource["resourceType"], resource["id"], meta["versionId"], meta["lastUpdated"])
        except (FhirError, KeyError, TypeError):
            self._problem(f"{change.key}: version {change.version} cannot be read as a resource")
            return None
        if told != (*change.key, str(change.version), instant(change.instant)):
            self._problem(f"{change.key}: version {change.version} names itself otherwise: {told}")
        found: Resource = resource
        return found

    # --- references ------------------------------------------------------------------------------------------------

    def _targets(self, resource: Resource | None) -> Iterator[Local]:
        for reference in references(resource):
            target = local(reference["reference"], self._context.bases)
            if target is not None:
                yield target

    async def _resolve(self, snapshot: Snapshot, wanted: Mapping[Local, Sequence[str]]) -> None:
        """Count what leads nowhere: never there, deleted, or a version that is not there."""
        found = await snapshot.read({target.key for target in wanted})
        for target, sources in wanted.items():
            self.report.references += len(sources)
            stored: Stored | None = found.get(target.key)
            if stored is not None and target.version is not None:
                number = target.version if target.version.isascii() and target.version.isdigit() else "0"
                stored = await snapshot.vread(target.key, int(number))
            if stored is None or stored.is_deleted:
                for source in sources:
                    self.report.dangling[source, target.key.type] += 1


def _faults(commit: Commit, last: Commit | None) -> Iterator[str]:
    """Yield what is wrong with a commit by itself, or after the one before it."""
    before = last.number if last else 0
    if commit.number != before + 1:
        yield f"it follows commit {before}"
    if last is not None and commit.instant < last.instant:
        yield "its instant is before that of the commit it follows"
    if (last is not None and commit.generation < last.generation) or commit.generation > commit.number:
        yield f"its generation cannot be {commit.generation}"
    if commit.schema > SCHEMA:
        yield f"it has schema {commit.schema}; this program knows schemas up to {SCHEMA}"
    if not commit.changes:
        yield "it has no changes"
    if any(change.address != (commit.number, place) for place, change in enumerate(commit.changes)):
        yield "its changes are not numbered from 0 without a gap"
    if any(change.instant != commit.instant for change in commit.changes):
        yield "its changes are of another instant"


def _bare(stored: Stored) -> Stored:
    return stored._replace(generation=0)
