"""Which of the resources that a transaction writes match criteria, chains to what is stored included.

Candidates come from what is known to be found by an identifier, a code, a reference; what no such bucket serves is
compared one by one, up to a bound. Spec: https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from fhir_server.interactions.pace import Pace
from fhir_server.interactions.writing.known import Bucket, Known, KnownResources, Names, equalities, names_resources
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.match import chains, matches, unmatchable
from fhir_server.search.query import And, Equal, Node, Not, Or, References
from fhir_server.storage.protocol import Snapshot

MAX_COMPARISONS: Final = 100_000
"""Criteria that no index of ours serves are compared with each entry in turn; a transaction may ask for so many."""

_FEW: Final = 8
"""So few candidates that it is not worth following a chain to have fewer."""


@dataclass(slots=True)
class Matching:
    """Finds resources among those that are known. ``settle`` resolves the references that can be by now;
    ``versions`` takes in what is read of the store."""

    known: KnownResources
    names: Names
    snapshot: Snapshot
    versions: dict[Key, int | None]
    deleted: set[Key]
    settle: Callable[[], Awaitable[None]]
    _reached: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """How far what is known was looked through: for type, reference, and type referred to."""
    _far: dict[References, tuple[tuple[int, ...], set[Key]]] = field(default_factory=dict)
    _comparisons: int = 0

    async def matching(self, type_: str, where: Node, without: Key | None = None) -> set[Key]:
        """Return the keys of what is known and matches. Raises ``BadRequest`` past ``MAX_COMPARISONS``."""
        if not self.known.by_type.get(type_):
            return set()
        await self.known.identify(type_)
        if names(where):
            await self.known.index(type_)
            await self.settle()
        buckets = await self._buckets(type_, where)
        if buckets is None and not self.known.is_indexed(type_):
            await self.known.index(type_)
            buckets = await self._buckets(type_, where)
        candidates = self._candidates(type_, buckets, without)
        follows = list(chains(where)) if candidates else []
        for code, far in follows:
            await self._reach(type_, code, far)
        if follows and len(candidates) > _FEW:
            buckets = await self._buckets(type_, where, through=True)
            candidates = self._candidates(type_, buckets, without)
        self._comparisons += len(candidates)
        if self._comparisons > MAX_COMPARISONS:
            raise _too_costly()
        pace = Pace()
        found = set()
        for key in candidates:
            if matches(where, key, self.known.entries(self.known.all[key]), self._follows):
                found.add(key)
            await pace.keep()
        return found

    def _candidates(self, type_: str, buckets: Sequence[Bucket] | None, without: Key | None) -> Sequence[Key]:
        keys: Iterable[Key] = (
            (known.key for known in self.known.by_type[type_])
            if buckets is None
            else dict.fromkeys(key for bucket in buckets for key in bucket)
        )
        return [key for key in keys if key != without]

    async def _buckets(self, type_: str, node: Node, *, through: bool = False) -> Sequence[Bucket] | None:
        """Return where all that match are, or None if that is anywhere. ``through``: find out by following chains."""
        if isinstance(node, And):
            least: Sequence[Bucket] | None = None
            for inner in sorted(node.nodes, key=lambda inner: any(chains(inner))):
                if least is not None and sum(map(len, least)) <= _FEW:
                    break
                one = await self._buckets(type_, inner, through=through)
                if one is not None and (least is None or sum(map(len, one)) < sum(map(len, least))):
                    least = one
            return least
        if isinstance(node, Or):
            several: list[Bucket] = []
            for inner in node.nodes:
                one = await self._buckets(type_, inner, through=through)
                if one is None:
                    return None
                several += one
            return several
        if isinstance(node, Equal) and isinstance(node.values, References):
            if not through:
                return None
            return self.known.having(type_, node.parameter, map(str, await self.found(node.values)))
        return self.known.matching(type_, node)

    async def found(self, far: References) -> set[Key]:
        """Return what is known at the other end of a chain; the same question is often asked again."""
        stamp = tuple(self.known.version(type_) for type_ in _types(far))
        cached = self._far.get(far)
        if cached is None or cached[0] != stamp:
            found = await self.matching(far.type, far.where)
            stamp = tuple(self.known.version(type_) for type_ in _types(far))
            cached = self._far[far] = (stamp, found)
        return cached[1]

    def _follows(self, text: str, far: References) -> bool:
        """Tell whether what a reference leads to matches; ``text`` is what the index says of the reference."""
        if text in self.known.waiting:
            type_ = self.names.expected.get(text) or text.partition("?")[0]
            if type_ == far.type:
                raise unmatchable("chains through what is found by criteria that are resolved later")
            return False
        type_, _, id_ = text.partition("/")
        known = self.known.all.get(Key(type_, id_)) if type_ == far.type else None
        return known is not None and matches(far.where, known.key, self.known.entries(known), self._follows)

    # --- where chains lead ---------------------------------------------------------------------------------------

    async def _reach(self, type_: str, code: str, far: References) -> None:
        """Have the entries of all that a reference of a type's known resources leads to."""
        await self.known.index(type_)
        await self.settle()
        place = (type_, code, far.type)
        log = self.known.log[type_]
        new = log[self._reached[place] :]
        self._reached[place] = len(log)
        start = f"{far.type}/"
        texts = {
            value
            for known in new
            for value in equalities(known.entries, code)
            if value.startswith(start) and "/_history/" not in value
        }
        keys = {Key(far.type, text[len(start) :]) for text in texts} - self.deleted
        await self._fetch([key for key in sorted(keys) if key not in self.known.all and key not in self.versions])
        for inner, further in chains(far.where):
            await self._reach(far.type, inner, further)

    async def _fetch(self, keys: Sequence[Key]) -> None:
        if not keys:
            return
        current = await self.snapshot.read(keys)
        there = [key for key in keys if key in current and current[key].body is not None]
        entries = await self.snapshot.entries(there) if there else {}
        for key in keys:
            self.versions[key] = current[key].version if key in current else None
        for key in there:
            self.known.add(Known(key, entries=entries.get(key, ())))


def names(node: Node) -> bool:
    """Tell whether criteria name the resources that they ask for references to."""
    if isinstance(node, And | Or):
        return any(names(inner) for inner in node.nodes)
    return names(node.node) if isinstance(node, Not) else names_resources(node)


def _types(far: References) -> Iterator[str]:
    yield far.type
    for _, further in chains(far.where):
        yield from _types(further)


def _too_costly() -> BadRequest:
    told = (
        f"the transaction's criteria would need more than {MAX_COMPARISONS} comparisons among its entries; "
        "use criteria with an identifier, or smaller transactions"
    )
    return BadRequest(Issue(IssueType.TOO_COSTLY, told, id="transaction-too-costly"))
