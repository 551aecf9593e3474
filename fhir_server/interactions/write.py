"""The pipeline that all writes share: what the client intends becomes a plan, checked at the head of the log.

    intents ── resolve on a snapshot ── link references ── check ── draft ──> plan ── confirm, apply ──> written

What takes time happens before the plan. The plan asks the same questions again; if an answer has changed meanwhile it
raises ``Moved`` and the pipeline starts over, a few times.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from fhir_server.interactions.conditional import Moved, Question, ask, confirm, criteria, only
from fhir_server.interactions.context import Context, Integrity
from fhir_server.interactions.draft import Draft, refuse
from fhir_server.interactions.headers import etag
from fhir_server.interactions.integrity import Link, broken, links, refusal
from fhir_server.interactions.own import OwnEntries
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.paths import at_entry, entry, located
from fhir_server.interactions.preparing import Raw
from fhir_server.interactions.read import present
from fhir_server.model.formats import Resource, parse
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import (
    BadRequest,
    Conflict,
    FhirError,
    Issue,
    IssueType,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
)
from fhir_server.storage.protocol import Address, Change, Plan, Planned, Snapshot, Stored, View

TRIES: Final = 5
"""How often a write is prepared before its client is told that the resource is too busy."""


class Patch(Protocol):
    """A patch document: returns the resource changed, or raises ``FhirError``; never changes what it is given."""

    def apply(self, resource: Resource) -> Resource: ...


@dataclass(frozen=True, slots=True)
class Intent:
    """What a client asks to be written.

    Either ``id`` or ``criteria`` (a query string) names the resource; a create may have criteria (If-None-Exist).
    ``if_match`` is versions, or ``*``. ``full_url`` and ``at`` (``Bundle.entry[3]``) stand for entries of a Bundle.
    """

    interaction: Interaction
    type: str
    id: str | None = None
    criteria: str | None = None
    resource: Resource | None = None
    patch: Patch | None = None
    if_match: frozenset[str] | None = None
    only_if_absent: bool = False
    full_url: str | None = None
    at: str = ""


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


@dataclass(frozen=True, slots=True)
class Step:
    """One intent resolved: the keys it concerns, and what is to be stored under the first.

    ``existing``: a conditional create has found its match, nothing is to be written. ``fresh``: what is written must
    not be there yet. ``version``: a patch was made from that version.
    """

    intent: Intent
    keys: tuple[Key, ...]
    existing: bool = False
    fresh: bool = False
    draft: Draft | None = None
    version: int | None = None

    @property
    def writes(self) -> tuple[Key, ...]:
        return () if self.existing else self.keys


@dataclass(slots=True)
class Prepared:
    """All that a plan needs."""

    steps: list[Step] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    created: OwnEntries = field(default_factory=OwnEntries)
    """What creates by criteria of the same transaction are found by."""
    links: dict[Key, Sequence[Link]] = field(default_factory=dict)
    """The references to this server of what is written, if integrity is asked for."""


class Linker(Protocol):
    """What a transaction adds: references between its own entries, and those by criteria."""

    async def link(self, context: Context, snapshot: Snapshot, prepared: Prepared) -> None:
        """Replace the resources of ``prepared.steps`` by ones with their references resolved; add questions."""
        ...


async def write(context: Context, intents: Sequence[Intent]) -> list[Written]:
    """Do all of the intents, or none: return what became of each, or raise the ``FhirError`` of the first refusal."""
    written, _ = await write_and_read(context, intents)
    return written


async def write_and_read(
    context: Context, intents: Sequence[Intent], linker: Linker | None = None, lookups: Sequence[Lookup] = ()
) -> tuple[list[Written], list[Stored]]:
    """Do all of the intents, then the lookups: return what became of each, or raise a refusal, nothing stored."""
    for _ in range(TRIES):
        try:
            prepared = await _prepare(context, intents, linker)
            return (await context.store.commit(plan(context, prepared, lookups))).answer
        except Moved:
            continue
    told = f"others changed the same resources {TRIES} times meanwhile; try again"
    raise Conflict(Issue(IssueType.CONFLICT, told, id="moved"))


def plan(
    context: Context, prepared: Prepared, lookups: Sequence[Lookup] = ()
) -> Plan[tuple[list[Written], list[Stored]]]:
    """Return the plan that applies what was prepared, or raises ``Moved`` or a refusal."""
    keys = [key for step in prepared.steps for key in step.keys]

    async def run(view: View) -> Planned[tuple[list[Written], list[Stored]]]:
        await confirm(view, prepared.questions)
        current = await view.read(keys)
        changes: list[Change] = []
        answers = []
        for step in prepared.steps:
            with entry(step.intent.at):
                answers.append(_apply(context, step, current, view, changes))
        if context.integrity is not Integrity.OFF:
            answers = await _keep_integrity(context, view, prepared, changes, answers)
        own = {change.key: _stored(change, view) for change in changes}
        return Planned(changes, (answers, await look_up(view, lookups, own)))

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
    async with _snapshot_if(context, any(_needs_snapshot(intent) for intent in intents) or linker) as snapshot:
        await _resolve_all(context, intents, snapshot, prepared)
        if linker is not None:
            await linker.link(context, snapshot, prepared)
    if context.integrity is not Integrity.OFF:
        await _find_links(context, prepared)
    await _draft_all(context, prepared)
    return prepared


async def _resolve_all(context: Context, intents: Sequence[Intent], snapshot: Snapshot, prepared: Prepared) -> None:
    """Find out which resources each intent concerns; raise what is wrong with any of them, together."""
    errors: list[FhirError] = []
    pace = Pace()
    for intent in intents:
        try:
            prepared.steps.append(await _resolve(context, intent, snapshot, prepared))
        except FhirError as error:
            errors.append(at_entry(error, intent.at) if intent.at else error)
        await pace.keep()
    if errors:
        first = errors[0]
        raise type(first)(*(issue for error in errors for issue in error.issues), headers=first.headers)
    _refuse_overlap(prepared.steps)


async def _find_links(context: Context, prepared: Prepared) -> None:
    pace = Pace()
    for step in prepared.steps:
        if step.intent.resource is not None and not step.existing:
            prepared.links[step.keys[0]] = links(step.intent.resource, context.bases)
            await pace.keep()


async def _draft_all(context: Context, prepared: Prepared) -> None:
    """Give each step what is to be stored; raise what forbids it, of all of them together."""
    places: list[int] = []
    raw: list[Raw] = []
    for index, step in enumerate(prepared.steps):
        if step.intent.resource is not None and not step.existing:
            places.append(index)
            raw.append(Raw(step.intent.resource, step.keys[0], step.intent.at))
    errors: list[Issue] = []
    for index, ready in zip(places, await context.preparer.prepare(raw), strict=True):
        if isinstance(ready, Draft):
            prepared.steps[index] = replace(prepared.steps[index], draft=ready)
        else:
            errors.extend(ready)
    refuse(errors)


async def _resolve(context: Context, intent: Intent, snapshot: Snapshot, prepared: Prepared) -> Step:
    """Find out which resources an intent concerns."""
    if intent.interaction is Interaction.PATCH:
        return await _resolve_patch(context, intent, snapshot, prepared)
    if intent.criteria is None:
        fresh = intent.interaction is Interaction.CREATE or intent.only_if_absent
        return Step(intent, (Key(intent.type, intent.id or context.new_id()),), fresh=fresh)
    if intent.interaction is Interaction.DELETE:
        return await _resolve_delete(context, intent, snapshot, prepared)
    question = await _asked(context, intent, snapshot, prepared)
    key = only(question, _deleted(prepared))
    if key is None and intent.at:
        key = only(replace(question, keys=frozenset(prepared.created.matching(intent.type, question.where))))
    if intent.interaction is Interaction.CREATE:
        return _resolve_create(context, intent, key, prepared)
    step = Step(intent, (_conditionally_updated(context, intent, key),), fresh=key is None)
    if intent.at and key is None:  # a second update by the same criteria is found to be one of the same resource
        prepared.created.add(step.keys[0], context.indexer.entries(intent.resource or {}))
    return step


def _resolve_create(context: Context, intent: Intent, match: Key | None, prepared: Prepared) -> Step:
    """Spec: https://hl7.org/fhir/R4/http.html#ccreate. A later create by the same criteria finds the first."""
    if match is not None:
        return Step(intent, (match,), existing=True)
    key = Key(intent.type, context.new_id())
    if intent.at:
        prepared.created.add(key, context.indexer.entries(intent.resource or {}))
    return Step(intent, (key,), fresh=True)


