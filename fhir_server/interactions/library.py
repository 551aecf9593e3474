"""Running pure code against the library: what it asks for is read from a snapshot, and the code run again.

Spec: https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from fhir_server.definitions.builtin import Builtin
from fhir_server.definitions.library import Library, Loaded, all_codes, best, split
from fhir_server.definitions.registry import CONFORMANCE_TYPES, Registry
from fhir_server.interactions.context import Context
from fhir_server.interactions.pace import Pace, aside
from fhir_server.interactions.shelf import Asked, Shelf
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType
from fhir_server.search.query import Equal, Page, Query
from fhir_server.storage.protocol import Snapshot, Stored

T = TypeVar("T")

MAX_URLS: Final = 2_000
"""Canonical URLs that one piece of work may ask for."""

_TOGETHER: Final = 200
"""URLs asked for in one search, and resources of one of its pages."""

MAX_BYTES: Final = 100_000_000
"""What the resources that it asks for may have together."""


@dataclass(frozen=True, slots=True)
class Consulted(Generic[T]):
    """What the work returned, and what of the store it is built on."""

    answer: T
    versions: Mapping[Key, int | None] = field(default_factory=dict)
    """Of the stored resources that were found: a write that depends on them adds them to ``Prepared.versions``."""
    missing: frozenset[str] = frozenset()
    """The canonicals that lead nowhere."""
    asked: frozenset[Asked] = frozenset()
    """What was asked for."""


@dataclass(slots=True)
class _Found:
    """The stored resources of one URL, the code systems that say it is the value set of all their codes, and what
    their bodies have in bytes."""

    resources: list[Loaded] = field(default_factory=list)
    systems: list[Loaded] = field(default_factory=list)
    size: int = 0

    def add(self, loaded: Loaded, stored: Stored, *, is_own: bool) -> None:
        """Take a resource that has the URL, or else a code system that says so."""
        (self.resources if is_own else self.systems).append(loaded)
        self.size += len(stored.body or b"")


class _Open(Library):
    """A library that notes what it is asked for and does not have yet."""

    def __init__(self, builtin: Builtin) -> None:
        self._builtin = builtin
        self.found: dict[Asked, _Found] = {}
        self.wanted: set[Asked] = set()
        self.asked: set[Asked] = set()
        self.used: dict[int, Loaded] = {}
        self.missing: set[str] = set()

    def find(self, canonical: str, type: str | None = None) -> Resource | None:
        url, version = split(canonical)
        asked = url, type
        self.asked.add(asked)
        if asked not in self.found:
            self.wanted.add(asked)
            return None
        there = self.found[asked]
        if (found := best(there.resources, version, type)) is not None:
            return self._use(found)
        if type in {None, "ValueSet"} and (system := best(there.systems, version)) is not None:
            return all_codes(self._use(system), url)
        found = self._builtin.find(canonical, type)
        if found is None:
            self.missing.add(canonical)
        return found

    def _use(self, found: Resource) -> Resource:
        assert isinstance(found, Loaded)  # noqa: S101 - what is stored was taken from the shelf
        self.used[id(found)] = found
        return found

    @property
    def size(self) -> int:
        """What has been read, in bytes: work on it may take as long as work on a body of that size."""
        return sum(found.size for found in self.found.values())


async def consult(context: Context, snapshot: Snapshot, work: Callable[[Library], T], size: int = 0) -> Consulted[T]:
    """Return what pure work returns with all that it asks for at hand, or raise what it raises then.

    ``work`` runs several times, and in a thread where it, ``size`` bytes of its own, or what it has asked for is large.
    Raises ``BadRequest`` if it asks for more than ``MAX_URLS`` or ``MAX_BYTES``.
    """
    consulted = await consult_each(context, snapshot, [work], size)
    return Consulted(consulted.answer[0], consulted.versions, consulted.missing, consulted.asked)


async def consult_each(
    context: Context,
    snapshot: Snapshot,
    works: Sequence[Callable[[Library], T]],
    size: int = 0,
    ahead: Collection[Asked] = (),
) -> Consulted[list[T]]:
    """Do the same for pieces of work that ask for much the same, one after the other, others running between them.

    ``size`` is that of one piece. ``ahead``: what is probably asked for, read before.
    """
    library, pace = _Open(context.builtin), Pace()
    library.wanted.update(ahead)
    await _read_wanted(context, snapshot, library)
    answers: list[T] = []
    used: dict[int, Loaded] = {}
    missing: set[str] = set()
    seen = 0
    for work in works:
        answers.append(await _settled(context, snapshot, library, work, size - seen))
        used.update(library.used)
        missing |= library.missing
        seen = library.size
        await pace.keep()
    return Consulted(answers, _versions(used.values()), frozenset(missing), frozenset(library.asked))


async def _settled(context: Context, snapshot: Snapshot, library: _Open, work: Callable[[Library], T], size: int) -> T:
    """Run one piece of work until it asks for nothing new."""
    while True:
        library.used.clear()
        library.missing.clear()
        failure: FhirError | None = None
        answer: list[T] = []
        try:
            answer = [await aside(size + library.size, work, library)]
        except FhirError as error:
            failure = error
        if library.wanted:
            await _read_wanted(context, snapshot, library)
        elif failure is not None:
            raise failure
        else:
            return answer[0]


async def _read_wanted(context: Context, snapshot: Snapshot, library: _Open) -> None:
    if len(library.found) + len(library.wanted) > MAX_URLS or library.size > MAX_BYTES:
        told = f"more than {MAX_URLS} conformance resources, or {MAX_BYTES} bytes of them, would have to be read"
        raise BadRequest(Issue(IssueType.TOO_COSTLY, told, id="library-too-costly"))
    served = _types(context.registry)
    for type_ in sorted({type_ for _, type_ in library.wanted}, key=str):
        urls = sorted(url for url, wanted in library.wanted if wanted == type_)
        types = tuple(one for one in served if type_ in {None, one})
        systems = ("CodeSystem",) if type_ in {None, "ValueSet"} and "CodeSystem" in served else ()
        for url, found in (await _read(snapshot, types, systems, urls, context.shelf)).items():
            library.found[url, type_] = found
    library.wanted.clear()


def _types(registry: Registry) -> tuple[str, ...]:
    """Return the types served whose resources have a canonical URL."""
    return tuple(sorted(type_ for type_ in CONFORMANCE_TYPES & registry.types if "url" in registry.parameters(type_)))


def _versions(used: Iterable[Loaded]) -> dict[Key, int | None]:
    return {Key(one["resourceType"], one["id"]): int(one["meta"]["versionId"]) for one in used}


async def _read(
    snapshot: Snapshot, types: tuple[str, ...], systems: tuple[str, ...], urls: Sequence[str], shelf: Shelf
) -> Mapping[str, _Found]:
    """Return the stored resources of each URL, none for those that nothing has; ``systems``: the types of those that
    say they are the value set of all their codes."""
    found = {url: _Found() for url in urls}
    for start in range(0, len(urls), _TOGETHER):
        some = tuple(urls[start : start + _TOGETHER])
        for stored in await _all(snapshot, types, Equal("url", some)):
            loaded = await shelf.take(stored)
            found[loaded["url"]].add(loaded, stored, is_own=True)
        for stored in await _all(snapshot, systems, Equal("value-set", some)):
            loaded = await shelf.take(stored)
            found[split(loaded["valueSet"])[0]].add(loaded, stored, is_own=False)
    return found


async def _all(snapshot: Snapshot, types: tuple[str, ...], where: Equal) -> list[Stored]:
    if not types:
        return []

    async def read(within: Snapshot) -> list[Stored]:
        found: list[Stored] = []
        page = Page(_TOGETHER)
        while True:
            matches = await within.search(Query(types, where), page)
            found += (match.stored for match in matches.matches)
            if not matches.more:
                return found
            page = Page(_TOGETHER, after=matches.matches[-1].cursor)

    return await snapshot.together(read)
