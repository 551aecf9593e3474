"""How much one answer may hold: a page that would pass it ends early, and has one resource at least."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.storage.protocol import Stored


def size(found: Iterable[Stored]) -> int:
    """Return how many bytes the bodies of resources have."""
    return sum(len(stored.body or b"") for stored in found)


def too_long(what: str, limit: int, path: str = "http") -> BadRequest:
    """Return the refusal of what would make an answer larger than it may be."""
    text = f"{what} the answer would have more than {limit} bytes, the limit; ask for less at once"
    return BadRequest(Issue(IssueType.TOO_COSTLY, text, (path,), id="answer-limit"))
