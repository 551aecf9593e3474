"""How a client wants its answer written: ``_format`` and ``_pretty``, and how its URL is read.

Spec: https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.interactions.query_string import pairs
from fhir_server.outcome import BadRequest, Issue, IssueType

_MAYBE: Final = re.compile("_format|_pretty|%")
_NOT_ASCII: Final = re.compile(rb"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class Shape:
    """``format`` is None where the client did not say."""

    format: str | None = None
    is_pretty: bool = False


def shape(query: str, more: Sequence[tuple[str, str]] = ()) -> Shape:
    """Return what the query string, and ``more`` parameters of a form, want. Raises ``BadRequest``."""
    if not more and not _MAYBE.search(query):
        return _AS_IT_IS
    given: dict[str, str] = {}
    issues: list[Issue] = []
    for name, value in (*pairs(query), *more):
        if name not in {"_format", "_pretty"}:
            continue
        if name in given:
            issues.append(_issue(name, "stands twice"))
        elif name == "_pretty" and value not in {"true", "false"}:
            issues.append(_issue(name, "is true or false"))
        given[name] = value
    if issues:
        raise BadRequest(*issues)
    return Shape(given.get("_format"), given.get("_pretty") == "true")


def ascii_text(data: bytes) -> str:
    """Return a part of the request line as text: bytes that should have been percent-encoded are."""
    return _NOT_ASCII.sub(lambda match: b"%%%02X" % match.group()[0], data).decode("ascii")


_AS_IT_IS: Final = Shape()


def _issue(name: str, text: str) -> Issue:
    return Issue(IssueType.VALUE, f"{name} {text}", (f"http.{name}",), id="parameter-value")
