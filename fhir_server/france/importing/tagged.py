"""What the tags say a source manages, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from fhir_server.france.importing.source import SOURCES, Owner
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.exchange import Request
from fhir_server.model.formats import parse
from fhir_server.service import Service

PAGE: Final = 200

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


async def managed(service: Service, type_: str, owner: Owner) -> AsyncIterator[list[Json]]:
    """Yield the resources of a type that a source manages, those no longer in use too."""
    query = f"_tag={quote(f'{SOURCES}|{owner}', safe='')}&_count={PAGE}&_total=none"
    while query:
        answer = parse(b"".join((await service.perform(Request("GET", type_, query))).body))
        yield [entry["resource"] for entry in answer.get("entry", ()) if entry["search"]["mode"] == "match"]
        links = {link["relation"]: link["url"] for link in answer["link"]}
        query = urlsplit(links["next"]).query if "next" in links else ""
