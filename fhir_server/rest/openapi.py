"""The FHIR paths as OpenAPI tells them, made of the tables that serve requests: routes, types, search parameters.

Spec: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from fhir_server.definitions.operations import Operation, Parameter
from fhir_server.definitions.registry import Registry
from fhir_server.interactions import history
from fhir_server.interactions.parameters import GENERAL, SHAPING
from fhir_server.interactions.routes import BY_SHAPE, LEVELS, of_shape
from fhir_server.model.interaction import Interaction
from fhir_server.model.media_types import FHIR_JSON, FORM, JSON_PATCH
from fhir_server.rest.openapi_components import (
    OBJECT,
    R4,
    TEXT,
    Json,
    components,
    named,
    parameter_object,
    reference,
    searchable,
)
from fhir_server.search.criteria import RESULT_PARAMETERS
from fhir_server.search.plan import compartment_types

SYSTEM: Final = "system"
"""The tag of what concerns no type."""

_I: Final = Interaction

_READING: Final = ("If-None-Match", "If-Modified-Since", *SHAPING, *GENERAL)
_WRITING: Final = ("Prefer", *GENERAL)
_CONDITIONS: Final = ("If-Match", "If-Unmodified-Since")
_HISTORY: Final = (*history.PARAMETERS, *GENERAL)
_SEARCHING: Final = (*RESULT_PARAMETERS, "Prefer")


class _Told(NamedTuple):
    """What is said of one interaction. ``result`` is what a success holds: ``[type]`` is the type of the path."""

    title: str
    page: str
    parameters: Sequence[str]
    statuses: Mapping[str, str]
    result: str
    is_by_criteria: bool = False


_DONE: Final = {"200": "Done."}
_READ: Final = {"200": "The resource.", "304": "The client has it already."}

_TOLD: Final[Mapping[Interaction, _Told]] = {
    _I.READ: _Told("Read the current version", "http.html#read", _READING, _READ, "[type]"),
    _I.VREAD: _Told("Read one version", "http.html#vread", _READING, _READ, "[type]"),
    _I.CREATE: _Told(
        "Create; the server chooses the id",
        "http.html#create",
        ("If-None-Exist", *_WRITING),
        {"201": "Created.", "200": "The criteria of If-None-Exist match it already."},
        "[type]",
    ),
    _I.UPDATE: _Told(
        "Update, or create under the id",
        "http.html#update",
        (*_CONDITIONS, "If-None-Match", *_WRITING),
        {"200": "Stored.", "201": "Created."},
        "[type]",
    ),
    _I.PATCH: _Told("Change a part", "http.html#patch", (*_CONDITIONS, *_WRITING), {"200": "Stored."}, "[type]"),
    _I.DELETE: _Told(
        "Delete",
        "http.html#delete",
        (*_CONDITIONS, *_WRITING),
        {"204": "Deleted, or not there.", "200": "The same, with `Prefer: return=OperationOutcome`."},
        "OperationOutcome",
    ),
    _I.HISTORY_INSTANCE: _Told("Versions of a resource", "http.html#history", _HISTORY, _DONE, "Bundle"),
    _I.HISTORY_TYPE: _Told("Versions of all resources of a type", "http.html#history", _HISTORY, _DONE, "Bundle"),
    _I.HISTORY_SYSTEM: _Told("Versions of all resources", "http.html#history", _HISTORY, _DONE, "Bundle"),
    _I.SEARCH_TYPE: _Told("Search", "search.html", _SEARCHING, _DONE, "Bundle", is_by_criteria=True),
    _I.SEARCH_SYSTEM: _Told(
        "Search all types", "search.html", ("_type", *_SEARCHING), _DONE, "Bundle", is_by_criteria=True
    ),
    _I.BATCH: _Told("Do what a batch or transaction says", "http.html#transaction", _WRITING, _DONE, "Bundle"),
    _I.CAPABILITIES: _Told(
        "What the server can do", "http.html#capabilities", ("mode", *SHAPING, *GENERAL), _DONE, "CapabilityStatement"
    ),
}
"""Every interaction that the table of routes knows."""

_PATH: Final = {"type": "{type}", "id": "{id}", "version": "{vid}"}


# --- the document ----------------------------------------------------------------------------------------------------


def described(plain: Json, registry: Registry, servers: Iterable[str]) -> Json:
    """Return an OpenAPI document to which the FHIR paths are added.

    ``plain`` describes the other paths, which keep their place at the root of the host. ``servers`` are base URLs, or
    the base path.
    """
    paths = {path: {**item, "servers": [{"url": "/"}]} for path, item in plain["paths"].items()}
    types = sorted(registry.types)
    tags: list[Json] = [{"name": SYSTEM, "description": "All types together."}]
    tags += [{"name": type_, "externalDocs": {"url": f"{R4}{type_.lower()}.html"}} for type_ in types]
    given = plain.get("components", {})
    ours = components(registry)
    return {
        **plain,
        "servers": [{"url": url} for url in servers],
        "paths": {**dict(_paths(registry)), **paths},
        "components": {name: {**ours.get(name, {}), **given.get(name, {})} for name in {**ours, **given}},
        "tags": tags,
    }


def _paths(registry: Registry) -> Iterator[tuple[str, Json]]:
    """Yield each path with its operations, those of a type under its own path."""
    for shape, methods in BY_SHAPE.items():
        if shape.startswith("compartment"):
            yield from _compartment_paths(registry, shape, methods)
            continue
        if shape in LEVELS:
            yield from _operation_paths(registry, shape)
            continue
        for type_ in sorted(registry.types) if shape.startswith("type") else [""]:
            words = [_PATH.get(word, word) for word in shape.split("/")]
            path = "/" + "/".join(words).replace("{type}", type_)
            operations = {
                method.lower(): _operation(registry, interaction, shape, method, type_)
                for method, interaction in methods.items()
            }
            yield path, _with_path_parameters(path, operations)


def _compartment_paths(
    registry: Registry, shape: str, methods: Mapping[str, Interaction]
) -> Iterator[tuple[str, Json]]:
    """Yield the paths of each compartment; what is searched in it is a parameter, or there would be hundreds."""
    for compartment in sorted(registry.compartments):
        path = f"/{compartment}/{{id}}/{{type}}" + shape.removeprefix("compartment/id/type")
        types = [*compartment_types(registry, compartment), "*"]
        searched = {"name": "type", "in": "path", "required": True, "schema": {"enum": types}}
        operations = {}
        for method, interaction in methods.items():
            operation = _operation(registry, interaction, shape, method, "")
            operation["operationId"] = f"{operation['operationId']}-{compartment}"
            operation["summary"] = f"Search what belongs to one {compartment}"
            operation["tags"] = [compartment if compartment in registry.types else SYSTEM]
            operations[method.lower()] = operation
        item = _with_path_parameters(path, operations)
        item["parameters"].append(searched)
        yield path, item


def _operation_paths(registry: Registry, shape: str) -> Iterator[tuple[str, Json]]:
    """Yield the paths of the operations of one level, each with its methods."""
    for type_ in sorted(registry.types) if shape.startswith("type") else [""]:
        for name, asked in sorted(registry.operations_at(LEVELS[shape], type_ or None).items()):
            path = "/" + shape.replace("type/", f"{type_}/").replace("id/", "{id}/").replace("$operation", f"${name}")
            methods = {
                method.lower(): _asked(registry, asked, shape, method, type_) for method in of_shape(shape, asked)
            }
            yield path, _with_path_parameters(path, methods)


def _asked(registry: Registry, asked: Operation, shape: str, method: str, type_: str) -> Json:
    """Return one method of an operation: GET takes what is primitive in the query string, POST takes Parameters."""
    structures = registry.structures
    taken = asked.parameters_at(LEVELS[shape])
    primitive = [one for one in taken if one.type in structures.types and structures.kind(one.type) == "primitive-type"]
    parameters = [reference("parameters", name) for name in GENERAL]
    parameters += [_query_parameter(one) for one in primitive if method == "GET"]
    level = LEVELS[shape].value
    described: Json = {
        "operationId": "-".join(part for part in ("operation", asked.name, level, method.lower(), type_) if part),
        "summary": f"${asked.name}",
        "externalDocs": {"url": asked.url},
        "tags": [type_ or SYSTEM],
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done.", "content": {FHIR_JSON: {"schema": OBJECT}}},
            "default": reference("responses", "Refused"),
        },
    }
    if method == "GET":
        return described
    return {**described, "requestBody": {"content": {FHIR_JSON: {"schema": reference("schemas", "Parameters")}}}}


def _query_parameter(parameter: Parameter) -> Json:
    schema: Json = {"type": parameter.type} if parameter.type in {"boolean", "integer"} else TEXT
    if parameter.max != 1:
        schema = {"type": "array", "items": schema}
    told = parameter_object(
        parameter.name, "query", f"{parameter.type}, {parameter.min}..{parameter.max or '*'}", schema
    )
    return {**told, "required": True} if parameter.min else told


def _with_path_parameters(path: str, operations: Json) -> Json:
    names = [name for name in ("id", "vid") if f"{{{name}}}" in path]
    return {**operations, "parameters": [reference("parameters", name) for name in names]} if names else operations


def _operation(registry: Registry, interaction: Interaction, shape: str, method: str, type_: str) -> Json:
    """Return one method of one path; ``type_`` empty: of the system, or of a compartment."""
    told = _TOLD[interaction]
    is_form = shape.endswith("_search")
    is_conditional = shape == "type" and interaction in {_I.UPDATE, _I.PATCH, _I.DELETE}
    names = [name for name in told.parameters if not is_form or name not in (*RESULT_PARAMETERS, "_type")]
    parameters = [reference("parameters", name) for name in names]
    if is_conditional or (told.is_by_criteria and not is_form):
        criteria = (named(one) for one in searchable(registry, type_ or "Resource"))
        parameters += [reference("parameters", name) for name in criteria]
    operation: Json = {
        "operationId": "-".join(part for part in (interaction.value, _suffix(shape, is_conditional), type_) if part),
        "summary": told.title + (", named by criteria" if is_conditional else ""),
        "externalDocs": {"url": R4 + told.page},
        "tags": [type_ or SYSTEM],
        "parameters": parameters,
        "responses": _responses(told, type_),
    }
    body = _body(interaction, is_form, type_) if method in {"POST", "PUT", "PATCH"} else None
    return operation if body is None else {**operation, "requestBody": {"required": not is_form, "content": body}}


def _suffix(shape: str, is_conditional: bool) -> str:
    words = {"compartment/id/type": "compartment", "compartment/id/type/_search": "compartment-post"}
    if is_conditional:
        return "conditional"
    return words.get(shape, "post" if shape.endswith("_search") else "")


def _body(interaction: Interaction, is_form: bool, type_: str) -> Json:
    """Return what may be sent, by media type."""
    if is_form:
        values = {"type": "array", "items": TEXT}
        return {FORM: {"schema": {**OBJECT, "additionalProperties": values}}}
    if interaction is _I.PATCH:
        kinds = {JSON_PATCH: "JsonPatch", FHIR_JSON: "Parameters"}
        return {media: {"schema": reference("schemas", kind)} for media, kind in kinds.items()}
    return {FHIR_JSON: {"schema": reference("schemas", type_ or "Bundle")}}


def _responses(told: _Told, type_: str) -> Json:
    result = {FHIR_JSON: {"schema": reference("schemas", told.result.replace("[type]", type_))}}
    headers = {name: reference("headers", name) for name in ("ETag", "Last-Modified")}
    responses: Json = {}
    for status, text in told.statuses.items():
        responses[status] = {"description": text}
        if status in {"200", "201"}:
            responses[status]["content"] = result
        if told.result == "[type]":
            location = {"Location": reference("headers", "Location")} if status == "201" else {}
            responses[status]["headers"] = {**headers, **location}
    return {**responses, "default": reference("responses", "Refused")}
