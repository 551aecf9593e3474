"""What batch and transaction share: a posted Bundle's entries as requests, and their answers as entries.

Spec: https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.routes import Route, route
from fhir_server.model.bundle import Entry
from fhir_server.model.formats import Resource, parse
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import instant
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType, TooLarge, operation_outcome

_HEADERS: Final = {
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifNoneExist": "if-none-exist",
    "ifModifiedSince": "if-modified-since",
}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Posted:
    """One entry of a posted Bundle; ``at`` is its path: ``Bundle.entry[3]``."""

    request: Request
    full_url: str | None
    at: str


def posted_bundle(context: Context, request: Request) -> tuple[str, list[Any]]:
    """Return the type (batch or transaction) and the entries of a Bundle posted to the base."""
    bundle = parse(request.body) if request.body else request.resource
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise BadRequest(
            Issue(IssueType.STRUCTURE, "only a Bundle can be posted to the base", ("Bundle",), id="bundle-expected")
        )
    if bundle.get("type") not in {"batch", "transaction"}:
        raise BadRequest(
            Issue(IssueType.VALUE, "Bundle.type must be batch or transaction", ("Bundle.type",), id="bundle-type")
        )
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise BadRequest(Issue(IssueType.STRUCTURE, "Bundle.entry must be an array", ("Bundle.entry",)))
    limit = context.limits.bundle_entries
    if len(entries) > limit:
        raise TooLarge(
            Issue(IssueType.TOO_LONG, f"the Bundle has {len(entries)} entries; the limit is {limit}", ("Bundle.entry",))
        )
    return bundle["type"], entries


def posted(context: Context, outer: Request, entry: Any, index: int) -> Posted:
    """Return one entry as a request of its own. Raises ``BadRequest`` where it is not one."""
    at = f"Bundle.entry[{index}]"
    wish = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(wish, dict):
        raise _bad(f"{at}.request", "the entry has no request")
    method, url, full_url = wish.get("method"), wish.get("url"), entry.get("fullUrl")
    if method not in _METHODS:
        raise _bad(f"{at}.request.method", f"the method must be one of {', '.join(sorted(_METHODS))}")
    if not isinstance(url, str):
        raise _bad(f"{at}.request.url", "the url is missing")
    if full_url is not None and not isinstance(full_url, str):
        raise _bad(f"{at}.fullUrl", "fullUrl must be a string")
    path, _, query = _relative(context, url).partition("?")
    headers = _headers(outer, wish, at)
    resource = entry.get("resource")
    request = Request(method, path, query, headers, b"", "application/fhir+json", resource, outer.caller, outer.id)
    return Posted(request, full_url, at)


def routed(context: Context, entry: Posted) -> Route:
    """Return what an entry asks; a Bundle inside a Bundle is refused."""
    found = route(entry.request.method, entry.request.path, context.registry)
    if found.interaction in {Interaction.BATCH, Interaction.TRANSACTION}:
        raise _bad(f"{entry.at}.request.url", "a Bundle cannot be posted inside a Bundle")
    return found


def answered(context: Context, response: Response) -> Entry:
    """Return the response entry of one answer."""
    body = b"".join(response.body)
    described: dict[str, Any] = {"status": _status(response.status)}
    for header, name in (("Location", "location"), ("ETag", "etag")):
        if header in response.headers:
            described[name] = response.headers[header]
    if response.modified is not None:
        described["lastModified"] = instant(response.modified)
    if body.startswith(b'{"resourceType":"OperationOutcome"'):
        described["outcome"] = parse(body)
        return Entry(response=described)
    if response.issues:
        described["outcome"] = operation_outcome(list(response.issues))
    return Entry(resource=body or None, response=described)


def refused(error: FhirError) -> Entry:
    """Return the response entry of one refusal."""
    outcome: Resource = operation_outcome(error.issues)
    return Entry(response={"status": _status(error.status), "outcome": outcome})


def _headers(outer: Request, wish: Mapping[str, Any], at: str) -> dict[str, str]:
    headers = {name: outer.headers[name] for name in ("prefer", "accept") if name in outer.headers}
    for element, name in _HEADERS.items():
        value = wish.get(element)
        if value is None:
            continue
        if not isinstance(value, str):
            raise _bad(f"{at}.request.{element}", "must be a string")
        headers[name] = value
    return headers


def _relative(context: Context, url: str) -> str:
    """Return an entry's url relative to the base; absolute ones under our own bases are understood."""
    for base in context.bases:
        if url == base or url.startswith((base + "/", base + "?")):
            return url[len(base) :].lstrip("/")
    return url.lstrip("/")


def _status(status: int) -> str:
    return f"{status} {_PHRASES[status]}" if status in _PHRASES else str(status)


_PHRASES: Final = {
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    422: "Unprocessable Entity",
}


def _bad(path: str, text: str) -> BadRequest:
    return BadRequest(Issue(IssueType.VALUE, text, (path,), id="bundle-entry"))
