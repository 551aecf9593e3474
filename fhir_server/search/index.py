"""From a resource to its index entries: everything that it can be found by.

Search parameters are compiled once for each type. Spec: https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from itertools import product
from typing import Any, Final, NamedTuple

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.parameters import SearchParameterType as Kind
from fhir_server.definitions.registry import Registry
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Environment, EvaluationError, Item, Path, compile_path
from fhir_server.model.formats import Resource
from fhir_server.search import extract
from fhir_server.search.compounds import Compound, compounds_of
from fhir_server.search.extract import Entries, Extract
from fhir_server.search.leaves import codes_of, leaves
from fhir_server.search.query import RECORD_SEPARATOR, Equality, IndexEntry, Span

CONTAINED_DEPTH: Final = 3
"""Links that a chain can follow inside of one resource."""

NOT_INDEXED: Final = frozenset(("_id", "_lastUpdated"))
"""What the store knows of itself."""

_STAMP: Final = frozenset(("versionId", "lastUpdated"))

_NO_VALUES: Final = frozenset(("id", "extension", "modifierExtension"))
"""What stands in any element beside its value."""


class _Compiled(NamedTuple):
    """One parameter, ready to run. ``extracts`` are by FHIR type."""

    code: str
    path: Path
    extracts: Mapping[str, Extract]
    is_reference: bool


class _Plan(NamedTuple):
    """A type, ready to run."""

    parameters: tuple[_Compiled, ...]
    compounds: tuple[Compound, ...]
    memberships: tuple[tuple[str, frozenset[str], bool], ...]
    """Compartments: (name, codes of reference parameters, whether the resource itself is the compartment)."""


class Indexer:
    """Computes index entries under one registry's definitions."""

    def __init__(self, registry: Registry, zone: tzinfo, bases: Sequence[str]) -> None:
        """Take the zone of dates without an offset, and our service base URLs without a final slash."""
        self._registry = registry
        self._plans: dict[str, _Plan] = {}
        self._extracts: dict[Kind, Mapping[str, Extract]] = {
            Kind.TOKEN: extract.token_extractors(registry.aliases),
            Kind.STRING: extract.STRING,
            Kind.URI: extract.URI,
            Kind.REFERENCE: extract.reference_extractors(bases, registry.aliases),
            Kind.DATE: extract.date_extractors(zone),
            Kind.NUMBER: extract.NUMBER,
            Kind.QUANTITY: extract.QUANTITY,
        }

    def entries(self, resource: Resource) -> tuple[IndexEntry, ...]:
        """Return what a resource is found by, each entry once. Never raises on a resource that is valid R4.

        Its version and instant are not looked at: only the log knows them, and only when it is written.
        """
        type_ = resource["resourceType"]
        if "meta" in resource:
            resource = {**resource, "meta": _without_stamp(resource["meta"])}
        item = Item(resource, type_)
        plan = self._plan(type_)
        found: Entries = []
        contained = resource.get("contained")
        self._run(plan, item, item, found)
        if contained:
            self._run_contained(plan, item, item, "", found, 1)
        if plan.compounds:
            for compound in plan.compounds:
                _append_compound(compound, found)
        if plan.memberships:
            _append_memberships(plan, resource, found)
        return tuple(dict.fromkeys(found))

    def _run(self, plan: _Plan, item: Item, root: Item, found: Entries, prefix: str = "") -> None:
        """Append the entries of a resource's own parameters."""
        environment = Environment(resource=item, root=root)
        for code, path, extracts, _ in plan.parameters:
            try:
                values = path(item, environment)
            except EvaluationError:
                continue
            if not values:
                continue
            named = prefix + code if prefix else code
            for value, type_, _extras in values:
                before = len(found)
                if value is not None:
                    function = extracts.get(type_)
                    if function is not None:
                        function(named, value, found)
                for entry in found[before:]:
                    if entry[0] == named:
                        break
                else:
                    if _has_value(value):
                        found.append(Equality(named, ""))

    def _run_contained(self, plan: _Plan, item: Item, root: Item, prefix: str, found: Entries, depth: int) -> None:
        """Append entries for chains that end inside the resource, under codes like ``actor:Practitioner.family``."""
        inside: list[Resource] = root.value["contained"]
        by_id = {resource.get("id"): resource for resource in inside if "resourceType" in resource}
        environment = Environment(resource=item, root=root)
        for code, path, _, is_reference in plan.parameters:
            if not is_reference:
                continue
            try:
                values = path(item, environment)
            except EvaluationError:
                continue
            for value, _type, _extras in values:
                text = value.get("reference") if isinstance(value, dict) else value
                if not isinstance(text, str) or text[:1] != "#" or text[1:] not in by_id:
                    continue
                target = by_id[text[1:]]
                type_ = target["resourceType"]
                if type_ not in self._registry.structures.resource_types:
                    continue
                below = contained_prefix(prefix, code, type_)
                found.append(Equality(f"{below}_id", text[1:]))
                inner, inner_plan = Item(target, type_), self._plan(type_)
                self._run(inner_plan, inner, root, found, below)
                if depth < CONTAINED_DEPTH:
                    self._run_contained(inner_plan, inner, root, below, found, depth + 1)

    def _plan(self, type_: str) -> _Plan:
        plan = self._plans.get(type_)
        if plan is None:
            plan = self._plans[type_] = self._compile(type_)
        return plan

    def _compile(self, type_: str) -> _Plan:
        registry = self._registry
        compiled = [
            self._compile_parameter(type_, parameter)
            for code, parameter in registry.parameters(type_).items()
            if code not in NOT_INDEXED and parameter.type is not Kind.COMPOSITE
        ]
        memberships = []
        for name in sorted(registry.compartments):
            codes = frozenset((registry.compartment(name) or {}).get(type_, ()))
            if codes or name == type_:
                memberships.append((name, codes, name == type_))
        return _Plan(tuple(compiled), compounds_of(type_), tuple(memberships))

    def _compile_parameter(self, type_: str, parameter: SearchParameter) -> _Compiled:
        structures = self._registry.structures
        path = _path(parameter.expression, type_, structures)
        extracts = self._extracts.get(parameter.type, {})
        if parameter.type is Kind.SPECIAL:
            extracts = {"Location.position": extract.near}
        if parameter.type is Kind.TOKEN:
            bound = tuple(leaf for leaf in leaves(parameter, type_, structures) if leaf.type == "code")
            systems = codes_of(bound, structures)
            if systems:
                extracts = {**extracts, "code": extract.bound_code(systems)}
        return _Compiled(parameter.code, path, extracts, parameter.type is Kind.REFERENCE)


