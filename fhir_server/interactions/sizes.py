"""How much one answer may hold: a page that would pass it ends early, and has one resource at least."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from time import monotonic
from typing import Final

from fhir_server.interactions.exchange import Response
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.storage.protocol import Stored


def size(found: Iterable[Stored]) -> int:
    """Return how many bytes the bodies of resources have."""
    return sum(len(stored.body or b"") for stored in found)


def too_long(what: str, limit: int, path: str = "http") -> BadRequest:
    """Return the refusal of what would make an answer larger than it may be."""
    text = f"{what} the answer would have more than {limit} bytes, the limit; ask for less at once"
    return BadRequest(Issue(IssueType.TOO_COSTLY, text, (path,), id="answer-limit"))


READS_BEGIN_SECONDS: Final = 60.0
"""So long after its Bundle a read may begin: each may be slow, and nobody waits for thousands of them."""


class Budget:
    """What the answers to the entries of one Bundle may have together, in bytes, and when its last read begins."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit
        self._is_spent = False
        self._until = monotonic() + READS_BEGIN_SECONDS

    def demand(self) -> None:
        """Raise ``BadRequest`` if nothing is left, or a read was refused already: each would be done for nothing."""
        if monotonic() >= self._until:
            text = f"the entries before this one took more than {READS_BEGIN_SECONDS:g} seconds; send fewer in a Bundle"
            raise BadRequest(Issue(IssueType.TOO_COSTLY, text, ("http",), id="bundle-time"))
        if self._is_spent or self._left <= 0:
            raise too_long("with this entry", self._limit)

    def grant(self, response: Response) -> Response:
        """Return an answer that was found to have its place before its Bundle was written: too late to refuse it."""
        self._left -= sum(map(len, response.body))
        return response

    def take(self, response: Response, *, is_read: bool) -> Response:
        """Return an answer that has its place. Raises ``BadRequest`` for a read that has none.

        A write is done, so its answer comes without the resource.
        """
        size = sum(map(len, response.body))
        if size <= self._left:
            self._left -= size
            return response
        if is_read:
            self._is_spent = True
            raise too_long("with this entry", self._limit)
        return replace(response, body=())
