"""Where a page starts, as clients carry it: opaque, bound to its question and its store, of no use when changed.

A cursor holds a place in an order, not a session: it lives as long as the log it points into, restarts included.
Spec: https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Final

from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.criteria import RESULT_PARAMETERS, SearchRequest
from fhir_server.search.query import Cursor

_SEAL: Final = 16
"""Bytes of the seal."""

_LONGEST: Final = 20_000
"""Characters of a cursor."""

_ANSWER_ONLY: Final = frozenset(RESULT_PARAMETERS) - {"_sort"}
"""Parameters that a client may change between two pages: they do not change what is matched, nor the order."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page starts: ``after`` a match, or the page just ``before`` one.

    ``total`` is the exact total counted for the first page. ``now`` is the instant that ``ap`` measures from: plan the
    next page with it, and all pages ask the same question.
    """

    after: Cursor | None = None
    before: Cursor | None = None
    total: int | None = None
    now: int | None = None


def seal(place: Place, secret: str, question: SearchRequest) -> str:
    """Return a place as a text for URLs. ``secret`` is the identity of the log; no answer ever shows it."""
    fields = [place.after, place.before, place.total, place.now]
    payload = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_sign(payload, secret, question) + payload).rstrip(b"=").decode()


def unseal(text: str, secret: str, question: SearchRequest) -> Place:
    """Return the place of a cursor. Raises ``BadRequest`` if it is not one of this store for this very question."""
    try:
        if len(text) > _LONGEST:
            raise ValueError
        sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise _forged() from None
    signature, payload = sealed[:_SEAL], sealed[_SEAL:]
    if not hmac.compare_digest(signature, _sign(payload, secret, question)):
        raise _forged()
    after, before, total, now = json.loads(payload)
    return Place(_cursor(after), _cursor(before), total, now)


def _cursor(values: list[str | int | float | None] | None) -> Cursor | None:
    return None if values is None else tuple(values)


def _sign(payload: bytes, secret: str, question: SearchRequest) -> bytes:
    key = hashlib.sha256(b"fhir-server page cursor\x00" + secret.encode()).digest()
    return hmac.new(key, _digest(question) + payload, hashlib.sha256).digest()[:_SEAL]


def _digest(question: SearchRequest) -> bytes:
    pairs = [pair for pair in question.understood if pair[0].partition(":")[0] not in _ANSWER_ONLY]
    order = [(str(sort.parameter.type), sort.parameter.expression) for sort in question.sort]  # may be defined anew
    told = repr((question.types, pairs, order))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()


def _forged() -> BadRequest:
    text = "the page cursor does not belong to this search on this server; start again from the first page"
    return BadRequest(Issue(IssueType.VALUE, text, ("http._cursor",), id="cursor"))