@lru_cache(maxsize=8192)
def _path(expression: str, type_: str, structures: Structures) -> Path:
    """Return an expression compiled: a new registry has most of the old one's."""
    return compile_path(expression, type_, structures)


def _without_stamp(meta: Resource) -> Resource:
    return {name: value for name, value in meta.items() if name not in _STAMP}


def _has_value(value: Any) -> bool:
    """Return whether an element has any value; one of extensions alone only says why it has none."""
    if value.__class__ is dict:
        return any(name not in _NO_VALUES and name[0] != "_" and _has_value(inner) for name, inner in value.items())
    if value.__class__ is list:
        return any(map(_has_value, value))
    return value is not None


def contained_prefix(prefix: str, code: str, type_: str) -> str:
    """Return what stands before the codes of parameters of a contained resource that ``code`` refers to."""
    return f"{prefix}{code}:{type_}."


def compartment_code(name: str) -> str:
    """Return the derived code of membership in a compartment: ``compartment:Patient``."""
    return f"compartment:{name}"


def _append_compound(compound: Compound, found: Entries) -> None:
    """Append one span for each combination of the parts' values."""
    parts: dict[str, list[str]] = {code: [] for code in compound.parts}
    spans: list[Span] = []
    for entry in found:
        code = entry[0]
        if code == compound.span:
            if entry.__class__ is Span:
                spans.append(entry)
        elif code in parts and entry.__class__ is Equality and entry[1]:
            parts[code].append(entry[1])
    name = compound.name
    for key in map(RECORD_SEPARATOR.join, product(*parts.values())) if spans else ():
        found.extend(Span(name, key, span.low, span.high) for span in spans)


def _append_memberships(plan: _Plan, resource: dict[str, Any], found: Entries) -> None:
    """Append which compartments the resource is in."""
    for name, codes, is_itself in plan.memberships:
        start = f"{name}/"
        keys = {
            entry[1]
            for entry in found
            if entry[0] in codes and entry.__class__ is Equality and str(entry[1]).startswith(start)
        }
        if is_itself and "id" in resource:
            keys.add(f"{name}/{resource['id']}")
        found.extend(
            Equality(compartment_code(name), str(key)) for key in sorted(map(str, keys)) if "/_history/" not in key
        )