def _conditionally_updated(context: Context, intent: Intent, key: Key | None) -> Key:
    """Return what a conditional update writes to. https://hl7.org/fhir/R4/http.html#cond-update"""
    given = (intent.resource or {}).get("id")
    if key is None and given is not None and not context.update_create:
        raise _no_client_ids(f"no {intent.type} matches the criteria")
    if key is None:
        return Key(intent.type, given if isinstance(given, str) else context.new_id())
    if given is not None and given != key.id:
        raise BadRequest(
            Issue(
                IssueType.VALUE,
                f"the criteria match {key}, the resource has another id",
                (f"{intent.type}.id",),
                id="id-mismatch",
            )
        )
    return key


async def _resolve_delete(context: Context, intent: Intent, snapshot: Snapshot, prepared: Prepared) -> Step:
    limit = context.limits.delete_matches
    question = await _asked(context, intent, snapshot, prepared, limit + 1)
    if len(question.keys) > limit:
        raise PreconditionFailed(
            Issue(
                IssueType.TOO_COSTLY,
                f"the criteria match more than {limit} resources, the most that one delete takes",
                ("http",),
                id="delete-limit",
            )
        )
    return Step(intent, tuple(sorted(question.keys)))


async def _resolve_patch(context: Context, intent: Intent, snapshot: Snapshot, prepared: Prepared) -> Step:
    if intent.criteria is None:
        key: Key | None = Key(intent.type, intent.id or "")
    else:
        key = only(await _asked(context, intent, snapshot, prepared), _deleted(prepared))
    if key is None:
        told = f"no {intent.type} matches the criteria"
        raise NotFound(Issue(IssueType.NOT_FOUND, told, ("http",), id="criteria-no-match"))
    stored = present(key, (await snapshot.read([key])).get(key))
    _check_version(intent, stored)
    assert stored.body is not None and intent.patch is not None  # noqa: S101 - told by present and by the route
    resource = intent.patch.apply(parse(stored.body))
    return Step(replace(intent, resource=resource, id=key.id), (key,), version=stored.version)


