"""Find out which resources intents concern, criteria included; refuse what one transaction cannot do together.

    deletions ── plain creates, updates, patches ── creates by criteria ── do criteria find what others write?

Each of them by the length of its chains, since where they lead must be known. What a transaction's criteria see is told
in ``own``.

Spec: https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from fhir_server.interactions.context import Context
from fhir_server.interactions.headers import SECOND, etag
from fhir_server.interactions.pace import Pace, aside
from fhir_server.interactions.paths import at_entry
from fhir_server.interactions.read import present
from fhir_server.interactions.rules import Meant
from fhir_server.interactions.writing.conditional import Question, Wish, ask, ask_all, criteria, only
from fhir_server.interactions.writing.intents import Intent, Patch, Prepared, Step
from fhir_server.interactions.writing.matching import names
from fhir_server.interactions.writing.own import OwnEntries
from fhir_server.model.formats import Resource, parse
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import (
    BadRequest,
    FhirError,
    Issue,
    IssueType,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
)
from fhir_server.search.match import depth
from fhir_server.search.query import Node
from fhir_server.storage.protocol import Snapshot, Stored


async def resolve(context: Context, intents: Sequence[Intent], snapshot: Snapshot, prepared: Prepared) -> None:
    """Add a step for each intent to ``prepared``; raise what is wrong with any of them, together."""
    await _Resolving(context, intents, snapshot, prepared).run()


def needs_snapshot(intent: Intent) -> bool:
    """Tell whether it takes a look at the store to know what an intent writes."""
    return intent.criteria is not None or intent.interaction is Interaction.PATCH


def no_client_ids(reason: str) -> MethodNotAllowed:
    """https://hl7.org/fhir/R4/http.html#upsert"""
    told = f"{reason}, and clients may not choose ids here"
    issue = Issue(IssueType.NOT_SUPPORTED, told, ("http",), id="update-create")
    return MethodNotAllowed(issue, headers={"Allow": "GET, HEAD, OPTIONS"})


def check_version(intent: Intent, stored: Stored | None) -> None:
    """Raise ``PreconditionFailed`` unless the current version is the one that ``If-Match`` names.

    Without it, the version must be no later than ``If-Unmodified-Since``, which has whole seconds.
    Spec: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.4
    """
    if intent.if_match is None:
        since = intent.unmodified_since
        if since is not None and stored is not None and stored.body and stored.instant // SECOND > since // SECOND:
            raise precondition("the resource was modified since", "If-Unmodified-Since", stored)
        return
    if stored is None or stored.body is None:
        raise precondition("If-Match names a version of a resource that is not there", "If-Match", stored)
    if intent.if_match.isdisjoint({"*", str(stored.version)}):
        told = f"If-Match names another version than the current one, which is {stored.version}"
        raise precondition(told, "If-Match", stored)


def precondition(told: str, header: str, stored: Stored | None) -> PreconditionFailed:
    """Return the refusal of a header that is a condition, with the ETag of what is current."""
    issue = Issue(IssueType.CONFLICT, told, (f"http.{header}",), id="precondition")
    return PreconditionFailed(issue, headers={"ETag": etag(stored.version)} if stored is not None else None)


