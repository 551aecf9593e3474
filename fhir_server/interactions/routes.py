"""Method and path to interaction: the one table that serves HTTP and ``Bundle.entry.request``.

Spec: https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

import re
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
BY_SHAPE: Final[Mapping[str, Mapping[str, Interaction]]] = {
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

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}")
_CONDITIONAL: Final = frozenset({Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE})


def route(method: str, path: str, registry: Registry) -> Route:
    """Return what a method on a path (percent-encoded, relative to the base) means.

    Raises ``NotFound`` for what is not there, ``MethodNotAllowed`` with ``Allow`` for what is there otherwise.
    """
    shape, found = _shape(_parts(path), registry)
    method = "GET" if method == "HEAD" else method
    interaction = BY_SHAPE[shape].get(method)
    if interaction is None:
        allow = allowed(shape)
        told = f"{method} is not possible on this URL; possible are {allow}"
        raise MethodNotAllowed(
            Issue(IssueType.NOT_SUPPORTED, told, ("http",), id="method-not-allowed"), headers={"Allow": allow}
        )
    found["conditional"] = shape == "type" and interaction in _CONDITIONAL
    return Route(interaction, **found)  # type: ignore[arg-type] # _shape names the fields


def methods(path: str, registry: Registry) -> str:
    """Return the methods that a path has, as the ``Allow`` header writes them. Raises ``NotFound``."""
    return allowed(_shape(_parts(path), registry)[0])


def allowed(shape: str) -> str:
    """Return the methods of one shape of path, as the ``Allow`` header writes them."""
    methods = set(BY_SHAPE[shape])
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()) | {"OPTIONS"}))


def _parts(path: str) -> list[str]:
    parts = path.split("/") if (path := path.strip("/")) else []
    return [unquote(part) for part in parts] if "%" in path else parts


def _shape(parts: list[str], registry: Registry) -> tuple[str, dict[str, str | bool | None]]:
    """Return the shape of a path and what it names."""
    if any(part.startswith("$") for part in parts):
        raise _not_found("there is no such operation here", "operation-unknown")
    shape, found = "", {}
    match parts:
        case []:
            pass
        case ["metadata" | "_search" | "_history" as word]:
            shape = word
        case [type_]:
            shape, found = "type", {"type": type_}
        case [type_, "_search" | "_history" as word]:
            shape, found = f"type/{word}", {"type": type_}
        case [type_, id_]:
            shape, found = "type/id", {"type": type_, "id": id_}
        case [type_, id_, "_history"]:
            shape, found = "type/id/_history", {"type": type_, "id": id_}
        case [type_, id_, "_history", version]:
            shape, found = "type/id/_history/version", {"type": type_, "id": id_, "version": version}
        case [compartment, id_, type_, *rest] if rest in ([], ["_search"]):
            shape = "/".join(("compartment/id/type", *rest))
            found = {"compartment": compartment, "id": id_, "type": type_}
        case _:
            raise _not_found(f"there is nothing at a path of {len(parts)} parts", "path-unknown")
    return shape, _checked(found, registry)


def _checked(found: dict[str, str], registry: Registry) -> dict[str, str | bool | None]:
    """Return what a path names, each name known. Raises ``NotFound`` or ``BadRequest``."""
    checked: dict[str, str | bool | None] = dict(found)
    if "compartment" in found and registry.compartment(found["compartment"]) is None:
        raise _not_found(f"{shown(found['compartment'])} is not a compartment of this server", "compartment-unknown")
    if found.get("type") == "*" and "compartment" in found:
        checked["type"] = None
    elif "type" in found:
        served(found["type"], registry)
    if "id" in found and not ID.fullmatch(found["id"]):
        told = "the id in the URL is not 1 to 64 of A-Z a-z 0-9 - ."
        raise BadRequest(Issue(IssueType.VALUE, told, ("http",), id="format-id"))
    return checked


def served(type_: str, registry: Registry) -> str:
    """Return a resource type that is served here; raise ``NotFound`` for any other, saying which case it is."""
    if type_ in registry.types:
        return type_
    if type_ in registry.structures.resource_types:
        raise _not_found(f"{type_} is a type of FHIR R4 that this server does not serve", "type-not-served")
    raise _not_found(f"{shown(type_)} is not a resource type of FHIR R4", "type-unknown")


def shown(text: str) -> str:
    """Return a client's word as an error may repeat it: a name, or no part of it."""
    return f'"{text}"' if _NAME.fullmatch(text) else "this"


def _not_found(told: str, id_: str) -> NotFound:
    return NotFound(Issue(IssueType.NOT_SUPPORTED, told, ("http",), id=id_))
