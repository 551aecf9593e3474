"""What changes count for against the limit of a commit, the same on every engine."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.search.query import IndexEntry
from fhir_server.storage.protocol import Change


def size(change: Change) -> int:
    """Return about how many bytes a change takes."""
    return len(change.body or b"") + entries_size(change.entries)


def entries_size(entries: Iterable[IndexEntry]) -> int:
    """Return about how many bytes the entries take: their texts, and 8 for each number."""
    total = 0
    for entry in entries:
        for value in entry:
            total += len(value) if isinstance(value, str) else 8
    return total
