"""The pipeline that all writes share: what the client intends becomes a plan, checked at the head of the log.

    intents ── resolve on a snapshot ── link references ── check ── draft ──> plan ── confirm, apply ──> written

What takes time happens before the plan. The plan asks the same questions again; if an answer has changed meanwhile it
raises ``Moved`` and the pipeline starts over, a few times.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final, Protocol

from fhir_server.interactions.conditional import Moved, Question, ask, confirm, criteria, only
from fhir_server.interactions.context import Context
from fhir_server.interactions.draft import Draft, check, draft, refuse
from fhir_server.interactions.headers import etag
from fhir_server.interactions.own import OwnEntries
from fhir_server.model.formats import Resource, parse
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import (
    BadRequest,
    Conflict,
    Gone,
    Issue,
    IssueType,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
)
from fhir_server.storage.protocol import Address, Change, Plan, Planned, Snapshot, Stored, View

TRIES: Final = 5
"""How often a write is prepared before its client is told that the resource is too busy."""

_LOOP_SECONDS: Final = 0.005
"""Work on a Bundle lets others run at least this often."""


class Patch(Protocol):
    """A patch document: returns the resource changed, or raises ``FhirError``; never changes what it is given."""

    def apply(self, resource: Resource) -> Resource: ...


@dataclass(frozen=True, slots=True)
class Intent:
    """What a client asks to be written.

    Either ``id`` or ``criteria`` (a query string) names the resource; a create may have criteria (If-None-Exist).
    ``if_match`` is a version or ``*``. ``full_url`` and ``at`` (``Bundle.entry[3]``) stand for entries of a Bundle.
    """

    interaction: Interaction
    type: str
    id: str | None = None
    criteria: str | None = None
    resource: Resource | None = None
    patch: Patch | None = None
    if_match: str | None = None
    only_if_absent: bool = False
    full_url: str | None = None
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


class Linker(Protocol):
    """What a transaction adds: references between its own entries, and those by criteria."""

    async def link(self, context: Context, snapshot: Snapshot, prepared: Prepared) -> None:
        """Replace the resources of ``prepared.steps`` by ones with their references resolved; add questions."""
        ...


async def write(context: Context, intents: Sequence[Intent], linker: Linker | None = None) -> list[Written]:
    """Do all of the intents, or none: return what became of each, or raise the ``FhirError`` of the first refusal."""
    for _ in range(TRIES):
        try:
            prepared = await _prepare(context, intents, linker)
            return (await context.store.commit(plan(context, prepared))).answer
        except Moved:
            continue
    raise Conflict(
        Issue(IssueType.CONFLICT, f"others changed the same resources {TRIES} times meanwhile; try again", id="moved")
    )


def plan(context: Context, prepared: Prepared) -> Plan[list[Written]]:
    """Return the plan that applies what was prepared, or raises ``Moved`` or a refusal."""
    keys = [key for step in prepared.steps for key in step.keys]

    async def run(view: View) -> Planned[list[Written]]:
        await confirm(view, prepared.questions)
        current = await view.read(keys)
        changes: list[Change] = []
        answers = [_apply(context, step, current, view, changes) for step in prepared.steps]
        return Planned(changes, answers)

    return run


# --- preparing -------------------------------------------------------------------------------------------------------


async def _prepare(context: Context, intents: Sequence[Intent], linker: Linker | None) -> Prepared:
    prepared = Prepared()
    async with _snapshot_if(context, any(_needs_snapshot(intent) for intent in intents) or linker) as snapshot:
        for intent in intents:
            prepared.steps.append(await _resolve(context, intent, snapshot, prepared))
        _refuse_overlap(prepared.steps)
        if linker is not None:
            await linker.link(context, snapshot, prepared)
    errors: list[Issue] = []
    turn = monotonic()
    for index, step in enumerate(prepared.steps):
        prepared.steps[index] = _drafted(context, step, errors)
        if monotonic() - turn > _LOOP_SECONDS:
            await asyncio.sleep(0)
            turn = monotonic()
    refuse(errors)
    return prepared


def _drafted(context: Context, step: Step, errors: list[Issue]) -> Step:
    """Return the step with what is to be stored; add what forbids it to ``errors``."""
    resource = step.intent.resource
    if resource is None or step.existing:
        return step
    found, warnings = check(context, resource, step.intent.at)
    if found:
        errors.extend(found)
        return step
    return replace(step, draft=draft(context, resource, step.keys[0])._replace(warnings=tuple(warnings)))


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
    if intent.interaction is Interaction.CREATE:
        key = key or only(replace(question, keys=frozenset(prepared.created.matching(intent.type, question.where))))
        return _resolve_create(context, intent, key, prepared)
    return Step(intent, (_conditionally_updated(context, intent, key),), fresh=key is None)


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
        raise NotFound(f"no {intent.type} matches the criteria")
    stored = (await snapshot.read([key])).get(key)
    body = _present(key, stored)
    _check_version(intent, stored)
    assert stored is not None and intent.patch is not None  # noqa: S101 - told by _present and by the route
    resource = intent.patch.apply(parse(body))
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
                raise BadRequest(
                    Issue(
                        IssueType.DUPLICATE,
                        f"two entries of the transaction write {key}",
                        (step.intent.at,) if step.intent.at else (),
                        id="transaction-overlap",
                    )
                )
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
    if exists and intent.only_if_absent:
        raise PreconditionFailed(f"{key} exists already, and If-None-Match says that it must not")
    if exists and step.fresh:
        raise Conflict(f"no {key.type} matches the criteria, but {key} exists already")
    if stored is None and intent.id is not None and not context.update_create:
        raise MethodNotAllowed(f"{key} does not exist, and clients may not choose ids here", headers={"Allow": "GET"})
    if stored is not None and stored.body is not None and drafted.says(stored.body):
        return Written(200, stored, drafted.warnings)
    version = stored.version + 1 if stored is not None else 1
    body = drafted.stamped(version, view.instant)
    changes.append(Change(key, version, intent.interaction, body, drafted.entries, drafted.generation))
    return Written(200 if exists else 201, _stored(changes[-1], view), drafted.warnings)


def _delete(step: Step, current: Mapping[Key, Stored], view: View, changes: list[Change]) -> Written:
    removed = []
    last: Stored | None = None
    for key in step.keys:
        stored = current.get(key)
        _check_version(step.intent, stored)
        if stored is None or stored.body is None:
            last = stored
            continue
        changes.append(Change(key, stored.version + 1, Interaction.DELETE, None))
        last = _stored(changes[-1], view)
        removed.append(key)
    return Written(204, last, removed=tuple(removed))


def _check_version(intent: Intent, stored: Stored | None) -> None:
    """Raise ``PreconditionFailed`` unless the current version is the one that ``If-Match`` names."""
    if intent.if_match is None:
        return
    if stored is None or stored.body is None:
        raise PreconditionFailed("If-Match names a version of a resource that is not there")
    if intent.if_match not in {"*", str(stored.version)}:
        raise PreconditionFailed(
            f'If-Match names version "{intent.if_match}"; the current version is {stored.version}',
            headers={"ETag": etag(stored.version)},
        )


def _present(key: Key, stored: Stored | None) -> bytes:
    """Return the body of a resource that must be there; raise ``NotFound`` or ``Gone``."""
    if stored is None:
        raise NotFound(f"there is no {key}")
    if stored.body is None:
        raise Gone(f"{key} was deleted", headers={"ETag": etag(stored.version)})
    return stored.body


def _stored(change: Change, view: View) -> Stored:
    # The position inside the commit is the engine's to choose; no answer to a client needs it.
    return Stored(change.key, change.version, view.instant, change.interaction, change.body, Address(view.number, 0))
