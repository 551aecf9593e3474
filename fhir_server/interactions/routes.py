"""Method and path to interaction: the one table that serves HTTP and ``Bundle.entry.request``.

Spec: https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from fhir_server.definitions.registry import Registry
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import ID
from fhir_server.outcome import BadRequest, Issue, IssueType, MethodNotAllowed, NotFound


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for. ``conditional``: the resource is named by criteria instead of an id."""

    interaction: Interaction
    type: str | None = None
    id: str | None = None
    version: str | None = None
    compartment: str | None = None
    """The type of the compartment, whose id is ``id``; ``type`` is then what is searched, None for all."""
    conditional: bool = False


_I = Interaction
_BY_SHAPE: Final[Mapping[str, Mapping[str, Interaction]]] = {
    "": {"GET": _I.SEARCH_SYSTEM, "POST": _I.BATCH},
    "metadata": {"GET": _I.CAPABILITIES},
    "_search": {"POST": _I.SEARCH_SYSTEM},
    "_history": {"GET": _I.HISTORY_SYSTEM},
    "type": {
        "GET": _I.SEARCH_TYPE,
        "POST": _I.CREATE,
        "PUT": _I.UPDATE,
        "PATCH": _I.PATCH,
        "DELETE": _I.DELETE,
    },
    "type/_search": {"POST": _I.SEARCH_TYPE},
    "type/_history": {"GET": _I.HISTORY_TYPE},
    "type/id": {"GET": _I.READ, "PUT": _I.UPDATE, "PATCH": _I.PATCH, "DELETE": _I.DELETE},
    "type/id/_history": {"GET": _I.HISTORY_INSTANCE},
    "type/id/_history/version": {"GET": _I.VREAD},
    "compartment/id/type": {"GET": _I.SEARCH_TYPE},
    "compartment/id/type/_search": {"POST": _I.SEARCH_TYPE},
}
"""Per shape of the path, what each method means. HEAD is GET without the body, OPTIONS is told by ``allowed``."""

_CONDITIONAL: Final = frozenset({Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE})


def route(method: str, path: str, registry: Registry) -> Route:
    """Return what a method on a path (percent-encoded, relative to the base) means.

    Raises ``NotFound`` for what is not there, ``MethodNotAllowed`` with ``Allow`` for what is there otherwise.
    """
    # The most frequent path of all, without the table.
    shape, found = _shape([unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else [], registry)
    method = "GET" if method == "HEAD" else method
    interaction = _BY_SHAPE[shape].get(method)
    if interaction is None:
        allow = allowed(shape)
        raise MethodNotAllowed(f"{method} is not possible on this URL; possible are {allow}", headers={"Allow": allow})
    found["conditional"] = shape == "type" and interaction in _CONDITIONAL
    return Route(interaction, **found)  # type: ignore[arg-type]


def methods(path: str, registry: Registry) -> str:
    """Return the methods that a path has, as the ``Allow`` header writes them. Raises ``NotFound``."""
    return allowed(
        _shape([unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else [], registry)[0]
    )


def allowed(shape: str) -> str:
    """Return the methods of one shape of path, as the ``Allow`` header writes them."""
    methods = set(_BY_SHAPE[shape])
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()) | {"OPTIONS"}))


def _shape(parts: list[str], registry: Registry) -> tuple[str, dict[str, str | bool | None]]:
    """Return the shape of a path and what it names."""
    match parts:
        case []:
            return "", {}
        case ["metadata" | "_search" | "_history" as word]:
            return word, {}
        case [name, *_] if name.startswith("$") or parts[-1].startswith("$"):
            raise NotFound(f"there is no operation {parts[-1][:64]} here")
        case [type_]:
            return "type", {"type": served(type_, registry)}
        case [type_, "_search" | "_history" as word]:
            return f"type/{word}", {"type": served(type_, registry)}
        case [type_, id_]:
            return "type/id", {"type": served(type_, registry), "id": _id(id_)}
        case [type_, id_, "_history"]:
            return "type/id/_history", {"type": served(type_, registry), "id": _id(id_)}
        case [type_, id_, "_history", version]:
            return "type/id/_history/version", {"type": served(type_, registry), "id": _id(id_), "version": version}
        case [compartment, id_, type_] | [compartment, id_, type_, "_search"]:
            return _compartment(compartment, id_, type_, posted=len(parts) == 4, registry=registry)
    raise NotFound(f"there is nothing at a path of {len(parts)} parts")


def _compartment(
    compartment: str, id_: str, type_: str, *, posted: bool, registry: Registry
) -> tuple[str, dict[str, str | bool | None]]:
    if registry.compartment(compartment) is None:
        raise NotFound(f"{compartment[:64]} is not a compartment of this server")
    searched = None if type_ == "*" else served(type_, registry)
    shape = "compartment/id/type/_search" if posted else "compartment/id/type"
    return shape, {"compartment": compartment, "id": _id(id_), "type": searched}


def served(type_: str, registry: Registry) -> str:
    """Return a resource type that is served here; raise ``NotFound`` for any other, saying which case it is."""
    if type_ in registry.types:
        return type_
    if type_ in registry.structures.resource_types:
        raise NotFound(Issue(IssueType.NOT_SUPPORTED, f"{type_} is a type of FHIR R4 that this server does not serve"))
    raise NotFound(Issue(IssueType.NOT_SUPPORTED, f'"{type_[:64]}" is not a resource type of FHIR R4'))


def _id(text: str) -> str:
    if not ID.fullmatch(text):
        raise BadRequest(Issue(IssueType.VALUE, "the id in the URL is not 1 to 64 of A-Z a-z 0-9 - .", id="format-id"))
    return text
