"""create, update and delete of one request: what each asks to be written.

Spec: https://hl7.org/fhir/R4/http.html#create, #update, #delete
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.interactions.answer import answer
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import if_match, if_none_match, if_unmodified_since
from fhir_server.interactions.pace import THREAD_FROM, aside
from fhir_server.interactions.parameters import criteria_of, known
from fhir_server.interactions.routes import Route, shown
from fhir_server.interactions.writing.write import Intent, write
from fhir_server.model.formats import Resource, parse
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import ID
from fhir_server.outcome import BadRequest, Issue, IssueType, TooLarge


async def create(context: Context, request: Request, route: Route) -> Response:
    """Store a new resource. Raises what ``create_intent`` and ``write`` do."""
    request = await with_resource(context, request)
    return await _write(context, request, create_intent(context, request, route))


async def update(context: Context, request: Request, route: Route) -> Response:
    """Store a resource under an id, or under that of the match. Raises what ``update_intent`` and ``write`` do."""
    request = await with_resource(context, request)
    return await _write(context, request, update_intent(request, route))


async def delete(context: Context, request: Request, route: Route) -> Response:
    """Delete one resource, or those that match. Raises what ``delete_intent`` and ``write`` do."""
    return await _write(context, request, delete_intent(request, route))


async def _write(context: Context, request: Request, intent: Intent) -> Response:
    (written,) = await write(context, [intent])
    return answer(context, request, written)


def create_intent(context: Context, request: Request, route: Route) -> Intent:
    """Return what a POST asks: the server chooses the id, and ``If-None-Exist`` may name criteria.

    Raises ``BadRequest``.
    """
    known(request)
    type_ = route.type or ""
    resource = parsed(request, type_)
    _check_id(resource, type_)
    without_id = {name: value for name, value in resource.items() if name != "id"}
    unless = if_none_exist(context, request, type_)
    return Intent(Interaction.CREATE, type_, criteria=unless, resource=without_id)


def update_intent(request: Request, route: Route) -> Intent:
    """Return what a PUT asks, by id or by criteria. Raises ``BadRequest``."""
    criteria = criteria_of(request, route)
    type_ = route.type or ""
    resource = parsed(request, type_)
    if route.id is not None and resource.get("id") != route.id:
        told = "the resource has another id than the URL" if "id" in resource else "the resource has no id; the URL has"
        raise BadRequest(Issue(IssueType.VALUE, told, (f"{type_}.id",), id="id-mismatch"))
    none = if_none_match(request.headers)
    if none is not None and "*" not in none:
        told = "If-None-Match of an update can only be *"
        raise BadRequest(Issue(IssueType.NOT_SUPPORTED, told, ("http.If-None-Match",), id="header-value"))
    return Intent(
        Interaction.UPDATE,
        type_,
        id=route.id,
        criteria=criteria,
        resource=resource,
        if_match=if_match(request.headers),
        unmodified_since=if_unmodified_since(request.headers),
        only_if_absent=none is not None,
    )


def delete_intent(request: Request, route: Route) -> Intent:
    """Return what a DELETE asks, by id or by criteria. Raises ``BadRequest``."""
    return Intent(
        Interaction.DELETE,
        route.type or "",
        id=route.id,
        criteria=criteria_of(request, route),
        if_match=if_match(request.headers),
        unmodified_since=if_unmodified_since(request.headers),
    )


async def with_resource(context: Context, request: Request) -> Request:
    """Return a request with its body parsed, a large one beside the event loop. Raises ``TooLarge``, ``BadRequest``."""
    size, limit = len(request.body), context.limits.resource_bytes
    if size > limit:
        raise resource_too_large(size, limit)
    if size < THREAD_FROM or request.resource is not None:
        return request
    return replace(request, resource=await aside(size, parse, request.body))


def resource_too_large(size: int, limit: int, path: str = "") -> TooLarge:
    """Return the refusal of a resource of ``size`` bytes."""
    text = f"the resource has {size} bytes; the limit of one resource is {limit}"
    return TooLarge(Issue(IssueType.TOO_LONG, text, (path,) if path else (), id="resource-limit"))


def _check_id(resource: Resource, type_: str) -> None:
    """Raise ``BadRequest`` for an id that is none, although the server chooses another: it would vanish unseen."""
    if "id" in resource and not (isinstance(resource["id"], str) and ID.fullmatch(resource["id"])):
        told = "the id is not 1 to 64 of A-Z a-z 0-9 - .; a create needs none"
        raise BadRequest(Issue(IssueType.VALUE, told, (f"{type_}.id",), id="format-id"))


def parsed(request: Request, type_: str) -> Resource:
    """Return the resource of a body. Raises ``BadRequest`` unless it is JSON of the type that the URL names."""
    if not request.body and request.resource is None:
        raise BadRequest(
            Issue(IssueType.REQUIRED, f"there is no body; expected is a {type_}", (type_,), id="body-empty")
        )
    resource = parse(request.body) if request.resource is None else request.resource
    if not isinstance(resource, dict):
        raise BadRequest(Issue(IssueType.STRUCTURE, "the body is not a JSON object", (type_,), id="body-not-object"))
    given = resource.get("resourceType")
    if given != type_:
        named = "missing" if given is None else shown(given) if isinstance(given, str) else "no string"
        raise BadRequest(
            Issue(
                IssueType.VALUE,
                f"resourceType is {named}; the URL asks for {type_}",
                (f"{type_}.resourceType",),
                id="resource-type-mismatch",
            )
        )
    return resource


def if_none_exist(context: Context, request: Request, type_: str) -> str | None:
    """Return the criteria of ``If-None-Exist``. Some clients send the whole URL: its query string counts."""
    text = request.headers.get("if-none-exist")
    if text is None:
        return None
    path, mark, query = text.strip().partition("?")
    if not mark:
        return path
    for base in context.bases:
        path = path.removeprefix(base + "/")
    if path.strip("/") not in {"", type_}:
        raise BadRequest(
            Issue(IssueType.VALUE, f"If-None-Exist must name {type_}", ("http.If-None-Exist",), id="header-value")
        )
    return query
