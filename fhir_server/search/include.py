"""What rides along with a page of matches: ``_include``, ``_revinclude``, ``:iterate``.

References are read from the index, so no body is parsed. Nothing is ever cut silently: past the bound, an error.
Spec: https://hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.parameters import SearchParameterType as Kind
from fhir_server.definitions.registry import Registry
from fhir_server.model.reference import Key, local
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.criteria import Include, SearchRequest
from fhir_server.search.logic import one_of
from fhir_server.search.query import Equal, Page, Query

CHUNK: Final = 500
"""Keys in one question to the store."""


class Found(Protocol):
    """What is read of a stored resource: the store's own record, which comes back as it was given."""

    @property
    def key(self) -> Key:
        """The key of the resource found."""
        ...

    @property
    def is_deleted(self) -> bool:
        """Whether it is a tombstone."""
        ...


F = TypeVar("F", bound=Found)
F_co = TypeVar("F_co", bound=Found, covariant=True)


class Hit(Protocol[F_co]):
    """A match of a search."""

    @property
    def stored(self) -> F_co:
        """The current version."""
        ...


class Hits(Protocol[F_co]):
    """One page of a search."""

    @property
    def matches(self) -> Sequence[Hit[F_co]]:
        """The resources of the page, in its order."""
        ...

    @property
    def more(self) -> bool:
        """Whether the result goes on behind the page."""
        ...


class Reads(Protocol[F_co]):
    """The part of a store's snapshot that includes need."""

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, F_co]:
        """See ``Snapshot.read``."""
        ...

    async def search(self, query: Query, page: Page) -> Hits[F_co]:
        """See ``Snapshot.search``."""
        ...

    async def targets(self, keys: Sequence[Key], parameter: str) -> tuple[str, ...]:
        """See ``Snapshot.targets``."""
        ...


async def included(
    snapshot: Reads[F], matches: Sequence[Hit[F]], request: SearchRequest, registry: Registry, limit: int
) -> list[F]:
    """Return the resources to include with the matches of one page: each once, none that is a match itself.

    Raises ``BadRequest`` if there are more than ``limit``.
    """
    if not request.includes and not request.revincludes:
        return []
    follow = _Follow(snapshot, registry, limit, (match.stored for match in matches))
    includes, revincludes = request.includes, request.revincludes
    frontier = [match.stored.key for match in matches]
    while frontier and (includes or revincludes):
        frontier = await follow.step(frontier, includes, revincludes)
        includes = tuple(include for include in includes if include.is_iterate)
        revincludes = tuple(include for include in revincludes if include.is_iterate)
    return follow.found


class _Follow(Generic[F]):
    """Follows references from resource to resource; a resource is followed once."""

    def __init__(self, snapshot: Reads[F], registry: Registry, limit: int, matches: Iterable[F]) -> None:
        self.snapshot = snapshot
        self.registry = registry
        self.limit = limit
        self.seen = {stored.key for stored in matches}
        self.found: list[F] = []

    async def step(
        self, frontier: Sequence[Key], includes: Sequence[Include], revincludes: Sequence[Include]
    ) -> list[Key]:
        """Return the keys of what the frontier leads to and was not yet found."""
        start = len(self.found)
        wanted: dict[Key, None] = {}
        asked: set[tuple[str, str, str | None]] = set()
        for include in includes:
            for type_, code in self._sources(include, {key.type for key in frontier}):
                if (type_, code, include.target) not in asked:
                    asked.add((type_, code, include.target))
                    keys = [key for key in frontier if key.type == type_]
                    wanted.update(dict.fromkeys(await self._targets(keys, code, include.target)))
        await self._add_wanted(list(wanted))
        for include in revincludes:
            await self._add_referring(frontier, include)
        return [stored.key for stored in self.found[start:]]

    async def _add_wanted(self, wanted: Sequence[Key]) -> None:
        """Read what is referred to, if it is there."""
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            current = await self.snapshot.read(chunk)
            for key in chunk:
                stored = current.get(key)
                if stored is not None and not stored.is_deleted:
                    self._add(stored)

    def _sources(self, include: Include, types: set[str]) -> Iterator[tuple[str, str]]:
        """Yield the (type, parameter) to follow; a wildcard is every reference parameter."""
        for type_ in sorted(types if include.type is None else types & {include.type}):
            if include.code is not None:
                yield type_, include.code
            else:
                yield from ((type_, parameter.code) for parameter in self._references(type_))

    def _references(self, type_: str) -> Iterator[SearchParameter]:
        parameters = self.registry.parameters(type_).values()
        return (parameter for parameter in parameters if parameter.type is Kind.REFERENCE)

    async def _targets(self, keys: Sequence[Key], code: str, target: str | None) -> list[Key]:
        found: dict[Key, None] = {}
        for value in await self.snapshot.targets(keys, code):
            reference = local(value)
            if reference is None or reference.key in self.seen:
                continue
            if reference.key.type in self.registry.types and target in (None, reference.key.type):
                found[reference.key] = None
        return list(found)

    async def _add_referring(self, frontier: Sequence[Key], include: Include) -> None:
        types = self.registry.types if include.type is None else (include.type,)
        for type_ in sorted(types):
            parameters = [one for one in self._references(type_) if include.code in (None, one.code)]
            for start in range(0, len(frontier), CHUNK):
                await self._add_referring_chunk(type_, parameters, frontier[start : start + CHUNK], include.target)

    async def _add_referring_chunk(
        self, type_: str, parameters: Sequence[SearchParameter], keys: Sequence[Key], target: str | None
    ) -> None:
        nodes = []
        for parameter in parameters:
            possible = [
                str(key)
                for key in keys
                if target in (None, key.type) and (not parameter.targets or key.type in parameter.targets)
            ]
            if possible:
                nodes.append(Equal(parameter.code, tuple(possible)))
        if not nodes:
            return
        # One more than the bound and all that may be here already: what is cut off has passed the bound.
        page = await self.snapshot.search(Query((type_,), one_of(nodes)), Page(self.limit + len(self.seen) + 1))
        for match in page.matches:
            self._add(match.stored)

    def _add(self, stored: F) -> None:
        if stored.key not in self.seen:
            self.seen.add(stored.key)
            self.found.append(stored)
        if len(self.found) > self.limit:
            text = f"more than {self.limit} resources to include with this page; ask for fewer matches (_count) or less"
            raise BadRequest(
                Issue(IssueType.TOO_COSTLY, text, ("http._include", "http._revinclude"), id="search-bound")
            )
