"""The resource that an operation is about: that of the URL, one that is given, or one that is named.

Spec: https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from typing import TypeAlias

from fhir_server.interactions.context import Context
from fhir_server.interactions.pace import THREAD_FROM, aside
from fhir_server.interactions.paths import located
from fhir_server.interactions.preparing import weight
from fhir_server.interactions.read import present
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key
from fhir_server.operations.call import Call
from fhir_server.outcome import BadRequest
from fhir_server.storage.protocol import Snapshot

Named: TypeAlias = Resource | str
"""A resource at hand, or the canonical URL of one."""


async def subject(context: Context, call: Call, snapshot: Snapshot) -> Resource | None:
    """Return the resource of the URL, None above its level. Raises ``NotFound`` or ``Gone``."""
    if call.type is None or call.id is None:
        return None
    key = Key(call.type, call.id)
    return await context.shelf.take(present(key, (await snapshot.read([key])).get(key)))


async def named(
    context: Context, call: Call, snapshot: Snapshot, given: str, version: str, *, is_needed: bool = True
) -> Named | None:
    """Return what an operation is about: the resource of the URL; else the parameter ``given``, a resource, or ``url``
    in the version that the parameter ``version`` says.

    Raises ``BadRequest`` for both, for a resource that is not valid, and for none if one is needed.
    """
    found = await subject(context, call, snapshot)
    if found is not None:
        return found
    if not is_needed and not call.values.has("url") and not call.values.has(given):
        return None
    if call.values.one_of(("url", given)) == given:
        return await _valid(context, call, given)
    url, said = call.values.text("url") or "", call.values.text(version)
    return f"{url}|{said}" if said and "|" not in url else url


async def _valid(context: Context, call: Call, given: str) -> Resource:
    resource = call.values.object(given) or {}
    size = weight(resource, THREAD_FROM)
    issues = [issue for issue in await aside(size, context.validator.validate, resource) if issue.is_error]
    if issues:
        at = call.values.at(given).removesuffix(".resource")
        is_bare = at == resource.get("resourceType")
        raise BadRequest(*(issue if is_bare else located(issue, at) for issue in issues))
    return resource
