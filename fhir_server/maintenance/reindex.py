"""reindex: index entries computed anew for every current resource, while the server runs.

What clients wrote does not change, and nothing is appended to the log. An entry is written only where it differs from
what is stored, or where the stored ones are of older definitions: so a second run, after one that was interrupted,
reads again and writes the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fhir_server.interactions.context import Context
from fhir_server.maintenance.pages import counts, pages
from fhir_server.maintenance.progress import Progress, unheard
from fhir_server.maintenance.reindexing import in_turn
from fhir_server.model.formats import parse
from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.protocol import Stored

Wanted = tuple[Key, int, int, tuple[IndexEntry, ...]]


@dataclass(slots=True)
class Reindexed:
    """What was done, by type. ``newer``: resources left alone, since newer definitions indexed them. ``failed``: those
    whose entries cannot be computed; each was told."""

    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    newer: int = 0
    failed: int = 0


async def reindex(
    context: Context, types: Iterable[str], *, tell: Callable[[str], None], progress: Progress = unheard
) -> Reindexed:
    """Compute the entries of all current resources of the types, in turn with whoever else reindexes. ``progress``
    counts resources."""
    async with in_turn(context.store):
        return await _reindex(await context.followed(), types, tell, progress)


async def _reindex(
    context: Context, types: Iterable[str], tell: Callable[[str], None], progress: Progress
) -> Reindexed:
    found = await counts(context.store, types)
    total = sum(found.values())
    report = Reindexed()
    for type_ in found:
        async for page in pages(context.store, type_):
            wanted = [one for stored in page if (one := _computed(context, stored, report, tell)) is not None]
            stale = await _differing(context, page, wanted)
            if stale:
                report.written[type_] += await context.store.reindex(stale, again=True)
            report.read[type_] += len(page)
            progress(report.read.total(), max(total, report.read.total()))
    return report


def _computed(context: Context, stored: Stored, report: Reindexed, tell: Callable[[str], None]) -> Wanted | None:
    generation = context.registry.generation
    if stored.body is None:
        return None
    if stored.generation > generation:
        report.newer += 1
        return None
    try:
        entries = context.indexer.entries(parse(stored.body))
    except Exception as error:  # whatever is wrong with one stored resource, the others are indexed
        report.failed += 1
        tell(f"{stored.key}: its index entries cannot be computed ({type(error).__name__})")
        return None
    return stored.key, stored.version, generation, entries


async def _differing(context: Context, page: Iterable[Stored], wanted: list[Wanted]) -> list[Wanted]:
    """Return what must be written; where a resource changes meanwhile, the store will leave it alone."""
    generations = {stored.key: stored.generation for stored in page}
    async with context.store.snapshot() as snapshot:
        there = await snapshot.entries([key for key, *_ in wanted])
    return [
        (key, version, generation, entries)
        for key, version, generation, entries in wanted
        if generations[key] < context.registry.changed or set(there.get(key, ())) != set(entries)
    ]
