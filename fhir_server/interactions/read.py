"""read and vread. https://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import SECOND, etag, if_modified_since, if_none_match, of_version
from fhir_server.interactions.parameters import shaped, subsetting
from fhir_server.interactions.routes import Route
from fhir_server.model.reference import Key
from fhir_server.outcome import Gone, Issue, IssueType, NotFound
from fhir_server.search.criteria import SearchRequest
from fhir_server.storage.protocol import Stored


async def read(context: Context, request: Request, route: Route) -> Response:
    """Return the current version. Raises ``NotFound``, or ``Gone`` with the ETag of the deletion."""
    wish = subsetting(context, request, route.type or "")
    key = Key(route.type or "", route.id or "")
    return await respond(context, request, wish, present(key, await context.store.read(key)))


async def vread(context: Context, request: Request, route: Route) -> Response:
    """Return one version. Raises ``NotFound``, or ``Gone`` if that version is the deletion."""
    wish = subsetting(context, request, route.type or "")
    key, version = Key(route.type or "", route.id or ""), version_number(route)
    async with context.store.snapshot() as snapshot:
        stored = await snapshot.vread(key, version)
    return await respond(context, request, wish, present(key, stored, version))


def version_number(route: Route) -> int:
    """Return the version that a vread names. Raises ``NotFound`` for what this server never gives."""
    text = route.version or ""
    if text.isascii() and text.isdigit() and len(text) < 18 and text[0] != "0":
        return int(text)
    told = f"{route.type}/{route.id} has no such version; versions are numbered 1, 2, 3 …"
    raise NotFound(Issue(IssueType.NOT_FOUND, told, ("http",), id="version-unknown"))


def present(key: Key, stored: Stored | None, version: int | None = None) -> Stored:
    """Return a version that is a resource; raise ``NotFound`` for none, ``Gone`` for a deletion."""
    if stored is None:
        what = (f"there is no {key}", "resource-unknown")
        if version is not None:
            what = (f"{key} has no version {version}", "version-unknown")
        raise NotFound(Issue(IssueType.NOT_FOUND, what[0], ("http",), id=what[1]))
    if stored.body is None:
        told = f"{stored.key} was deleted" if version is None else f"version {version} of {stored.key} is its deletion"
        raise Gone(
            Issue(IssueType.DELETED, told, ("http",), id="resource-deleted"), headers={"ETag": etag(stored.version)}
        )
    return stored


async def respond(context: Context, request: Request, wish: SearchRequest | None, stored: Stored) -> Response:
    """Return one version, or 304 if the client has it. https://hl7.org/fhir/R4/http.html#cread"""
    headers = of_version(stored)
    if request.headers and _known(request, stored):
        return Response(304, headers, modified=stored.instant)
    return Response(200, headers, (await shaped(context, wish, stored.body or b""),), stored.instant)


def _known(request: Request, stored: Stored) -> bool:
    """RFC 7232: If-None-Match decides alone where it is given; If-Modified-Since has whole seconds."""
    versions = if_none_match(request.headers)
    if versions is not None:
        return "*" in versions or str(stored.version) in versions
    since = if_modified_since(request.headers)
    return since is not None and stored.instant // SECOND <= since // SECOND
