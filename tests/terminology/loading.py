"""A library at hand, and small code systems and value sets of the tests' own."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.definitions.library import Loaded, best, split

Json = dict[str, Any]

BASE: Final = "https://example.org"
CARE: Final = f"{BASE}/CodeSystem/care"
FLAT: Final = f"{BASE}/CodeSystem/flat"
PARTIAL: Final = f"{BASE}/CodeSystem/partial"
EMPTY: Final = f"{BASE}/CodeSystem/empty"


class Shelved:
    """A library of the resources that it is given."""

    def __init__(self, *resources: Json) -> None:
        self._resources = [Loaded(resource) for resource in resources]

    def find(self, canonical: str, type: str | None = None) -> Json | None:
        url, version = split(canonical)
        return best((one for one in self._resources if one["url"] == url), version, type)


def concept(code: str, *below: Json, display: str | None = None, **properties: Any) -> Json:
    """Return a concept; properties are ``kind="a"`` for a code, a boolean or a number."""
    one: Json = {"code": code, "display": display or code.replace("-", " ").capitalize()}
    if properties:
        one["property"] = [{"code": name, _member(value): value} for name, value in properties.items()]
    return {**one, "concept": list(below)} if below else one


def _member(value: Any) -> str:
    return {bool: "valueBoolean", int: "valueInteger", dict: "valueCoding"}.get(type(value), "valueCode")


def code_system(url: str, *concepts: Json, **more: Any) -> Json:
    system = {"resourceType": "CodeSystem", "url": url, "status": "active", "content": "complete", **more}
    return {**system, "concept": list(concepts)} if concepts else system


def value_set(name: str, *include: Json, exclude: list[Json] | None = None, **more: Any) -> Json:
    """Return the value set ``https://example.org/ValueSet/NAME``."""
    compose: Json = {"include": list(include), **more}
    if exclude is not None:
        compose["exclude"] = exclude
    return {"resourceType": "ValueSet", "url": f"{BASE}/ValueSet/{name}", "status": "active", "compose": compose}


def url(name: str) -> str:
    return f"{BASE}/ValueSet/{name}"


def where(property: str, op: str, value: str, system: str = CARE) -> Json:
    """Return an include with one filter."""
    return {"system": system, "filter": [{"property": property, "op": op, "value": value}]}


SYSTEM: Final = code_system(
    CARE,
    concept(
        "care",
        concept(
            "first-aid",
            {**concept("burn"), "designation": [{"language": "fr", "value": "Brûlure"}, {"value": "Scald"}]},
            concept("wound", rank=3),
        ),
        concept("follow-up", kind="late"),
        notSelectable=True,
    ),
    concept("advice", kind="early"),
    concept("old-advice", parent="advice", inactive=True, kind="early"),
    version="2",
    language="en",
    name="Care",
    property=[
        {"code": "kind", "type": "code"},
        {"code": "rank", "type": "integer"},
        {"code": "parent", "type": "code", "uri": "http://hl7.org/fhir/concept-properties#parent"},
    ],
)
OTHERS: Final = (
    code_system(FLAT, concept("a"), concept("b"), concept("c"), caseSensitive=False),
    code_system(PARTIAL, concept("some"), content="fragment"),
    code_system(EMPTY, content="not-present"),
)
