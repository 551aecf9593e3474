"""Types in expressions: ``is``, ``as``, ``ofType``, and the types that references name.

``is`` follows the hierarchy: a ``code`` is a ``string``, an Age is a Quantity. ``as`` and ``ofType`` do so for
complex types and resources, but take a primitive by its own type only: R4's search parameters tell
``ConceptMap.source as uri`` from ``as canonical``, and so do other servers.
Spec: http://hl7.org/fhirpath/N1/#types, https://hl7.org/fhir/R4/fhirpath.html#types
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fhir_server.fhirpath.item import Environment, ExpressionError, Item
from fhir_server.fhirpath.navigation import Navigator, resource_item
from fhir_server.model.reference import type_named

_SYSTEM: Final = {
    "Boolean": "boolean",
    "String": "string",
    "Integer": "integer",
    "Decimal": "decimal",
    "Date": "date",
    "DateTime": "dateTime",
    "Time": "time",
}
_NOTHING: Final[dict[str, Any]] = {}
"""The value of a resource that is not at hand, and of which only the type is known."""

TypeTest = Callable[[str], bool]


def known_type(navigator: Navigator, name: str) -> str:
    """Return the FHIR type code that a name in an expression means. Raises ``ExpressionError``."""
    code = _SYSTEM.get(name, name)
    if code not in navigator.structures.types:
        raise ExpressionError(f"there is no type {name} in R4")
    return code


def hierarchical(navigator: Navigator, name: str) -> TypeTest:
    """Return the test of ``is``."""
    code = known_type(navigator, name)
    known: dict[str, bool] = {code: True}

    def is_type(type_: str) -> bool:
        found = known.get(type_)
        if found is None:
            found = known[type_] = navigator.structures.is_a(type_, code)
        return found

    return is_type


def selective(navigator: Navigator, name: str) -> TypeTest:
    """Return the test of ``as`` and ``ofType``."""
    code = known_type(navigator, name)
    return code.__eq__ if navigator.is_primitive(code) else hierarchical(navigator, name)


def resolve(item: Item, environment: Environment, navigator: Navigator) -> Item | None:
    """Return the resource that a Reference, uri or canonical refers to.

    One that is not at hand is returned without content, with the type that the reference names.
    """
    value = item.value
    text = value.get("reference") if isinstance(value, dict) else value
    if isinstance(text, str):
        if text.startswith("#"):
            return _contained(text[1:], environment, navigator)
        found = environment.resolve(text) if environment.resolve is not None else None
        if found is not None:
            return found
    type_ = referenced_type(item, navigator)
    return None if type_ is None else Item(_NOTHING, type_)


def resolved_type(item: Item, environment: Environment, navigator: Navigator) -> str | None:
    """Return the type of what ``resolve`` returns, without looking for it if the reference tells."""
    value = item.value
    text = value.get("reference") if value.__class__ is dict else value
    if text.__class__ is str and text[:1] != "#":
        type_ = type_named(text)
        if type_ is not None and type_ in navigator.structures.resource_types:
            return type_
    found = resolve(item, environment, navigator)
    return None if found is None else found.type


def referenced_type(item: Item, navigator: Navigator) -> str | None:
    """Return the resource type that a reference's text or its ``type`` names."""
    value = item.value
    text, declared = (value.get("reference"), value.get("type")) if isinstance(value, dict) else (value, None)
    for type_ in (
        type_named(text) if isinstance(text, str) else None,
        declared.rpartition("/")[2] if isinstance(declared, str) else None,
    ):
        if type_ is not None and type_ in navigator.structures.resource_types:
            return type_
    return None


def _contained(identifier: str, environment: Environment, navigator: Navigator) -> Item | None:
    if not identifier:
        return environment.root
    by_id: dict[str, dict[str, Any]] | None = environment.of_root.get("contained")
    if by_id is None:
        by_id = environment.of_root["contained"] = first_by_id(_contained_in(environment.root.value))
    resource = by_id.get(identifier)
    return None if resource is None else resource_item(resource, navigator.structures.resource_types)


def _contained_in(root: Any) -> Any:
    return root.get("contained") if isinstance(root, dict) else None


def first_by_id(contained: Any) -> dict[str, dict[str, Any]]:
    """Return the resources of ``contained`` by id, of several with one id the first."""
    found: dict[str, dict[str, Any]] = {}
    for resource in contained if isinstance(contained, list) else ():
        if isinstance(resource, dict) and isinstance(resource.get("id"), str):
            found.setdefault(resource["id"], resource)
    return found
