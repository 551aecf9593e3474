"""Parts of resources: ``_summary`` and ``_elements``.

Spec: https://hl7.org/fhir/R4/search.html#summary, https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, Final

from fhir_server.definitions.registry import Registry
from fhir_server.definitions.structures import Element, Structures
from fhir_server.model.formats import Resource

SUBSETTED: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
"""https://hl7.org/fhir/R4/resource.html#Meta.tag: the resource is not whole; do not write it back."""

_ALWAYS: Final = frozenset(("resourceType", "id", "meta"))

Keep = Callable[[Element], bool]


def subset(resource: Resource, registry: Registry, summary: str | None, elements: Collection[str]) -> Resource:
    """Return the part of a resource that a client wants, tagged SUBSETTED; itself where it wants all.

    ``elements`` (top-level names, ``value`` for ``value[x]``) wins over ``summary``. Mandatory elements stay, and so do
    those that modify the meaning of others. The resource given is not changed.
    """
    structures, type_ = registry.structures, resource["resourceType"]
    if elements:
        wanted = frozenset(elements) | {"modifierExtension", "implicitRules"}
        kept = _top(resource, structures, lambda element: element.name.removesuffix("[x]") in wanted)
    elif summary == "true":
        kept = _summary(resource, type_, structures)
    elif summary == "text":
        kept = _top(resource, structures, lambda element: element.name == "text")
    elif summary == "data":
        kept = {name: value for name, value in resource.items() if name != "text"}
    else:
        return resource
    return _tagged(kept)


def _top(resource: Resource, structures: Structures, keep: Keep) -> Resource:
    names = _properties(resource["resourceType"], structures)
    return {
        name: value
        for name, value in resource.items()
        if name in _ALWAYS or ((element := names.get(name)) is not None and (element.min > 0 or keep(element)))
    }


def _summary(node: Mapping[str, Any], path: str, structures: Structures) -> dict[str, Any]:
    """Return the summary elements and the mandatory ones, inside of backbone elements too."""
    names = _properties(path, structures)
    kept: dict[str, Any] = {}
    for name, value in node.items():
        element = names.get(name)
        if name in _ALWAYS or (element is None and name == "resourceType"):
            kept[name] = value
        elif element is not None and (element.is_summary or element.min > 0):
            kept[name] = _inside(value, element, structures)
    return kept


def _inside(value: Any, element: Element, structures: Structures) -> Any:
    if not element.is_backbone:
        return value
    path = element.content or element.path
    if isinstance(value, list):
        return [_summary(one, path, structures) if isinstance(one, dict) else one for one in value]
    return _summary(value, path, structures) if isinstance(value, dict) else value


@lru_cache(maxsize=1024)
def _properties(path: str, structures: Structures) -> Mapping[str, Element]:
    """Return the elements under a path by JSON property, those with an underscore included."""
    found: dict[str, Element] = {}
    for element in structures.children(path).values():
        for name in element.json_names():
            found[name] = found[f"_{name}"] = element
    return found


def _tagged(resource: Resource) -> Resource:
    meta = dict(resource.get("meta") or {})
    tags = list(meta.get("tag") or ())
    if not any(tag.get("code") == SUBSETTED["code"] and tag.get("system") == SUBSETTED["system"] for tag in tags):
        meta["tag"] = [*tags, dict(SUBSETTED)]
    first: Resource = {name: resource[name] for name in ("resourceType", "id") if name in resource}
    return {**first, "meta": meta, **{name: value for name, value in resource.items() if name not in _ALWAYS}}
