"""The pipeline that all writes share: what the client intends becomes a plan, checked at the head of the log.

    intents ── resolve on a snapshot ── link references ── rules ── check, draft ──> plan ── confirm, apply ──> written

What takes time happens before the plan. The plan asks the same questions again; if an answer has changed meanwhile it
raises ``Moved`` and the pipeline starts over, a few times, at last one such write after the other. If the definitions
have changed it raises ``OutdatedWrite``, and the service does the whole request again.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from fhir_server.definitions.registry import DEFINITION_TYPES
from fhir_server.interactions.context import Context, Integrity
from fhir_server.interactions.definitions import OutdatedWrite
from fhir_server.interactions.draft import Draft, Raw, refuse
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.paths import entry, located
from fhir_server.interactions.read import present
from fhir_server.interactions.writing.clashes import refuse_clashes
from fhir_server.interactions.writing.conditional import Moved, confirm
from fhir_server.interactions.writing.conforming import demand_profiles
from fhir_server.interactions.writing.integrity import broken, links, refusal
from fhir_server.interactions.writing.intents import Intent, Patch, Prepared, Step
from fhir_server.interactions.writing.own import OwnEntries
from fhir_server.interactions.writing.resolve import check_version, needs_snapshot, no_client_ids, precondition, resolve
from fhir_server.interactions.writing.ruling import concerned, follow
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, Issue, IssueType
from fhir_server.storage.protocol import Address, Change, Plan, Planned, Snapshot, Stored, View

__all__ = ["Intent", "Linker", "Lookup", "Patch", "Written", "look_up", "rehearse", "write", "write_and_read"]

TRIES: Final = 8
"""How often a write is prepared before its client is told that the resource is too busy."""

AT_WILL: Final = 2
"""So often side by side with all others; then those of this process to whom that was not enough go one by one."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One read by id that stands in a transaction: it sees what the transaction has written."""

    key: Key
    version: int | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one intent: ``stored`` is the version that is current now, None if there is none."""

    status: int
    stored: Stored | None
    warnings: tuple[Issue, ...] = ()
    removed: tuple[Key, ...] = ()


_Answer: TypeAlias = tuple[list[Written], list[Stored]]


class Linker(Protocol):
    """What a transaction adds: references between its own entries, and those by criteria."""

    async def link(self, context: Context, prepared: Prepared) -> None:
        """Replace the resources of ``prepared.steps`` by ones with their references resolved; add questions."""
        ...


async def write(context: Context, intents: Sequence[Intent]) -> list[Written]:
    """Do all of the intents, or none: return what became of each, or raise the ``FhirError`` of the first refusal."""
    written, _ = await write_and_read(context, intents)
    return written


async def rehearse(context: Context, intents: Sequence[Intent]) -> list[Written]:
    """Return what would become of the intents at the head of the log, or raise the refusal; nothing is written."""
    for _ in range(TRIES):
        try:
            run = plan(context, await _prepare(context, intents, None))

            async def without_changes(view: View, run: Plan[_Answer] = run) -> Planned[_Answer]:
                return Planned([], (await run(view)).answer)

            written, _ = (await context.store.commit(without_changes)).answer
        except Moved:
            continue
        return written[: len(intents)]
    raise _too_busy()


async def write_and_read(
    context: Context, intents: Sequence[Intent], linker: Linker | None = None, lookups: Sequence[Lookup] = ()
) -> tuple[list[Written], list[Stored]]:
    """Do all of the intents, then the lookups: return what became of each, or raise a refusal, nothing stored."""
    for attempt in range(TRIES):
        async with context.turn if attempt >= AT_WILL else nullcontext():
            try:
                prepared = await _prepare(context, intents, linker)
                answer = (await context.store.commit(plan(context, prepared, lookups))).answer
            except Moved:
                continue
        if any(intent.type in DEFINITION_TYPES for intent in intents):
            context.definitions.news.set()
        written, read = answer
        return written[: len(intents)], read  # what rules have added is nobody's answer
    raise _too_busy()


def _too_busy() -> Conflict:
    told = f"others changed the same resources {TRIES} times meanwhile; try again"
    return Conflict(Issue(IssueType.CONFLICT, told, id="moved"))


def plan(context: Context, prepared: Prepared, lookups: Sequence[Lookup] = ()) -> Plan[_Answer]:
    """Return the plan that applies what was prepared, or raises ``Moved`` or a refusal."""
    keys = [key for step in prepared.steps for key in step.keys]

    async def run(view: View) -> Planned[_Answer]:
        if view.head.generation != context.registry.generation:
            raise OutdatedWrite
        await confirm(view, prepared.questions, {**prepared.definitions, **prepared.versions})
        current = await view.read(keys)
        changes: list[Change] = []
        answers: list[Written | None] = []
        for step in prepared.steps:
            with entry(step.intent.at):
                answers.append(None if step.existing else _apply(context, step, current, view, changes))
        own = {change.key: _stored(change, view) for change in changes}
        # What a create has found may be written by an entry after it.
        written = [
            Written(200, _found(step.keys[0], current, own)) if answer is None else answer
            for step, answer in zip(prepared.steps, answers, strict=True)
        ]
        written = _warned(prepared, written, await _warnings(context, view, prepared, changes))
        return Planned(changes, (written, await look_up(view, lookups, own)))

    return run


async def look_up(snapshot: Snapshot, lookups: Sequence[Lookup], own: Mapping[Key, Stored]) -> list[Stored]:
    """Return what reads by id find, ``own`` changes first. Raises ``NotFound`` or ``Gone`` with the entry's path."""
    current = await snapshot.read([lookup.key for lookup in lookups]) if lookups else {}
    found = []
    for lookup in lookups:
        stored = own.get(lookup.key) or current.get(lookup.key)
        if lookup.version is not None and (stored is None or stored.version != lookup.version):
            stored = await snapshot.vread(lookup.key, lookup.version)
        with entry(lookup.at):
            found.append(present(lookup.key, stored, lookup.version))
    return found


