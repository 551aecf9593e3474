"""Method and path to interaction: the one table that serves HTTP and ``Bundle.entry.request``.

Spec: https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote

from fhir_server.definitions.operations import Level, Operation
from fhir_server.definitions.registry import ENVELOPES, Registry
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import ID
from fhir_server.outcome import BadRequest, Issue, IssueType, MethodNotAllowed, NotFound
from fhir_server.search.plan import compartment_types


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
    operation: Operation | None = None

    @property
    def is_read(self) -> bool:
        """Tell whether what is asked changes nothing."""
        return self.interaction in _READS or (self.operation is not None and not self.operation.affects_state)


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
    "$operation": {"GET": _I.OPERATION, "POST": _I.OPERATION},
    "type/$operation": {"GET": _I.OPERATION, "POST": _I.OPERATION},
    "type/id/$operation": {"GET": _I.OPERATION, "POST": _I.OPERATION},
}
"""Per shape of the path, what each method means. HEAD is GET without the body, OPTIONS is told by ``allowed``.

An operation that changes something has no GET."""

LEVELS: Final[Mapping[str, Level]] = {
    "$operation": Level.SYSTEM,
    "type/$operation": Level.TYPE,
    "type/id/$operation": Level.INSTANCE,
}
"""The level at which each shape of path asks an operation."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}")
_READS: Final = frozenset(
    (
        Interaction.READ,
        Interaction.VREAD,
        Interaction.HISTORY_INSTANCE,
        Interaction.HISTORY_TYPE,
        Interaction.HISTORY_SYSTEM,
        Interaction.SEARCH_TYPE,
        Interaction.SEARCH_SYSTEM,
        Interaction.CAPABILITIES,
    )
)
_ENVELOPES: Final = [[type_] for type_ in sorted(ENVELOPES)]
"""Owners of operations that are not served themselves: a Bundle can be validated."""
_CONDITIONAL: Final = frozenset({Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE})


def route(method: str, path: str, registry: Registry) -> Route:
    """Return what a method on a path (percent-encoded, relative to the base) means.

    Raises ``NotFound`` for what is not there, ``MethodNotAllowed`` with ``Allow`` for what is there otherwise.
    """
    shape, found, operation = _place(_parts(path), registry)
    method = "GET" if method == "HEAD" else method
    interaction = of_shape(shape, operation).get(method)
    if interaction is None:
        allow = allowed(shape, operation)
        told = f"{method} is not possible on this URL; possible are {allow}"
        raise MethodNotAllowed(
            Issue(IssueType.NOT_SUPPORTED, told, ("http",), id="method-not-allowed"), headers={"Allow": allow}
        )
    found["conditional"] = shape == "type" and interaction in _CONDITIONAL
    return Route(interaction, operation=operation, **found)  # type: ignore[arg-type] # _place names the fields


def methods(path: str, registry: Registry) -> str:
    """Return the methods that a path has, as the ``Allow`` header writes them. Raises ``NotFound``."""
    shape, _, operation = _place(_parts(path), registry)
    return allowed(shape, operation)


def of_shape(shape: str, operation: Operation | None = None) -> Mapping[str, Interaction]:
    """Return what each method of a shape of path means; of one that asks an operation, of this one."""
    methods = BY_SHAPE[shape]
    return {"POST": methods["POST"]} if operation is not None and operation.affects_state else methods


def allowed(shape: str, operation: Operation | None = None) -> str:
    """Return the methods of one shape of path, as the ``Allow`` header writes them."""
    methods = set(of_shape(shape, operation))
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()) | {"OPTIONS"}))


def _parts(path: str) -> list[str]:
    parts = path.split("/") if (path := path.strip("/")) else []
    return [unquote(part) for part in parts] if "%" in path else parts


class _Place(NamedTuple):
    """The shape of a path and what it names, as fields of a ``Route``."""

    shape: str
    found: dict[str, str | bool | None]
    operation: Operation | None = None


def _place(parts: list[str], registry: Registry) -> _Place:
    """Return what a path names. Raises ``NotFound`` or ``BadRequest``."""
    shape, found = "", {}
    match parts:
        case []:
            pass
        case ["metadata" | "_search" | "_history" as word]:
            shape = word
        case [*owner, name] if name.startswith("$") and len(owner) < 3:
            shape = "/".join((*("type", "id")[: len(owner)], "$operation"))
            found = dict(zip(("type", "id"), owner, strict=False))
            checked: dict[str, str | bool | None] = {**found}
            if owner not in _ENVELOPES:
                checked = _checked(found, registry)
            return _Place(shape, checked, _operation(name[1:], shape, found, registry))
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
    return _Place(shape, _checked(found, registry))


def _operation(name: str, shape: str, found: Mapping[str, str], registry: Registry) -> Operation:
    """Return the operation of a name. Raises ``NotFound`` naming those that there are."""
    level = LEVELS[shape]
    known = registry.operations_at(level, found.get("type"))
    if name in known:
        return known[name]
    where = f"at the level of {'an instance' if level is Level.INSTANCE else f'the {level}'}"
    where += f" of {found['type']}" if "type" in found else ""
    there = ", ".join(f"${one}" for one in sorted(known)) or "none"
    named = f" ${name}" if _NAME.fullmatch(name) else ""
    raise _not_found(f"there is no operation{named} {where}; there are: {there}", "operation-unknown")


def _checked(found: dict[str, str], registry: Registry) -> dict[str, str | bool | None]:
    """Return what a path names, each name known. Raises ``NotFound`` or ``BadRequest``."""
    checked: dict[str, str | bool | None] = dict(found)
    compartment = found.get("compartment")
    if compartment is not None and registry.compartment(compartment) is None:
        raise _not_found(f"{shown(compartment)} is not a compartment of this server", "compartment-unknown")
    if found.get("type") == "*" and compartment is not None:
        checked["type"] = None
    elif "type" in found:
        type_ = served(found["type"], registry)
        if compartment is not None and type_ not in (held := compartment_types(registry, compartment)):
            told = f"the compartment of a {compartment} holds no {type_}; it holds {', '.join(held)}"
            raise _not_found(told, "compartment-type")
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