@dataclass(slots=True)
class _Resolving:
    """Intents by their place, and what is known of them."""

    context: Context
    intents: Sequence[Intent]
    snapshot: Snapshot
    prepared: Prepared
    where: dict[int, Node] = field(default_factory=dict)
    asked: dict[int, Question] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    errors: dict[int, FhirError] = field(default_factory=dict)
    made: set[Key] = field(default_factory=set)
    """What updates whose criteria found nothing are to create."""

    async def run(self) -> None:
        await self._read_criteria()
        ranks: list[list[int]] = [[], [], []]
        for place, intent in enumerate(self.intents):
            if place not in self.errors:
                ranks[_rank(intent)].append(place)
        deletions, certain, uncertain = (sorted(places, key=self._order) for places in ranks)
        await self._each(deletions, _Resolving._delete)
        if self.own is not None:
            self.own.deleted.update(key for step in self.steps.values() for key in step.keys)
            for place in (*certain, *uncertain):
                self.own.expect(self.intents[place].type, self.intents[place].full_url)
        await self._each(certain, _Resolving._certain)
        self._raise()
        self._refuse_overlap()
        await self._each(uncertain, _Resolving._create)
        self._raise()
        if self.own is not None:
            await self._each([place for place in (*certain, *uncertain) if place in self.where], _Resolving._alone)
            self._raise()
        self.prepared.steps.extend(self.steps[place] for place in range(len(self.intents)))

    @property
    def own(self) -> OwnEntries | None:
        return self.prepared.own

    def _order(self, place: int) -> tuple[int, bool, int]:
        """Put criteria behind those that what they refer to depends on."""
        where = self.where.get(place)
        return (0, False, place) if where is None else (depth(where), names(where), place)

    async def _each(self, places: Sequence[int], method: _Method) -> None:
        pace = Pace()
        for place in places:
            try:
                await method(self, place)
            except FhirError as error:
                self.errors[place] = at_entry(error, self.intents[place].at)
            await pace.keep()

    def _raise(self) -> None:
        if self.errors:
            errors = [self.errors[place] for place in sorted(self.errors)]
            issues = (issue for error in errors for issue in error.issues)
            raise type(errors[0])(*issues, headers=errors[0].headers)

    # --- criteria ----------------------------------------------------------------------------------------------------

    async def _read_criteria(self) -> None:
        """Parse all criteria, and ask the store those that depend on nothing else, together."""
        conditional = [place for place, intent in enumerate(self.intents) if intent.criteria is not None]
        await self._each(conditional, _Resolving._parse)
        now = [
            place
            for place in conditional
            if place in self.where
            and self.intents[place].interaction is not Interaction.DELETE
            and not (self.own is not None and depth(self.where[place]))
        ]
        wishes = [self._wish(place) for place in now]
        self.asked.update(zip(now, await ask_all(self.snapshot, wishes), strict=True))

    async def _parse(self, place: int) -> None:
        intent = self.intents[place]
        what = f"a conditional {intent.interaction.value}"
        given, definitions = intent.criteria or "", self.prepared.definitions
        self.where[place] = await criteria(self.context, self.snapshot, intent.type, given, what, definitions)

    def _wish(self, place: int) -> Wish:
        intent = self.intents[place]
        if self.context.meant is not None and intent.interaction is Interaction.UPDATE:
            return Wish(intent.type, self.where[place], self.context.limits.delete_matches + 1)
        return Wish(intent.type, self.where[place])

    async def _question(self, place: int) -> Question:
        """Return what the criteria of a place find in the store."""
        if self.own is not None:
            return await self.own.ask(self.intents[place].type, self.where[place], self.asked.get(place))
        self.prepared.questions.append(self.asked[place])
        return self.asked[place]

    async def _match(self, place: int) -> Key | None:
        """Return the one stored match of a place's criteria that stays."""
        question = await self._question(place)
        if self.context.meant is not None and self.intents[place].interaction is Interaction.UPDATE:
            question = await self._meant(place, question, self.context.meant)
        return only(question, self.own.deleted if self.own is not None else set())

    async def _meant(self, place: int, question: Question, meant: Meant) -> Question:
        """Return a question with the matches that an update means; what they were chosen by is confirmed later."""
        if len(question.keys) >= question.limit:
            return question
        stored = await self.snapshot.read(question.keys)
        self.prepared.versions.update({key: one.version for key, one in stored.items()})
        chosen = meant(self.intents[place].resource or {}, [stored[key] for key in sorted(stored)])
        return replace(question, keys=frozenset(chosen))

    # --- deletions ---------------------------------------------------------------------------------------------------

    async def _delete(self, place: int) -> None:
        intent = self.intents[place]
        if intent.criteria is None:
            self.steps[place] = Step(intent, (Key(intent.type, intent.id or ""),))
            return
        limit = self.context.limits.delete_matches
        question = await ask(self.snapshot, Wish(intent.type, self.where[place], limit + 1))
        self.prepared.questions.append(question)
        if len(question.keys) > limit:
            told = f"the criteria match more than {limit} resources, the most that one delete takes"
            raise PreconditionFailed(Issue(IssueType.TOO_COSTLY, told, ("http",), id="delete-limit"))
        self.steps[place] = Step(intent, tuple(sorted(question.keys)))

    # --- what is written for certain ---------------------------------------------------------------------------------

    async def _certain(self, place: int) -> None:
        intent = self.intents[place]
        if intent.interaction is Interaction.PATCH:
            step = await self._patched(place)
        elif intent.criteria is None:
            fresh = intent.interaction is Interaction.CREATE or intent.only_if_absent
            step = Step(intent, (Key(intent.type, intent.id or self.context.new_id()),), fresh=fresh)
        else:
            key = await self._match(place)
            if self.context.meant is not None:
                intent = replace(intent, resource=_without_id(intent.resource))
            step = Step(intent, (self._updated(intent, key),), fresh=key is None)
            self.made.update(step.keys if step.fresh else ())
        self._keep(place, step, is_new=step.fresh and "id" not in (intent.resource or {}))

    def _updated(self, intent: Intent, key: Key | None) -> Key:
        """Return what a conditional update writes to. https://hl7.org/fhir/R4/http.html#cond-update"""
        given = (intent.resource or {}).get("id")
        if key is None and given is not None and not self.context.update_create:
            raise no_client_ids(f"no {intent.type} matches the criteria")
        if key is None:
            return Key(intent.type, given if isinstance(given, str) else self.context.new_id())
        if given is not None and given != key.id:
            told = f"the criteria match {key}, the resource has another id"
            raise BadRequest(Issue(IssueType.VALUE, told, (f"{intent.type}.id",), id="id-mismatch"))
        return key

    async def _patched(self, place: int) -> Step:
        intent = self.intents[place]
        key = Key(intent.type, intent.id or "") if intent.criteria is None else await self._match(place)
        if key is None:
            told = f"no {intent.type} matches the criteria"
            raise NotFound(Issue(IssueType.NOT_FOUND, told, ("http",), id="criteria-no-match"))
        stored = present(key, (await self.snapshot.read([key])).get(key))
        check_version(intent, stored)
        assert stored.body is not None and intent.patch is not None  # noqa: S101 - told by present and by the route
        resource = await aside(len(stored.body), _apply, intent.patch, stored.body)
        return Step(replace(intent, resource=resource, id=key.id), (key,), version=stored.version)

    def _refuse_overlap(self) -> None:
        """https://hl7.org/fhir/R4/http.html#trules: a resource may stand in a transaction once."""
        seen: set[Key] = set()
        for place in sorted(self.steps):
            step = self.steps[place]
            for key in step.keys:
                if key in seen:
                    raise at_entry(_overlap(f"two entries of the transaction write {key}"), step.intent.at)
                seen.add(key)

    async def _alone(self, place: int) -> None:
        """Refuse criteria that find what another entry writes: an update would write it twice, and a create would have
        found it, had it come later."""
        assert self.own is not None  # noqa: S101 - asked of transactions only
        (key,) = self.steps[place].keys
        others = await self.own.matching(key.type, self.where[place], key)
        if others:
            raise _overlap(f"the criteria match {min(others)}, which another entry of the transaction writes")

    # --- creates by criteria -----------------------------------------------------------------------------------------

    async def _create(self, place: int) -> None:
        """https://hl7.org/fhir/R4/http.html#ccreate: what is there already, or is written beside it, is found."""
        intent = self.intents[place]
        question = await self._question(place)
        own = self.own
        if own is not None:
            mine = await own.matching(intent.type, self.where[place])
            key = only(replace(question, keys=question.keys | mine), own.deleted)
        else:
            key = only(question)
        if key is None:
            self._keep(place, Step(intent, (Key(intent.type, self.context.new_id()),), fresh=True), is_new=True)
            return
        if key in self.made:
            raise _overlap("an update by criteria, another entry of the transaction, is to create it as well")
        self.steps[place] = Step(intent, (key,), existing=True)
        if own is not None:
            own.found(key, intent.full_url)

    def _keep(self, place: int, step: Step, *, is_new: bool) -> None:
        """Keep a step that writes, for those that come later to find."""
        self.steps[place] = step
        if self.own is not None:
            resource: Resource = step.intent.resource or {}
            self.own.add(step.keys[0], resource, step.intent.full_url, is_new=is_new)


_Method = Callable[[_Resolving, int], Awaitable[None]]


def _without_id(resource: Resource | None) -> Resource:
    return {name: value for name, value in (resource or {}).items() if name != "id"}


def _overlap(told: str) -> BadRequest:
    return BadRequest(Issue(IssueType.DUPLICATE, told, id="transaction-overlap"))


def _rank(intent: Intent) -> int:
    if intent.interaction is Interaction.DELETE:
        return 0
    return 2 if intent.interaction is Interaction.CREATE and intent.criteria is not None else 1


def _apply(patch: Patch, body: bytes) -> Resource:
    return patch.apply(parse(body))
