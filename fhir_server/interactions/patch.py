"""patch, by id or by criteria: the media type tells the kind of patch. https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Final

from fhir_server.interactions.answer import answer
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import if_match, if_unmodified_since
from fhir_server.interactions.parameters import criteria_of
from fhir_server.interactions.patching.fhirpath_patch import parse_fhirpath_patch
from fhir_server.interactions.patching.json_patch import parse_json_patch
from fhir_server.interactions.routes import Route
from fhir_server.interactions.single import resource_too_large, with_resource
from fhir_server.interactions.writing.write import Intent, Patch, write
from fhir_server.model.formats import Json, Resource, parse, serialize
from fhir_server.model.interaction import Interaction
from fhir_server.model.media_types import JSON_PATCH, JSON_TYPES, PATCH_TYPES
from fhir_server.outcome import (
    BadRequest,
    FhirError,
    Issue,
    IssueType,
    TooLarge,
    Unprocessable,
    UnsupportedMediaType,
)

_KINDS: Final = " or ".join((JSON_PATCH, *sorted(JSON_TYPES)))

OPERATIONS: Final = 1_000
"""Operations of one patch; who changes more sends the whole resource."""


async def patch(context: Context, request: Request, route: Route) -> Response:
    """Change parts of one resource. Raises what ``patch_intent`` and ``write`` do."""
    request = await with_resource(context, request)
    (written,) = await write(context, [patch_intent(context, request, route)])
    return answer(context, request, written)


def patch_intent(context: Context, request: Request, route: Route) -> Intent:
    """Return what a PATCH asks, by id or by criteria.

    An entry of a Bundle brings a FHIRPath Patch (Parameters), or a Binary that holds a JSON Patch. Raises
    ``BadRequest`` for a document that is not a patch, ``UnsupportedMediaType`` for another kind.
    """
    criteria = criteria_of(request, route)
    type_ = route.type or ""
    found = _patch(context, request, type_)
    return Intent(
        Interaction.PATCH,
        type_,
        id=route.id,
        criteria=criteria,
        patch=_Bounded(found, context.limits.resource_bytes),
        if_match=if_match(request.headers),
        unmodified_since=if_unmodified_since(request.headers),
    )


@dataclass(frozen=True, slots=True)
class _Bounded:
    """A patch that may not change what a resource is, nor what the server sets, nor let it grow past its limit."""

    patch: Patch
    limit: int

    def apply(self, resource: Resource) -> Resource:
        changed = self.patch.apply(resource)
        for name in ("resourceType", "id"):
            if changed.get(name) != resource.get(name):
                raise _identity_changed(str(resource.get("resourceType")), name)
        for name in ("versionId", "lastUpdated"):
            if _meta(changed).get(name) not in (None, _meta(resource).get(name)):
                raise _identity_changed(str(resource.get("resourceType")), f"meta.{name}")
        size = len(serialize(changed))
        if size > self.limit:
            raise resource_too_large(size, self.limit)
        return changed


def _patch(context: Context, request: Request, type_: str) -> Patch:
    document, media = _document(request)
    if media == JSON_PATCH:
        _refuse_many(document)
        return parse_json_patch(document)
    _refuse_many(document.get("parameter") if isinstance(document, dict) else None)
    return parse_fhirpath_patch(document, type_, context.registry.structures)


def _document(request: Request) -> tuple[Json, str]:
    """Return what is in the body, or in the resource of an entry, and its media type."""
    entry = request.resource
    if isinstance(entry, dict) and entry.get("resourceType") == "Binary" and not request.body:
        return _in_binary(entry), JSON_PATCH
    if not request.content_type:
        told = f"a PATCH needs a Content-Type that tells its kind: {_KINDS}"
        raise UnsupportedMediaType(Issue(IssueType.NOT_SUPPORTED, told, ("http.Content-Type",), id="content-type"))
    if request.content_type not in PATCH_TYPES:
        raise _unsupported(request.content_type, "http.Content-Type")
    if entry is not None:
        return entry, request.content_type
    if not request.body:
        raise BadRequest(Issue(IssueType.REQUIRED, "the body is empty; expected is a patch", id="body-empty"))
    return parse(request.body), request.content_type


def _in_binary(binary: Resource) -> Json:
    """Return the JSON Patch that a Binary carries. https://hl7.org/fhir/R4/http.html#transaction"""
    media, data = binary.get("contentType"), binary.get("data")
    if not isinstance(media, str) or media.partition(";")[0].strip().lower() != JSON_PATCH:
        raise _unsupported(media if isinstance(media, str) else "missing", "Binary.contentType", JSON_PATCH)
    try:
        content = b64decode("".join(data.split()), validate=True) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        content = None
    if content is None:
        raise BadRequest(
            Issue(IssueType.STRUCTURE, "the data of the Binary is not base64", ("Binary.data",), id="patch-document")
        )
    return parse(content)


def _refuse_many(operations: Json) -> None:
    if isinstance(operations, list) and len(operations) > OPERATIONS:
        text = f"the patch has {len(operations)} operations; the limit is {OPERATIONS}"
        raise TooLarge(Issue(IssueType.TOO_LONG, text, id="patch-limit"))


def _unsupported(media: str, where: str, expected: str = _KINDS) -> FhirError:
    text = f'"{media[:64]}" is not a kind of patch that is read here; expected is {expected}'
    return UnsupportedMediaType(Issue(IssueType.NOT_SUPPORTED, text, (where,), id="content-type"))


def _meta(resource: Resource) -> Resource:
    meta = resource.get("meta")
    return meta if isinstance(meta, dict) else {}


def _identity_changed(type_: str, name: str) -> FhirError:
    path = name if name == "resourceType" else f"{type_}.{name}"
    return Unprocessable(Issue(IssueType.BUSINESS_RULE, f"a patch cannot change {name}", (path,), id="patch-identity"))
