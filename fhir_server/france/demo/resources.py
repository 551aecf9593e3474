"""What the resources of the demonstration have in common: their tag, and the systems of their identifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fhir_server.france.vocabulary import CANONICAL, Json, concept, tre

TAG: Final = {"system": f"{CANONICAL}/CodeSystem/demo", "code": "demo", "display": "Donnée de démonstration"}
SLOT_SYSTEM: Final = f"{CANONICAL}/sid/demo-slot"
LOCATION_SYSTEM: Final = f"{CANONICAL}/sid/demo-location"
REQUEST_SYSTEM: Final = f"{CANONICAL}/sid/demo-request"


def national(pair: list[str]) -> Json:
    """Return the concept of a pair of the facts: the name of a national code system, and a code."""
    return concept(tre(pair[0]), pair[1])


def tagged(
    type_: str, id_: str | None, profile: str | None = None, security: Sequence[Json] = (), **elements: Any
) -> Json:
    """Return a resource tagged as demonstration, with at most one profile.

    Elements that are None or empty are left out; ``for_`` writes ``for``, which Python keeps for itself.
    """
    meta: Json = {"profile": [profile]} if profile else {}
    if security:
        meta["security"] = list(security)
    found: Json = {"resourceType": type_}
    if id_ is not None:
        found["id"] = id_
    found["meta"] = {**meta, "tag": [TAG]}
    found |= {name.rstrip("_"): value for name, value in elements.items() if value not in (None, [], "")}
    return found