async def _asked(
    context: Context, intent: Intent, snapshot: Snapshot, prepared: Prepared, limit: int | None = None
) -> Question:
    what = f"a conditional {intent.interaction.value}"
    where = criteria(context, intent.type, intent.criteria or "", what)
    question = await (ask(snapshot, intent.type, where, limit) if limit else ask(snapshot, intent.type, where))
    prepared.questions.append(question)
    return question


def _deleted(prepared: Prepared) -> set[Key]:
    return {key for step in prepared.steps if step.intent.interaction is Interaction.DELETE for key in step.keys}


def _refuse_overlap(steps: Sequence[Step]) -> None:
    """https://hl7.org/fhir/R4/http.html#trules: a resource may stand in a transaction once."""
    seen: set[Key] = set()
    for step in steps:
        for key in step.writes:
            if key in seen:
                issue = Issue(
                    IssueType.DUPLICATE, f"two entries of the transaction write {key}", id="transaction-overlap"
                )
                raise BadRequest(located(issue, step.intent.at))
            seen.add(key)


def _needs_snapshot(intent: Intent) -> bool:
    return intent.criteria is not None or intent.interaction is Interaction.PATCH


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


_NO_SNAPSHOT: Final[Snapshot] = _NoSnapshot()  # type: ignore[assignment]


# --- applying, in the plan -------------------------------------------------------------------------------------------


def _apply(context: Context, step: Step, current: Mapping[Key, Stored], view: View, changes: list[Change]) -> Written:
    if step.existing:
        return Written(200, _found(step.keys[0], current, view, changes))
    if step.intent.interaction is Interaction.DELETE:
        return _delete(step, current, view, changes)
    return _put(context, step, current.get(step.keys[0]), view, changes)


