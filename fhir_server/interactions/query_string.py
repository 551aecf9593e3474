"""The query string, and the form of a search, as pairs of names and values.

Spec: https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

import re
from typing import Final

from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.criteria import LIMITS

_LONGEST: Final = 1_000_000
"""Characters of a query string, still encoded."""

_BROKEN: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_ENCODED: Final = re.compile("(?:%[0-9A-Fa-f]{2})+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def form(body: bytes) -> list[tuple[str, str]]:
    """Return the pairs of a body that is ``application/x-www-form-urlencoded``. Raises ``BadRequest``."""
    try:
        return pairs(body.decode())
    except UnicodeDecodeError:
        raise _not_utf8("the form") from None


def pairs(query: str) -> list[tuple[str, str]]:
    """Return the decoded (name, value) pairs of a query string, in order.

    Raises ``BadRequest`` on broken encoding, on control characters, which no value of a search has, and on more than
    any search takes, before it is decoded.
    """
    if len(query) > _LONGEST:
        raise _too_many("characters", len(query), _LONGEST)
    parts = [part for part in query.split("&") if part]
    if len(parts) > 2 * LIMITS.parameters:  # all that are not criteria are among them
        raise _too_many("parameters", len(parts), LIMITS.parameters)
    split = (part.partition("=") for part in parts)
    return [(_decoded(name), _decoded(value)) for name, _, value in split]


def _too_many(what: str, count: int, limit: int) -> BadRequest:
    text = f"the search has {count} {what}; the limit is {limit}"
    return BadRequest(Issue(IssueType.TOO_COSTLY, text, ("http",), id="search-bound"))


def _decoded(text: str) -> str:
    if _BROKEN.search(text):
        told = "a % in the parameters is not followed by two hexadecimal digits; a % itself is written %25"
        raise BadRequest(Issue(IssueType.VALUE, told, ("http",), id="query-encoding"))
    try:
        decoded = _ENCODED.sub(_bytes, text.replace("+", " "))
    except UnicodeDecodeError:
        raise _not_utf8("the query string's percent-encoding") from None
    if _CONTROL.search(decoded):
        raise BadRequest(
            Issue(IssueType.VALUE, "the parameters hold a control character", ("http",), id="query-encoding")
        )
    return decoded


def _bytes(run: re.Match[str]) -> str:
    """Return what a run of encoded bytes says: a long one costs no more than a short one, unlike with ``unquote``."""
    return bytes.fromhex(run[0].replace("%", " ")).decode()


def _not_utf8(what: str) -> BadRequest:
    return BadRequest(Issue(IssueType.VALUE, f"{what} is not UTF-8", ("http",), id="query-encoding"))
