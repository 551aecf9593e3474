"""Query parameters of interactions other than search: a known few, and no other is ignored.

Spec: https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fhir_server.interactions.conditional import pairs
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request
from fhir_server.interactions.headers import preferences
from fhir_server.model.formats import parse, serialize
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.request import parse_search
from fhir_server.search.shape import subset

GENERAL: Final = ("_format", "_pretty")
"""Understood everywhere, by ``rest``."""

SHAPING: Final = ("_summary", "_elements")


def known(request: Request, names: Iterable[str] = ()) -> dict[str, str]:
    """Return the parameters of a request other than the general ones. Raises ``BadRequest`` for any not in ``names``,
    unless the client prefers lenient handling, and for one given twice."""
    valid = tuple(names)
    found: dict[str, str] = {}
    issues = []
    lenient = preferences(request.headers).lenient
    for name, value in pairs(request.query):
        if name in GENERAL:
            continue
        if name not in valid:
            if not lenient:
                issues.append(_issue(name, f"is not a parameter here; valid are {', '.join((*valid, *GENERAL))}"))
        elif name in found:
            issues.append(_issue(name, "stands twice"))
        else:
            found[name] = value
    if issues:
        raise BadRequest(*issues)
    return found


def shaped(context: Context, request: Request, type_: str, body: bytes) -> bytes:
    """Return a resource's JSON as ``_summary`` and ``_elements`` ask, or as it is."""
    given = known(request, SHAPING)
    if not given:
        return body
    wish = parse_search(context.registry, (type_,), list(given.items()), strict=True)
    return serialize(subset(parse(body), context.registry, wish.summary, wish.elements))


def _issue(name: str, text: str) -> Issue:
    return Issue(IssueType.NOT_SUPPORTED, f'"{name[:64]}" {text}', (f"http.{name[:64]}",), id="parameter-unknown")
