"""Query parameters of interactions other than search: a known few, and no other is ignored.

Spec: https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from fhir_server.definitions.registry import Registry
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request
from fhir_server.interactions.headers import preferences
from fhir_server.interactions.pace import aside
from fhir_server.interactions.query_string import pairs
from fhir_server.interactions.routes import Route
from fhir_server.model.formats import parse, serialize
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.criteria import SearchRequest
from fhir_server.search.request import parse_search
from fhir_server.search.shape import subset

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\-]{0,63}")

GENERAL: Final = ("_format", "_pretty")
"""Understood everywhere, by ``rest``."""

SHAPING: Final = ("_summary", "_elements")


def known(request: Request, names: Iterable[str] = ()) -> dict[str, str]:
    """Return the parameters of a request other than the general ones.

    Raises ``BadRequest`` for any not in ``names`` and for one given twice. Lenient handling leaves unknown ones out of
    a read only: on a write, an ignored criterion would store what the client meant to be conditional.
    """
    valid = tuple(names)
    found: dict[str, str] = {}
    issues = []
    lenient = request.method in {"GET", "HEAD"} and preferences(request.headers).lenient
    for name, value in pairs(request.query):
        if name in GENERAL or (lenient and name not in valid):
            continue
        if name not in valid:
            issues.append(_issue(name, f"is not a parameter here; valid are {', '.join((*valid, *GENERAL))}"))
        elif name in found:
            issues.append(Issue(IssueType.VALUE, f"{name} stands twice", (f"http.{name}",), id="parameter-value"))
        else:
            found[name] = value
    if issues:
        raise BadRequest(*issues)
    return found


def criteria_of(request: Request, route: Route) -> str | None:
    """Return the criteria that name a resource, as the query string has them; None where the URL has its id.

    Raises ``BadRequest`` for parameters beside an id: they would be ignored.
    """
    if route.conditional:
        return request.query
    known(request)
    return None


def general(request: Request) -> list[tuple[str, str]]:
    """Return the general parameters that a request has, as the links of its pages keep them."""
    return [pair for pair in pairs(request.query) if pair[0] in GENERAL]


def subsetting(context: Context, request: Request, type_: str) -> SearchRequest | None:
    """Return what ``_summary`` and ``_elements`` of a read ask for, or None. Raises ``BadRequest``."""
    return shaping(context, type_, known(request, SHAPING) if request.query else {})


def shaping(context: Context, type_: str, given: Mapping[str, str]) -> SearchRequest | None:
    """Return what ``_summary`` and ``_elements`` ask of one resource, or None. Raises ``BadRequest``."""
    if not given:
        return None
    wish = parse_search(context.registry, (type_,), list(given.items()), strict=True)
    if wish.summary == "count":
        told = "_summary=count counts what a search finds; a read takes true, text, data or false"
        raise BadRequest(Issue(IssueType.VALUE, told, ("http._summary",), id="parameter-value"))
    return wish


async def shaped(context: Context, wish: SearchRequest | None, body: bytes) -> bytes:
    """Return a resource's JSON as ``_summary`` and ``_elements`` ask, or as it is."""
    if wish is None or (wish.summary in {None, "false"} and not wish.elements):
        return body
    return await aside(len(body), _part, context.registry, wish, body)


def _part(registry: Registry, wish: SearchRequest, body: bytes) -> bytes:
    return serialize(subset(parse(body), registry, wish.summary, wish.elements))


def _issue(name: str, text: str) -> Issue:
    named = name if _NAME.fullmatch(name) else "a parameter"
    return Issue(IssueType.NOT_SUPPORTED, f"{named} {text}", (f"http.{named}",), id="parameter-unknown")