# --- preparing -------------------------------------------------------------------------------------------------------


async def _prepare(context: Context, intents: Sequence[Intent], linker: Linker | None) -> Prepared:
    prepared = Prepared()
    rules = concerned(context, frozenset(intent.type for intent in intents))
    looks = linker is not None or any(rule.looks for rule in rules)
    async with _snapshot_if(context, looks or any(map(needs_snapshot, intents))) as snapshot:
        if linker is not None:
            prepared.own = OwnEntries(context, snapshot, prepared.questions, prepared.versions, prepared.definitions)
        await resolve(context, intents, snapshot, prepared)
        if linker is not None:
            await linker.link(context, prepared)
        await follow(rules, snapshot, prepared)
    if context.integrity is not Integrity.OFF:
        await _find_links(context, prepared)
    await _draft_all(context, prepared)
    await demand_profiles(context, prepared)
    await refuse_clashes(context.registry, prepared.steps)
    return prepared


async def _find_links(context: Context, prepared: Prepared) -> None:
    pace = Pace()
    for step in prepared.steps:
        if step.resource is not None:
            prepared.links[step.keys[0]] = links(step.resource, context.bases)
            await pace.keep()


async def _draft_all(context: Context, prepared: Prepared) -> None:
    """Give each step what is to be stored; raise what forbids it, of all of them together."""
    places: list[int] = []
    raw: list[Raw] = []
    for index, step in enumerate(prepared.steps):
        if step.resource is not None:
            places.append(index)
            raw.append(Raw(step.resource, step.keys[0], step.intent.at))
    errors: list[Issue] = []
    for index, ready in zip(places, await context.preparer.prepare(context.tools, raw), strict=True):
        if isinstance(ready, Draft):
            prepared.steps[index] = replace(prepared.steps[index], draft=ready)
        else:
            errors.extend(ready)
    refuse(errors)


@asynccontextmanager
async def _snapshot_if(context: Context, needed: object) -> AsyncIterator[Snapshot]:
    """Open a snapshot only where a write depends on the state; most do not."""
    if not needed:
        yield _NO_SNAPSHOT
        return
    async with context.store.snapshot() as snapshot:
        yield snapshot


class _NoSnapshot:
    """Stands for the snapshot of a write that needs none; asked for anything, it fails."""


