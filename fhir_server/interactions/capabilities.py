"""capabilities: what this server does, told from the tables that do it. https://hl7.org/fhir/R4/http.html#capabilities"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from fhir_server import __released__
from fhir_server.definitions.canonical import HL7
from fhir_server.definitions.operations import Level, Operation
from fhir_server.definitions.parameters import SearchParameter, SearchParameterType
from fhir_server.definitions.registry import Registry
from fhir_server.interactions.context import Context, Integrity
from fhir_server.interactions.definitions import demand_current
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.parameters import SHAPING, known, shaped, shaping
from fhir_server.interactions.routes import Route
from fhir_server.interactions.supported import Profiles
from fhir_server.interactions.terminology_capabilities import terminology_statement
from fhir_server.model.formats import Resource, serialize
from fhir_server.model.interaction import Interaction
from fhir_server.model.media_types import FHIR_JSON, JSON_PATCH
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.storage.protocol import StoreError

FORMATS: Final = (FHIR_JSON, "json")

_TYPE_LEVEL: Final = (
    Interaction.READ,
    Interaction.VREAD,
    Interaction.UPDATE,
    Interaction.PATCH,
    Interaction.DELETE,
    Interaction.HISTORY_INSTANCE,
    Interaction.HISTORY_TYPE,
    Interaction.CREATE,
    Interaction.SEARCH_TYPE,
)
_SYSTEM_LEVEL: Final = (
    Interaction.TRANSACTION,
    Interaction.BATCH,
    Interaction.SEARCH_SYSTEM,
    Interaction.HISTORY_SYSTEM,
)


async def capabilities(context: Context, request: Request, route: Route) -> Response:
    """Return the CapabilityStatement, or the TerminologyCapabilities. ``mode=full`` and ``normative`` are the same."""
    given = known(request, ("mode", *SHAPING))
    mode = given.pop("mode", "full")
    if mode not in MODES:
        raise BadRequest(
            Issue(IssueType.VALUE, f"mode must be one of {', '.join(MODES)}", ("http.mode",), id="parameter-value")
        )
    make, type_ = STATEMENTS[mode]
    profiles: Profiles = {}
    wish = shaping(context, type_, given)
    with suppress(StoreError):  # what can be done is told even where the store cannot be read now
        demand_current(context.registry, await context.store.head())
        profiles = await _profiles(context)
    return Response(200, {}, (await shaped(context, wish, serialize(make(context, profiles))),))


async def _profiles(context: Context) -> Profiles:
    if "StructureDefinition" not in context.registry.types:
        return {}
    async with context.store.snapshot() as snapshot:
        return await context.supported.profiles(snapshot)


def statement(context: Context, profiles: Profiles) -> Resource:
    """Return the CapabilityStatement as a resource. ``profiles`` are those stored, by their type."""
    return {
        "resourceType": "CapabilityStatement",
        "id": "server",
        "url": f"{context.base}/metadata",
        "version": context.software_version,
        "name": "FhirServerCpts",
        "title": "FHIR R4 server for the French CPTS",
        "status": "active",
        "date": __released__,
        "kind": "instance",
        "software": {"name": "fhir-server-cpts", "version": context.software_version},
        "implementation": {"description": "FHIR R4 server for the French CPTS", "url": context.base},
        "fhirVersion": "4.0.1",
        "format": list(FORMATS),
        "patchFormat": [JSON_PATCH, FHIR_JSON],
        "rest": [_rest(context, profiles)],
    }


STATEMENTS: Final[Mapping[str, tuple[Callable[[Context, Profiles], Resource], str]]] = {
    "full": (statement, "CapabilityStatement"),
    "normative": (statement, "CapabilityStatement"),
    "terminology": (lambda context, _: terminology_statement(context), "TerminologyCapabilities"),
}
"""mode → what makes its statement, and the type of that."""

MODES: Final = tuple(STATEMENTS)


def _rest(context: Context, profiles: Profiles) -> Resource:
    registry = context.registry
    described = {
        "mode": "server",
        "documentation": "JSON only; search is strict: what is unknown is refused by name.",
        "resource": [_resource(context, type_, profiles.get(type_, ())) for type_ in sorted(registry.types)],
        "interaction": [{"code": interaction.value} for interaction in _SYSTEM_LEVEL],
        "searchParam": [_parameter(parameter) for parameter in _common(registry)],
        "operation": _operations(registry.operations_at(Level.SYSTEM)),
        "compartment": [f"{HL7}CompartmentDefinition/{name.lower()}" for name in sorted(registry.compartments)],
    }
    return {name: value for name, value in described.items() if value != []}


def _resource(context: Context, type_: str, profiles: Sequence[str]) -> Resource:
    registry = context.registry
    parameters = registry.parameters(type_)
    references = sorted(p.code for p in parameters.values() if p.type is SearchParameterType.REFERENCE)
    described: dict[str, Any] = {
        "type": type_,
        "supportedProfile": list(profiles),
        "interaction": [{"code": interaction.value} for interaction in _TYPE_LEVEL],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": context.update_create,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "multiple",
        "referencePolicy": _reference_policy(context),
        "searchInclude": ["*", *(f"{type_}:{code}" for code in references)],
        "searchRevInclude": ["*", *_referring(registry, type_)],
        "searchParam": [_parameter(parameter) for _, parameter in sorted(parameters.items()) if _works(parameter)],
        "operation": _operations(
            {**registry.operations_at(Level.INSTANCE, type_), **registry.operations_at(Level.TYPE, type_)}
        ),
    }
    return {name: value for name, value in described.items() if value != []}


def _operations(operations: Mapping[str, Operation]) -> list[Resource]:
    return [{"name": name, "definition": operation.url} for name, operation in sorted(operations.items())]


def _reference_policy(context: Context) -> list[str]:
    """https://hl7.org/fhir/R4/valueset-reference-handling-policy.html"""
    policy = ["literal", "logical"]
    return [*policy, "enforced"] if context.integrity is Integrity.ENFORCE else policy


def _referring(registry: Registry, type_: str) -> list[str]:
    """Return the reference parameters of other types that lead to this one."""
    return sorted(
        f"{other}:{parameter.code}"
        for other in registry.types
        for parameter in registry.parameters(other).values()
        if parameter.type is SearchParameterType.REFERENCE
        and (not parameter.targets or type_ in parameter.targets)
        and _works(parameter)
    )


def _common(registry: Registry) -> list[SearchParameter]:
    some_type = next(iter(sorted(registry.types)))
    return [parameter for code, parameter in sorted(registry.parameters(some_type).items()) if code.startswith("_")]


def _works(parameter: SearchParameter) -> bool:
    return parameter.type is not SearchParameterType.COMPOSITE


def _parameter(parameter: SearchParameter) -> Resource:
    return {"name": parameter.code, "definition": parameter.url, "type": parameter.type.value}
