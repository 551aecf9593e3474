"""Criteria that name a resource: asked of a snapshot first, and again, the same question, at the head of the log.

Spec: https://hl7.org/fhir/R4/http.html#ccreate and https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fhir_server.interactions.context import Context
from fhir_server.interactions.query_string import pairs
from fhir_server.interactions.value_sets import resolved
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Issue, IssueType, PreconditionFailed
from fhir_server.search.criteria import RESULT_PARAMETERS
from fhir_server.search.plan import plan as plan_search
from fhir_server.search.query import Equal, Equality, Node, Page, Query
from fhir_server.search.request import parse_search
from fhir_server.storage.protocol import Snapshot, Stored, View

LISTED: Final = 10
"""How many matches the text of a 412 names."""

_TOGETHER: Final = 200
"""So many questions are one job of the store's."""

_NO_CRITERIA: Final = frozenset({"_format", "_pretty"})
"""Understood everywhere; they say nothing of the resource."""


class Moved(Exception):
    """What a write was prepared on is no longer so at the head of the log: prepare it again."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which current resources of a type match; ``keys`` is what a snapshot answered, at most ``limit`` of them."""

    type: str
    where: Node
    limit: int
    keys: frozenset[Key]


async def criteria(
    context: Context, snapshot: Snapshot, type_: str, query: str, what: str, definitions: dict[Key, int | None]
) -> Node:
    """Return what criteria such as ``identifier=system|value`` ask. The conformance resources that they depend on are
    added to ``definitions``. Raises ``BadRequest`` where there are none."""
    given = [(name, value) for name, value in pairs(query) if name not in _NO_CRITERIA]
    request = parse_search(context.registry, (type_,), given, strict=True)
    for name, _ in given:
        if name.partition(":")[0] in RESULT_PARAMETERS:
            raise BadRequest(
                Issue(IssueType.INVALID, f"{name} is no criterion of {what}", (f"http.{name}",), id="criteria-result")
            )
    if not request.criteria:
        raise BadRequest(Issue(IssueType.REQUIRED, f"{what} needs search criteria", id="criteria-missing"))
    understood = await resolved(context, snapshot, request)
    if understood.remarks:  # what is written must not depend on what is not known
        raise BadRequest(*understood.remarks)
    definitions.update(understood.versions)
    return plan_search(understood.request, context.registry, context.zone, context.bases, context.clock()).where


class Wish(NamedTuple):
    """A question before it is asked."""

    type: str
    where: Node
    limit: int = LISTED + 1


async def ask(snapshot: Snapshot, wish: Wish) -> Question:
    """Return the question with a snapshot's answer."""
    type_, where, limit = wish
    found = await snapshot.search(Query((type_,), where), Page(limit))
    return Question(type_, where, limit, frozenset(match.stored.key for match in found.matches))


async def ask_all(snapshot: Snapshot, wishes: Sequence[Wish]) -> list[Question]:
    """Return the questions with a snapshot's answers."""
    found: list[Question] = []
    for start in range(0, len(wishes), _TOGETHER):
        part = wishes[start : start + _TOGETHER]

        async def reads(within: Snapshot, part: Sequence[Wish] = part) -> list[Question]:
            return [await ask(within, wish) for wish in part]

        found += await snapshot.together(reads)
    return found


def only(question: Question, without: frozenset[Key] | set[Key] = frozenset()) -> Key | None:
    """Return the one match, or None if there is none. Raises ``PreconditionFailed`` naming the matches if several."""
    keys = sorted(question.keys - without)
    if len(keys) > 1:
        named = ", ".join(str(key) for key in keys[:LISTED]) + (", …" if len(keys) > LISTED else "")
        raise PreconditionFailed(
            Issue(
                IssueType.MULTIPLE_MATCHES,
                f"the criteria must match one {question.type} at most; they match {named}",
                id="multiple-matches",
            )
        )
    return keys[0] if keys else None


async def confirm(view: View, questions: Sequence[Question], versions: Mapping[Key, int | None]) -> None:
    """Ask the questions at the head of the log, and for the versions that were read (None: there was none).

    Raises ``Moved`` if an answer differs from the snapshot's.
    """
    if versions:
        current = await view.read(list(versions))
        if any(_version(current.get(key)) != version for key, version in versions.items()):
            raise Moved
    lookups = [(question, lookup) for question in questions if (lookup := _lookup(question)) is not None]
    if lookups:
        answers = await view.holders([lookup for _, lookup in lookups])
        if any(question.keys != frozenset(keys) for (question, _), keys in zip(lookups, answers, strict=True)):
            raise Moved
    for question in questions:
        if _lookup(question) is None:
            found = await view.matching(question.type, question.where, question.limit)
            if question.keys != frozenset(stored.key for stored in found):
                raise Moved


def _version(stored: Stored | None) -> int | None:
    return None if stored is None else stored.version


def _lookup(question: Question) -> tuple[str, Equality] | None:
    """Return the one equality that a question is, if it is one whose full answer was seen."""
    match question.where:
        case Equal(parameter, (str() as value,)) if len(question.keys) < question.limit:
            return question.type, Equality(parameter, value)
    return None