_NO_SNAPSHOT: Final[Snapshot] = _NoSnapshot()  # type: ignore[assignment] # it has no methods, so that none is called


# --- applying, in the plan -------------------------------------------------------------------------------------------


def _apply(context: Context, step: Step, current: Mapping[Key, Stored], view: View, changes: list[Change]) -> Written:
    if step.intent.interaction is Interaction.DELETE:
        return _delete(step, current, view, changes)
    return _put(context, step, current.get(step.keys[0]), view, changes)


async def _warnings(
    context: Context, view: View, prepared: Prepared, changes: Sequence[Change]
) -> Mapping[Key, Sequence[Issue]]:
    """Return what the changes must be warned of, by key. Raises the refusal of a rule, or of broken references."""
    found: defaultdict[Key, list[Issue]] = defaultdict(list)
    for at_head in prepared.at_head:
        for key, issues in (await at_head(view, changes)).items():
            found[key].extend(issues)
    if context.integrity is not Integrity.OFF:
        for key, issues in (await broken(context, view, changes, prepared.links)).items():
            found[key].extend(issues)
    return found


def _warned(prepared: Prepared, answers: Sequence[Written], found: Mapping[Key, Sequence[Issue]]) -> list[Written]:
    """Return the answers with the issues of what they write, or raise those that are errors."""
    if not found:
        return list(answers)
    told = []
    for step, answer in zip(prepared.steps, answers, strict=True):
        issues = [located(issue, step.intent.at) for key in step.writes for issue in found.get(key, ())]
        told.append(replace(answer, warnings=(*answer.warnings, *issues)))
    errors = [issue for answer in told for issue in answer.warnings if issue.is_error]
    if errors:
        raise refusal(errors)
    return told


def _found(key: Key, current: Mapping[Key, Stored], own: Mapping[Key, Stored]) -> Stored:
    """Return what a conditional create found, as the transaction leaves it."""
    stored = own.get(key) or current.get(key)
    if stored is None or stored.body is None:
        raise Moved
    return stored


def _put(context: Context, step: Step, stored: Stored | None, view: View, changes: list[Change]) -> Written:
    intent, key, drafted = step.intent, step.keys[0], step.draft
    assert drafted is not None  # noqa: S101 - _prepare drafts all but deletions
    check_version(intent, stored)
    if step.version is not None and (stored is None or stored.version != step.version):
        raise Moved
    exists = stored is not None and stored.body is not None
    if stored is not None and exists and intent.only_if_absent:
        told = f"{key} exists already, and If-None-Match says that it must not"
        raise precondition(told, "If-None-Match", stored)
    if exists and step.fresh:
        told = f"no {key.type} matches the criteria, but {key} exists already"
        raise Conflict(Issue(IssueType.CONFLICT, told, (f"{key.type}.id",), id="criteria-other-id"))
    if stored is None and intent.id is not None and not context.update_create:
        raise no_client_ids(f"{key} does not exist")
    if stored is not None and stored.body is not None and drafted.says(stored.body):
        return Written(200, stored, (*drafted.warnings, *step.remarks))
    version = stored.version + 1 if stored is not None else 1
    body = drafted.stamped(version, view.instant)
    changes.append(Change(key, version, intent.interaction, body, drafted.entries, drafted.generation))
    return Written(200 if exists else 201, _stored(changes[-1], view), (*drafted.warnings, *step.remarks))


def _delete(step: Step, current: Mapping[Key, Stored], view: View, changes: list[Change]) -> Written:
    removed = []
    last: Stored | None = None
    if not step.keys:
        check_version(step.intent, None)
    for key in step.keys:
        stored = current.get(key)
        check_version(step.intent, stored)
        if stored is None or stored.body is None:
            last = stored
            continue
        changes.append(Change(key, stored.version + 1, Interaction.DELETE, None))
        last = _stored(changes[-1], view)
        removed.append(key)
    # Several deletions have no version in common that an ETag could tell.
    return Written(204, last if len(step.keys) == 1 else None, step.remarks, tuple(removed))


def _stored(change: Change, view: View) -> Stored:
    # The position inside the commit is the engine's to choose; no answer to a client needs it.
    return Stored(change.key, change.version, view.instant, change.interaction, change.body, Address(view.number, 0))
