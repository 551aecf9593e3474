"""read and vread. https://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import etag, if_modified_since, if_none_match, of_version
from fhir_server.interactions.parameters import shaped
from fhir_server.interactions.routes import Route
from fhir_server.model.reference import Key
from fhir_server.outcome import Gone, NotFound
from fhir_server.storage.protocol import Stored


async def read(context: Context, request: Request, route: Route) -> Response:
    """Return the current version. Raises ``NotFound``, or ``Gone`` with the ETag of the deletion."""
    key = _key(route)
    stored = await context.store.read(key)
    if stored is None:
        raise NotFound(f"there is no {key}")
    return respond(context, request, present(stored))


async def vread(context: Context, request: Request, route: Route) -> Response:
    """Return one version. Raises ``NotFound``, or ``Gone`` if that version is the deletion."""
    key, version = _key(route), route.version or ""
    if not (version.isascii() and version.isdigit() and len(version) < 18):
        raise NotFound(f"{key} has no such version; versions are numbered 1, 2, 3 …")
    async with context.store.snapshot() as snapshot:
        stored = await snapshot.vread(key, int(version))
    if stored is None:
        raise NotFound(f"{key} has no version {int(version)}")
    return respond(context, request, present(stored))


def present(stored: Stored) -> Stored:
    """Return a version that is a resource; raise ``Gone`` for a deletion."""
    if stored.body is None:
        raise Gone(f"{stored.key} was deleted", headers={"ETag": etag(stored.version)})
    return stored


def respond(context: Context, request: Request, stored: Stored) -> Response:
    """Return one version, or 304 if the client has it. https://hl7.org/fhir/R4/http.html#cread"""
    headers = of_version(stored)
    if request.headers and _known(request, stored):
        return Response(304, headers, modified=stored.instant)
    body = stored.body or b""
    if request.query:
        body = shaped(context, request, stored.key.type, body)
    return Response(200, headers, (body,), stored.instant)


def _known(request: Request, stored: Stored) -> bool:
    """RFC 7232: If-None-Match decides alone where it is given; If-Modified-Since has whole seconds."""
    versions = if_none_match(request.headers)
    if versions is not None:
        return "*" in versions or str(stored.version) in versions
    since = if_modified_since(request.headers)
    return since is not None and stored.instant // 1_000_000 <= since // 1_000_000


def _key(route: Route) -> Key:
    return Key(route.type or "", route.id or "")
