"""What a transaction writes, as its own criteria see it before any of it is stored.

R4 deletes first, then creates, then updates and patches, and resolves conditional references last; the order of the
entries says nothing, and no resource may be written twice, whichever way its identity was found. So:

* Criteria never see what the transaction deletes.
* Criteria of an entry see what is stored, as it was, **and** all that the transaction's other entries write, as it
  will be. A create that finds one of them creates nothing; but if that is an update by criteria which is to create it
  too, they are refused. An update or patch that finds one of them would write it a second time, so it is refused. What
  an update changes is therefore found by its former values, which stand until updates are done, and by its new ones,
  which stand afterwards: neither lets a second resource slip in.
* A create that finds its match writes nothing, so nothing is found by its body. Creates by criteria see those before
  them; if one would find what a later one writes, they are refused.
* Criteria of deletions come before all that, and see what is stored.
* A conditional reference comes last: what is written is found by its new values only.

Chains are followed to either kind of resource. What refers to an entry by its fullUrl, or by criteria, refers to what
that becomes; so criteria with longer chains are resolved after those with shorter ones.

Spec: https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from weakref import proxy

from fhir_server.interactions.context import Context
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.routes import served
from fhir_server.interactions.writing.conditional import Question, Wish, ask, ask_all, criteria, only
from fhir_server.interactions.writing.known import (
    CONDITIONAL,
    Known,
    KnownResources,
    Names,
    root_of,
)
from fhir_server.interactions.writing.matching import Matching
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key
from fhir_server.outcome import FhirError, Issue, IssueType, PreconditionFailed
from fhir_server.search.logic import all_of, one_of
from fhir_server.search.match import chains, depth
from fhir_server.search.query import And, Equal, Ids, Keys, Node, Not, Or, References, Spans
from fhir_server.storage.protocol import Snapshot


@dataclass(slots=True, weakref_slot=True)
class OwnEntries:
    """The resources that a transaction writes, added one by one as soon as it is known that they are written."""

    context: Context
    snapshot: Snapshot
    questions: list[Question]
    versions: dict[Key, int | None]
    definitions: dict[Key, int | None]
    deleted: set[Key] = field(default_factory=set)
    names: Names = field(default_factory=Names)
    _expected_types: Counter[str] = field(default_factory=Counter)
    _asking: set[str] = field(default_factory=set)
    _known: KnownResources = field(init=False)
    _matches: Matching = field(init=False)

    def __post_init__(self) -> None:
        self._known = KnownResources(self.context.tools, self.names)
        own: OwnEntries = proxy(self)  # a cycle would keep thousands of resources until it is collected

        async def settle() -> None:
            await own._settle()

        self._matches = Matching(self._known, self.names, self.snapshot, self.versions, self.deleted, settle)

    # --- what is written ---------------------------------------------------------------------------------------------

    def expect(self, type_: str, full_url: str | None) -> None:
        """Tell of an entry that may write a resource of a type; ``add`` or ``found`` says which, later."""
        self._expected_types[type_] += 1
        if full_url:
            self.names.expected[full_url] = type_

    def add(self, key: Key, resource: Resource, full_url: str | None = None, *, is_new: bool = False) -> None:
        """Take in a resource that is written. ``is_new``: nothing stored can refer to it."""
        self._known.add(Known(key, resource, root_of(full_url), is_new))
        self.found(key, full_url)

    def found(self, key: Key, full_url: str | None) -> None:
        """Take in what an entry turned out to be."""
        self._expected_types[key.type] -= 1
        if full_url:
            self.names.expected.pop(full_url, None)
            self.names.found[full_url] = key
            self._known.settle(full_url)

    def __contains__(self, key: Key) -> bool:
        known = self._known.all.get(key)
        return known is not None and known.resource is not None

    def count(self, type_: str) -> int:
        """Return how many resources of a type are written or deleted."""
        written = sum(known.resource is not None for known in self._known.by_type.get(type_, ()))
        return written + sum(key.type == type_ for key in self.deleted)

    # --- what criteria find ------------------------------------------------------------------------------------------

    async def matching(self, type_: str, where: Node, without: Key | None = None) -> set[Key]:
        """Return the keys of what is written and matches. Raises ``BadRequest`` past ``MAX_COMPARISONS``."""
        return {key for key in await self._matches.matching(type_, where, without) if key in self}

    async def ask(self, type_: str, where: Node, asked: Question | None = None, *, last: bool = False) -> Question:
        """Return what criteria find in the store, where what they refer to may be written by the transaction.

        ``asked`` is the answer without regard to that, if it is known. ``last``: nothing is as it was any more.
        """
        where = await self._with_own(where, last=last)
        if asked is None or where != asked.where:
            asked = await ask(self.snapshot, Wish(type_, where))
        if len(asked.keys) == asked.limit and (hidden := self.count(type_)):  # what is changed may hide what is not
            asked = await ask(self.snapshot, Wish(type_, where, asked.limit + hidden))
        self.questions.append(asked)
        return asked

    async def references(self, texts: Sequence[str]) -> Mapping[str, Key | FhirError]:
        """Return what conditional references become, or why they are refused."""
        wishes: dict[str, Wish] = {}
        for text in texts:
            if text not in self.names.answers and text not in self._asking:
                try:
                    wishes[text] = await self._wish(text)
                except FhirError as error:
                    self.names.answers[text] = error
        plain = [text for text, wish in wishes.items() if not depth(wish.where)]
        asked = dict(zip(plain, await ask_all(self.snapshot, [wishes[text] for text in plain]), strict=True))
        self._asking.update(wishes)
        pace = Pace()
        for text, wish in sorted(wishes.items(), key=lambda item: (depth(item[1].where), item[0])):
            try:
                self.names.answers[text] = await self._reference(wish, asked.get(text))
            except FhirError as error:
                self.names.answers[text] = error
            self._asking.discard(text)
            self._known.settle(text)
            await pace.keep()
        return {text: self.names.answers[text] for text in texts if text in self.names.answers}

    async def _wish(self, text: str) -> Wish:
        match = CONDITIONAL.fullmatch(text)
        assert match is not None  # noqa: S101 - texts are conditional references
        served(match["type"], self.context.registry)
        type_, query, what = match["type"], match["query"], "a conditional reference"
        where = await criteria(self.context, self.snapshot, type_, query, what, self.definitions)
        return Wish(type_, where)

    async def _reference(self, wish: Wish, asked: Question | None) -> Key:
        question = await self.ask(wish.type, wish.where, asked, last=True)
        mine = await self.matching(wish.type, wish.where)
        changed = {key for key in question.keys if key in self and key not in mine}
        key = only(replace(question, keys=question.keys | mine), self.deleted | changed)
        if key is None:
            told = f"no {wish.type} matches a conditional reference"
            raise PreconditionFailed(Issue(IssueType.NOT_FOUND, told, id="reference-no-match"))
        return key

    # --- the store's part --------------------------------------------------------------------------------------------

    async def _with_own(self, node: Node, *, last: bool) -> Node:
        """Return criteria to ask the store with: their chains lead to what the transaction writes and deletes."""
        if not any(chains(node)):
            return node
        if isinstance(node, And | Or):
            combined = [await self._with_own(inner, last=last) for inner in node.nodes]
            return all_of(combined) if isinstance(node, And) else one_of(combined)
        if isinstance(node, Not):
            return Not(await self._with_own(node.node, last=last))
        if isinstance(node, Equal) and isinstance(node.values, References):
            far, texts = await self._far_end(node.values, last=last)
            chained = Equal(node.parameter, far)
            return one_of((chained, Equal(node.parameter, texts))) if texts else chained
        if isinstance(node, Spans) and isinstance(node.keys, Keys):
            choices = [
                ((part,) if isinstance(part, tuple) else await self._choices(part, last)) for part in node.keys.parts
            ]
            return one_of(replace(node, keys=Keys(parts)) for parts in product(*choices))
        return node

    async def _choices(self, part: References, last: bool) -> tuple[tuple[str, ...] | References, ...]:
        far, texts = await self._far_end(part, last=last)
        return (far, texts) if texts else (far,)

    async def _far_end(self, far: References, *, last: bool) -> tuple[References, tuple[str, ...]]:
        """Return the stored end of a chain, and the texts of what is written there and was there before."""
        where = await self._with_own(far.where, last=last)
        gone = [key.id for key in self.deleted if key.type == far.type]
        if last:
            gone += [
                known.key.id
                for known in self._known.by_type.get(far.type, ())
                if known.resource is not None and not known.is_new
            ]
        if gone:
            where = all_of((where, Not(Ids(tuple(sorted(gone))))))
        mine = [key for key in await self._matches.found(far) if key in self and not self._known.all[key].is_new]
        return References(far.type, where), tuple(str(key) for key in sorted(mine))

    async def _settle(self) -> None:
        """Resolve the conditional references of what is known, but for those that wait for entries themselves."""
        texts = [
            text
            for text in self._known.waiting
            if (match := CONDITIONAL.fullmatch(text)) and not self._expected_types[match["type"]]
        ]
        if texts:
            await self.references(texts)
