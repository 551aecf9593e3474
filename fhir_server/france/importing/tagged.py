"""What the tags say a source manages, page by page, and whether it is as the source wants it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Final

from fhir_server.france.importing.source import RUNS, SOURCES, Owner
from fhir_server.france.vocabulary import Json
from fhir_server.maintenance.pages import pages
from fhir_server.model.formats import serialize
from fhir_server.model.reference import Key
from fhir_server.search.plan import plan
from fhir_server.search.request import parse_search
from fhir_server.service import Service
from fhir_server.storage.protocol import Stored

STATUS: Final[Mapping[str, tuple[str, str | bool]]] = {
    "Location": ("status", "inactive"),
    "CareTeam": ("status", "inactive"),
}
"""How a resource says that it is no longer; ``active`` is false for all others."""


def is_active(resource: Json) -> bool:
    """Tell whether a resource that an import writes is in use."""
    name, value = ended(resource["resourceType"])
    return bool(resource.get(name) != value)


def ended(type_: str) -> tuple[str, str | bool]:
    """Return the element, and its value, by which a resource of a type says that it is no longer in use."""
    return STATUS.get(type_, ("active", False))


def managers(resource: Json) -> set[str]:
    """Return the sources that manage a resource."""
    return {tag["code"] for tag in resource.get("meta", {}).get("tag", ()) if tag.get("system") == SOURCES}


def client_meta(resource: Json) -> Json:
    """Return the ``meta`` of a resource but for what the server puts there."""
    return {name: value for name, value in resource["meta"].items() if name not in {"versionId", "lastUpdated"}}


def managed(service: Service, type_: str, owner: Owner) -> AsyncIterator[tuple[Stored, ...]]:
    """Yield the resources of a type that a source manages, those no longer in use too, page by page."""
    context = service.context
    wish = parse_search(context.registry, (type_,), [("_tag", f"{SOURCES}|{owner}")])
    query = plan(wish, context.registry, context.zone, context.bases, context.clock())
    return pages(context.store, type_, query.where)


class Sameness:
    """Tells by its bytes whether a stored resource is what its source wants: an import that changes nothing need not
    parse what is there. It may say no where a comparison of values says yes."""

    def __init__(self, owner: Owner) -> None:
        """``owner``: who alone manages what is the same."""
        source, run = serialize({"system": SOURCES, "code": str(owner)}), serialize({"system": RUNS, "code": "?"})
        tags = re.escape(b"[%b,%b]" % (source, run)).replace(rb"\?", b'([^"\\\\]*)')
        self._meta = re.compile(b',"meta":\\{"versionId":"[0-9]+","lastUpdated":"[^"]{20,40}","tag":%b\\}' % tags)

    def run(self, key: Key, wanted: bytes, stored: bytes) -> str | None:
        """Return which run wrote a resource if it is as wanted but for its ``meta``, else None."""
        start = f'{{"resourceType":"{key.type}","id":"{key.id}"'.encode()
        rest = wanted[len(start) :]
        if not (wanted.startswith(start) and stored.startswith(start) and stored.endswith(rest)):
            return None
        match = self._meta.fullmatch(stored, len(start), len(stored) - len(rest))
        return match[1].decode() if match else None
