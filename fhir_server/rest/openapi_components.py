"""What the OpenAPI document says once and refers to: parameters, headers, schemas, responses.

Spec: https://spec.openapis.org/oas/v3.1.0#components-object
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.registry import Registry
from fhir_server.interactions import capabilities
from fhir_server.model.media_types import FHIR_JSON
from fhir_server.search.criteria import MODIFIERS, SUMMARIES, TOTALS, Kind

Json: TypeAlias = dict[str, Any]

R4: Final = "https://hl7.org/fhir/R4/"

OBJECT: Final[Json] = {"type": "object"}
TEXT: Final[Json] = {"type": "string"}

_QUERY: Final[Mapping[str, tuple[str, Json]]] = {
    "_sort": ("Search parameters parted by commas; `-` before one: descending.", TEXT),
    "_count": ("Entries of a page.", {"type": "integer", "minimum": 0}),
    "_include": ("`Type:parameter`: what matches refer to.", TEXT),
    "_revinclude": ("`Type:parameter`: what refers to matches.", TEXT),
    "_total": ("How exact a total is wanted.", {"enum": list(TOTALS)}),
    "_summary": ("Which part of each resource.", {"enum": list(SUMMARIES)}),
    "_elements": ("Top-level elements, parted by commas.", TEXT),
    "_format": ("The format of the answer; goes before `Accept`.", {"enum": ["json", FHIR_JSON]}),
    "_pretty": ("Whether to write with line breaks.", {"type": "boolean"}),
    "_type": ("Types, parted by commas.", TEXT),
    "_since": ("An instant: only versions made at it or later.", TEXT),
    "_at": ("A date or instant: only versions that were current then.", TEXT),
    "_after": ("A position of the log: read forwards from there, the way to synchronise; `0` at first.", TEXT),
    "_page": ("Where a page starts, from a link.", TEXT),
    "mode": ("Which statement.", {"enum": list(capabilities.MODES)}),
}

_HEADERS: Final[Mapping[str, str]] = {
    "If-Match": 'The version that must be current, `W/"3"`.',
    "If-None-Match": 'A version that the client has, `W/"3"`; on an update `*`: it must not exist.',
    "If-Modified-Since": "The date of what the client has.",
    "If-Unmodified-Since": "A date: refused where the resource was modified later; `If-Match` is exact.",
    "If-None-Exist": "Search criteria: create unless something matches.",
    "Prefer": "`return=minimal`, `return=representation` or `return=OperationOutcome`; `handling=strict` or `lenient`.",
}


def components(registry: Registry) -> Json:
    """Return the object ``components`` of the document."""
    types = sorted(registry.types)
    parameters = {name: parameter_object(name, "query", text, schema) for name, (text, schema) in _QUERY.items()}
    parameters |= {name: parameter_object(name, "header", text, TEXT) for name, text in _HEADERS.items()}
    identifier = {**TEXT, "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
    parameters["id"] = {**parameter_object("id", "path", "The logical id.", identifier), "required": True}
    parameters["vid"] = {**parameter_object("vid", "path", "The version id.", identifier), "required": True}
    for type_ in ("Resource", *types):
        parameters |= {named(one): _search_parameter(one, registry) for one in searchable(registry, type_)}
    others = ("Bundle", "CapabilityStatement", "OperationOutcome", "Parameters")
    return {
        "schemas": {
            **{type_: _schema(type_) for type_ in sorted({*types, *others})},
            "JsonPatch": {"type": "array", "items": OBJECT, "description": "https://www.rfc-editor.org/rfc/rfc6902"},
        },
        "parameters": parameters,
        "headers": {
            "ETag": {"description": 'The version, `W/"3"`.', "schema": TEXT},
            "Last-Modified": {"description": "When the version was made.", "schema": TEXT},
            "Location": {"description": "The URL of the version.", "schema": TEXT},
        },
        "responses": {
            "Refused": {
                "description": "Refused; the issues tell why.",
                "content": {FHIR_JSON: {"schema": reference("schemas", "OperationOutcome")}},
            }
        },
    }


def _schema(type_: str) -> Json:
    return {
        "type": "object",
        "title": type_,
        "externalDocs": {"url": f"{R4}{type_.lower()}.html"},
        "required": ["resourceType"],
        "properties": {"resourceType": {"const": type_}, "id": TEXT, "meta": OBJECT},
    }


def parameter_object(name: str, place: str, text: str, schema: Json) -> Json:
    """Return a parameter; ``place``: query, header or path."""
    return {"name": name, "in": place, "description": text, "schema": schema}


def _search_parameter(parameter: SearchParameter, registry: Registry) -> Json:
    """Return one search parameter; repeated, all must hold, and values parted by commas are alternatives."""
    targets = sorted(parameter.targets & registry.types) if parameter.targets else []
    to = f" to {', '.join(targets)}" if targets else ""
    modifiers = [f"`:{name}`" for name in MODIFIERS[parameter.type]]
    if parameter.type is Kind.REFERENCE:
        modifiers.append("`:[type]`")
    prefixes = f" Prefixes: {', '.join(parameter.comparators)}." if parameter.comparators else ""
    text = f"{parameter.type.value}{to}: `{parameter.expression}`. Modifiers: {', '.join(modifiers)}.{prefixes}"
    return parameter_object(parameter.code, "query", f"{text} {parameter.url}", {"type": "array", "items": TEXT})


def searchable(registry: Registry, type_: str) -> list[SearchParameter]:
    """Return the search parameters of a type that are served, by code."""
    found = registry.parameters(type_)
    return [found[code] for code in sorted(found) if found[code].type is not Kind.COMPOSITE]


def named(parameter: SearchParameter) -> str:
    """Return what a search parameter is called among the components: one of all types stands there once."""
    return f"{parameter.base}.{parameter.code}"


def reference(kind: str, name: str) -> Json:
    """Return a reference to a component: ``reference("schemas", "Slot")``."""
    return {"$ref": f"#/components/{kind}/{name}"}
