"""What batch and transaction share: a posted Bundle's entries as requests, and their answers as entries.

Spec: https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from http import HTTPStatus
from typing import Any, Final

from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.failure import failure
from fhir_server.interactions.headers import http_date
from fhir_server.interactions.paths import REQUEST_HEADERS, at_entry
from fhir_server.interactions.preparing import weight
from fhir_server.interactions.query_string import pairs
from fhir_server.interactions.routes import Route, route
from fhir_server.interactions.single import resource_too_large
from fhir_server.model.bundle import Entry
from fhir_server.model.formats import Resource, parse, serialize
from fhir_server.model.interaction import Interaction
from fhir_server.model.media_types import FHIR_JSON
from fhir_server.model.primitives import instant, interval
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType, NotAcceptable, operation_outcome

Perform = Callable[[Request], Awaitable[Response]]
"""Answers a request, or raises ``FhirError``."""

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


@dataclass(frozen=True, slots=True)
class Posted:
    """One entry of a posted Bundle; ``at`` is its path: ``Bundle.entry[3]``."""

    request: Request
    full_url: str | None
    at: str


def posted(context: Context, outer: Request, entry: Mapping[str, Any], index: int) -> Posted:
    """Return one entry, whose structure was checked, as a request of its own. Raises ``BadRequest``."""
    at = f"Bundle.entry[{index}]"
    wish = entry["request"]
    method, url = wish.get("method"), wish.get("url")
    if not (isinstance(method, str) and isinstance(url, str)):  # only an extension stands there
        raise _bad(f"{at}.request", "method and url need a value")
    path, _, query = _relative(context, url, at).partition("?")
    if any(name == "_format" and "json" not in value for name, value in pairs(query)):
        raise NotAcceptable(_issue(f"{at}.request.url", "entries are answered in the JSON of their Bundle"))
    full_url = entry.get("fullUrl")
    if full_url is not None and not _ABSOLUTE.match(full_url):
        raise _bad(f"{at}.fullUrl", "fullUrl must be absolute: urn:uuid:… or a URL")
    resource = entry.get("resource")
    _refuse_large(context, outer, resource, at)
    headers = _headers(outer, wish, at)
    request = Request(method, path, query, headers, b"", FHIR_JSON, resource, outer.caller, outer.id)
    return Posted(request, full_url, at)


def _refuse_large(context: Context, outer: Request, resource: Any, at: str) -> None:
    """Raise ``TooLarge`` for a resource past the limit of one; a Bundle below that limit has none."""
    limit = context.limits.resource_bytes
    if len(outer.body) > limit and weight(resource, limit // 8) > limit // 8:
        size = len(serialize(resource))
        if size > limit:
            raise resource_too_large(size, limit, f"{at}.resource")


def routed(context: Context, entry: Posted) -> Route:
    """Return what an entry asks; a Bundle inside a Bundle is refused."""
    found = route(entry.request.method, entry.request.path, context.registry)
    if found.interaction in {Interaction.BATCH, Interaction.TRANSACTION}:
        raise _bad(f"{entry.at}.request.url", "a Bundle cannot be posted inside a Bundle")
    return found


async def alone(answering: Awaitable[Entry], at: str, request_id: str) -> Entry:
    """Return the answer of an entry; whatever goes wrong is its own, and told in its place."""
    try:
        return await answering
    except FhirError as error:
        return refused(at_entry(error, at))
    except Exception:
        return refused(at_entry(failure(request_id), at))


def answered(request: Request, response: Response) -> Entry:
    """Return the response entry of one answer; that of a HEAD holds no resource."""
    body = b"".join(response.body)
    described: dict[str, Any] = {"status": _status(response.status)}
    for header, name in (("Location", "location"), ("ETag", "etag")):
        if header in response.headers:
            described[name] = response.headers[header]
    if response.modified is not None:
        described["lastModified"] = instant(response.modified)
    if body.startswith(b'{"resourceType":"OperationOutcome"') and not _is_of_operation(request):
        described["outcome"] = parse(body)
        return Entry(response=described)
    if response.issues:
        described["outcome"] = operation_outcome(list(response.issues))
    return Entry(resource=body if body and request.method != "HEAD" else None, response=described)


def _is_of_operation(request: Request) -> bool:
    """Tell whether an operation was asked: an OperationOutcome is what it returns then, and no remark on the entry."""
    return request.path.rpartition("/")[2].startswith(("$", "%24"))


def refused(error: FhirError) -> Entry:
    """Return the response entry of one refusal."""
    outcome: Resource = operation_outcome(error.issues)
    described: dict[str, Any] = {"status": _status(error.status)}
    if "ETag" in error.headers:
        described["etag"] = error.headers["ETag"]
    return Entry(response={**described, "outcome": outcome})


def _headers(outer: Request, wish: Mapping[str, Any], at: str) -> dict[str, str]:
    headers = {name: outer.headers[name] for name in ("prefer",) if name in outer.headers}
    for element, name in REQUEST_HEADERS.items():
        if element not in wish:
            continue
        value = wish[element]
        if element == "ifModifiedSince":  # an instant of FHIR; the header is a date of HTTP
            try:
                value = http_date(interval(value, UTC)[0])
            except (ValueError, OverflowError, OSError):
                raise _bad(f"{at}.request.ifModifiedSince", "not an instant that can be compared") from None
        headers[name.lower()] = value
    return headers


def _relative(context: Context, url: str, at: str) -> str:
    """Return an entry's url relative to the base; absolute ones under our own bases are understood."""
    for base in context.bases:
        if url == base or url.startswith((base + "/", base + "?")):
            return url[len(base) :].lstrip("/")
    if _ABSOLUTE.match(url):
        raise _bad(f"{at}.request.url", f"the url is not one of this server, {context.base}")
    return url.lstrip("/")


def _status(status: int) -> str:
    # Python 3.13 words two of them anew.
    phrase = {413: "Payload Too Large", 422: "Unprocessable Entity"}.get(status) or HTTPStatus(status).phrase
    return f"{status} {phrase}"


def _bad(path: str, text: str) -> BadRequest:
    return BadRequest(_issue(path, text))


def _issue(path: str, text: str) -> Issue:
    return Issue(IssueType.VALUE, text, (path,), id="bundle-entry")
