"""The resources of a Bundle, as references between them find each other.

Spec: https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhirpath import Item


@dataclass(frozen=True, slots=True)
class Bundled:
    """Resources by ``fullUrl``, and by ``Type/id`` for relative references."""

    by_url: dict[str, Item] = field(default_factory=dict)
    by_id: dict[str, Item] = field(default_factory=dict)

    @classmethod
    def of(cls, item: Item) -> Bundled:
        """Return the resources of a Bundle, none of any other resource."""
        found = cls()
        if item.type != "Bundle":
            return found
        entries = item.value.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict) and isinstance(resource.get("resourceType"), str):
                found._add(entry.get("fullUrl"), resource)
        return found

    def _add(self, url: Any, resource: dict[str, Any]) -> None:
        item = Item(resource, resource["resourceType"])
        if isinstance(url, str):
            self.by_url.setdefault(url, item)
        if isinstance(resource.get("id"), str):
            self.by_id.setdefault(f"{item.type}/{resource['id']}", item)

    def resolve(self, text: str) -> Item | None:
        """Return the resource that a literal reference names, a version of it as well, None if it is not here."""
        text = text.partition("/_history/")[0]
        return self.by_url.get(text) or self.by_id.get(text)