async def _keep_integrity(
    context: Context, view: View, prepared: Prepared, changes: Sequence[Change], answers: Sequence[Written]
) -> list[Written]:
    """Return the answers with warnings of the references that the changes would break, or raise them."""
    found = await broken(context, view, changes, prepared.links)
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


def _found(key: Key, current: Mapping[Key, Stored], view: View, changes: list[Change]) -> Stored:
    """Return what a conditional create found: there already, or created by an entry before it."""
    stored = current.get(key)
    if stored is not None and stored.body is not None:
        return stored
    for change in changes:
        if change.key == key:
            return _stored(change, view)
    raise Moved


def _put(context: Context, step: Step, stored: Stored | None, view: View, changes: list[Change]) -> Written:
    intent, key, drafted = step.intent, step.keys[0], step.draft
    assert drafted is not None  # noqa: S101 - _prepare drafts all but deletions
    _check_version(intent, stored)
    if step.version is not None and (stored is None or stored.version != step.version):
        raise Moved
    exists = stored is not None and stored.body is not None
    if stored is not None and exists and intent.only_if_absent:
        told = f"{key} exists already, and If-None-Match says that it must not"
        raise _precondition(told, "If-None-Match", stored)
    if exists and step.fresh:
        told = f"no {key.type} matches the criteria, but {key} exists already"
        raise Conflict(Issue(IssueType.CONFLICT, told, (f"{key.type}.id",), id="criteria-other-id"))
    if stored is None and intent.id is not None and not context.update_create:
        raise _no_client_ids(f"{key} does not exist")
    if stored is not None and stored.body is not None and drafted.says(stored.body):
        return Written(200, stored, drafted.warnings)
    version = stored.version + 1 if stored is not None else 1
    body = drafted.stamped(version, view.instant)
    changes.append(Change(key, version, intent.interaction, body, drafted.entries, drafted.generation))
    return Written(200 if exists else 201, _stored(changes[-1], view), drafted.warnings)


def _no_client_ids(reason: str) -> MethodNotAllowed:
    """https://hl7.org/fhir/R4/http.html#upsert"""
    told = f"{reason}, and clients may not choose ids here"
    issue = Issue(IssueType.NOT_SUPPORTED, told, ("http",), id="update-create")
    return MethodNotAllowed(issue, headers={"Allow": "GET, HEAD, OPTIONS"})


def _delete(step: Step, current: Mapping[Key, Stored], view: View, changes: list[Change]) -> Written:
    removed = []
    last: Stored | None = None
    if not step.keys:
        _check_version(step.intent, None)
    for key in step.keys:
        stored = current.get(key)
        _check_version(step.intent, stored)
        if stored is None or stored.body is None:
            last = stored
            continue
        changes.append(Change(key, stored.version + 1, Interaction.DELETE, None))
        last = _stored(changes[-1], view)
        removed.append(key)
    # Several deletions have no version in common that an ETag could tell.
    return Written(204, last if len(step.keys) == 1 else None, removed=tuple(removed))


def _check_version(intent: Intent, stored: Stored | None) -> None:
    """Raise ``PreconditionFailed`` unless the current version is the one that ``If-Match`` names."""
    if intent.if_match is None:
        return
    if stored is None or stored.body is None:
        raise _precondition("If-Match names a version of a resource that is not there", "If-Match", stored)
    if intent.if_match.isdisjoint({"*", str(stored.version)}):
        told = f"If-Match names another version than the current one, which is {stored.version}"
        raise _precondition(told, "If-Match", stored)


def _precondition(told: str, header: str, stored: Stored | None) -> PreconditionFailed:
    issue = Issue(IssueType.CONFLICT, told, (f"http.{header}",), id="precondition")
    return PreconditionFailed(issue, headers={"ETag": etag(stored.version)} if stored is not None else None)


def _stored(change: Change, view: View) -> Stored:
    # The position inside the commit is the engine's to choose; no answer to a client needs it.
    return Stored(change.key, change.version, view.instant, change.interaction, change.body, Address(view.number, 0))
