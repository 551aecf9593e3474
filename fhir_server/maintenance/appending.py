"""Commits of another log, made ready to be appended verbatim: some together, each with what its resources are found by.

What ``restore`` reads from a file and ``migrate`` from another store is the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, TypeAlias

from fhir_server.interactions.context import Context
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.formats import parse
from fhir_server.outcome import FhirError
from fhir_server.search.query import IndexEntry
from fhir_server.storage.protocol import Commit, Stored

CHUNK_CHANGES: Final = 1_000
CHUNK_BYTES: Final = 8_000_000
"""What is appended together, whichever is reached first; one commit is never cut."""

Indexed: TypeAlias = tuple[Commit, tuple[tuple[IndexEntry, ...], ...]]
"""A commit, and the index entries of each of its changes."""


async def chunks(context: Context, commits: AsyncIterator[Commit]) -> AsyncIterator[list[Indexed]]:
    """Yield the commits as they are appended together, indexed by the definitions now in force.

    Raises ``CommandFailed`` for a resource that cannot be indexed.
    """
    chunk: list[Indexed] = []
    changes = size = 0
    async for commit in commits:
        chunk.append(_indexed(context, commit))
        changes += len(commit.changes)
        size += sum(len(change.body or b"") for change in commit.changes)
        if changes >= CHUNK_CHANGES or size >= CHUNK_BYTES:
            yield chunk
            chunk, changes, size = [], 0, 0
    if chunk:
        yield chunk


def bare(commit: Commit) -> Commit:
    """Return a commit without what another store may say otherwise: the generation of its index entries."""
    changes = tuple(change._replace(generation=0) for change in commit.changes)
    return Commit(commit.number, commit.instant, commit.generation, commit.schema, changes)


def _indexed(context: Context, commit: Commit) -> Indexed:
    generation = context.registry.generation
    changes = tuple(change._replace(generation=generation) for change in commit.changes)
    entries = tuple(_entries(context, change) for change in changes)
    return Commit(commit.number, commit.instant, commit.generation, commit.schema, changes), entries


def _entries(context: Context, change: Stored) -> tuple[IndexEntry, ...]:
    if change.body is None:
        return ()
    try:
        return context.indexer.entries(parse(change.body))
    except (FhirError, KeyError, TypeError) as error:
        raise CommandFailed(f"version {change.version} of {change.key} is no resource of FHIR R4") from error
