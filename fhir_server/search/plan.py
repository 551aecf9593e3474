"""From a search request to a query that an engine answers.

What stands together is put together: bounds on one single value become one span, chains through one single reference
become one chain, and criteria that a declared compound covers become one range of it.
Spec: https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import NamedTuple

from fhir_server.definitions.registry import Registry
from fhir_server.search.bounds import intersect
from fhir_server.search.compounds import compounds_of
from fhir_server.search.criteria import Chain, Condition, Criterion, Has, Kind, SearchRequest, Sort
from fhir_server.search.index import CONTAINED_DEPTH, NOT_INDEXED, compartment_code, contained_prefix
from fhir_server.search.leaves import is_single, leaves
from fhir_server.search.logic import all_of, is_negative, one_of
from fhir_server.search.nodes import Nodes
from fhir_server.search.query import (
    NOTHING,
    And,
    Equal,
    Keys,
    Node,
    Or,
    Present,
    Query,
    References,
    ReferredBy,
    SortBy,
    Spans,
)
from fhir_server.search.values import NearValue

_SORT_KINDS = {
    Kind.TOKEN: "equality",
    Kind.REFERENCE: "equality",
    Kind.URI: "equality",
    Kind.STRING: "text",
    Kind.DATE: "span",
    Kind.NUMBER: "span",
    Kind.QUANTITY: "span",
    Kind.SPECIAL: "near",
}


def plan(request: SearchRequest, registry: Registry, zone: tzinfo, bases: Sequence[str], now: int) -> Query:
    """Return the query of a request. ``now`` (microseconds) is what ``ap`` measures from; ``zone`` applies to dates
    without an offset; references under one of ``bases`` are ours."""
    planner = Planner(registry, zone, bases, now)
    where = planner.conjunction(request.types, request.criteria)
    return Query(request.types, where, tuple(_sort_by(sort, request.criteria) for sort in request.sort))


def compartment_query(
    request: SearchRequest, compartment: str, id_: str, registry: Registry, zone: tzinfo, bases: Sequence[str], now: int
) -> Query:
    """Return the query of a search inside a compartment: ``Patient/1/Appointment?…``.

    Spec: https://hl7.org/fhir/R4/compartmentdefinition.html
    """
    query = plan(request, registry, zone, bases, now)
    member = Equal(compartment_code(compartment), (f"{compartment}/{id_}",))
    return Query(query.types, all_of((member, query.where)), query.sort)


def compartment_types(registry: Registry, compartment: str) -> tuple[str, ...]:
    """Return the served types that a compartment can hold, its own type included: those of ``Patient/1/*``."""
    members = registry.compartment(compartment) or {}
    return tuple(sorted({*members, compartment} & registry.types))


class Planner:
    """Plans the conditions of one request."""

    def __init__(self, registry: Registry, zone: tzinfo, bases: Sequence[str], now: int) -> None:
        self.registry = registry
        self.nodes = Nodes(registry, zone, bases, now)

    def conjunction(self, types: tuple[str, ...], conditions: Sequence[Condition], prefix: str = "") -> Node:
        """Return the node of conditions that all hold. ``prefix`` stands before the codes of what is contained."""
        nodes = [self._condition(types, condition, prefix) for condition in self._merge_chains(types, conditions)]
        nodes = self._merge_spans(types, nodes, prefix)
        if len(types) == 1 and not prefix:
            nodes = _use_compounds(types[0], nodes)
        return all_of(nodes)

    def _condition(self, types: tuple[str, ...], condition: Condition, prefix: str) -> Node:
        if isinstance(condition, Chain):
            return self._chain(types, condition, prefix)
        if isinstance(condition, Has):
            # Nothing refers to a contained resource from outside.
            return NOTHING if prefix else self._referred(condition)
        if prefix and condition.parameter.code in NOT_INDEXED:
            return NOTHING
        return self.nodes.criterion(condition, prefix)

    def _referred(self, has: Has) -> Node:
        where = self.conjunction((has.type,), has.conditions)
        code = has.parameter.code
        nodes = where.nodes if isinstance(where, And) else (where,)
        spans = {node.parameter for node in nodes if isinstance(node, Spans) and node.keys is None}
        values = {node.parameter for node in nodes if isinstance(node, Equal) and isinstance(node.values, tuple)}
        compounds = compounds_of(has.type)
        names = [compound.name for compound in compounds if compound.parts == (code,) and compound.span in spans]
        names += [compound.name for compound in compounds if compound.parts in {(code, value) for value in values}]
        return ReferredBy(has.type, code, where, names[0] if names else "")

    def _chain(self, types: tuple[str, ...], chain: Chain, prefix: str) -> Node:
        code = chain.parameter.code
        found: list[Node] = []
        within = prefix.count(":") < CONTAINED_DEPTH
        for target, conditions in chain.targets.items():
            where = self.conjunction((target,), conditions)
            if where != NOTHING:
                found.append(Equal(prefix + code, References(target, where)))
            if within:
                below = contained_prefix(prefix, code, target)
                inside = self.conjunction((target,), conditions, below)
                # Without this, what is not the case of a contained resource would hold where there is none.
                found.append(all_of((Present(f"{below}_id"), inside)) if is_negative(inside) else inside)
        return one_of(found)

    def _merge_chains(self, types: tuple[str, ...], conditions: Sequence[Condition]) -> list[Condition]:
        """Return the conditions with chains through one single-valued reference made one: they end at one resource."""
        merged: dict[object, Condition] = {}
        for place, condition in enumerate(conditions):
            if not isinstance(condition, Chain) or not self._is_single(types, condition):
                merged[place] = condition
                continue
            key = (condition.parameter.code, tuple(condition.targets))
            first = merged.get(key)
            if isinstance(first, Chain):
                both = {target: (*first.targets[target], *more) for target, more in condition.targets.items()}
                merged[key] = Chain(condition.types, condition.parameter, both)
            else:
                merged[key] = condition
        return list(merged.values())

    def _is_single(self, types: tuple[str, ...], condition: Chain | Criterion) -> bool:
        structures = self.registry.structures
        return all(is_single(leaves(condition.parameter, type_, structures)) for type_ in types)

    def _merge_spans(self, types: tuple[str, ...], nodes: list[Node], prefix: str) -> list[Node]:
        """Return the nodes with those on the span of one single value made one: ``start=ge…&start=le…``."""
        by_code: dict[str, list[Spans]] = {}
        for node in nodes:
            if isinstance(node, Spans) and node.keys is None:
                by_code.setdefault(node.parameter, []).append(node)
        for code, spans in by_code.items():
            if len(spans) < 2 or not self._is_single_code(types, code.removeprefix(prefix)):
                continue
            bounds = intersect([span.any_of for span in spans])
            if bounds is None:
                continue
            one: Node = Spans(code, bounds, None, spans[0].width) if bounds else NOTHING
            at = nodes.index(spans[0])
            nodes = [*nodes[:at], one, *(node for node in nodes[at + 1 :] if node not in spans)]
        return nodes

    def _is_single_code(self, types: tuple[str, ...], code: str) -> bool:
        structures = self.registry.structures
        return all(is_single(leaves(self.registry.parameters(type_)[code], type_, structures)) for type_ in types)


class _Part(NamedTuple):
    """A node that has a part of a compound: the part itself, and the other ways in which the node can be true."""

    node: Node
    equal: Equal
    others: tuple[Node, ...]


def _use_compounds(type_: str, nodes: list[Node]) -> list[Node]:
    """Return the nodes with those that the largest fitting compound covers made one range of it.

    A chain is a reference to what matches, or to a contained resource that does: only the first is in the compound, so
    the second stands beside it, with the rest of what the compound covers.
    """
    for compound in compounds_of(type_):
        span = next(
            (n for n in nodes if isinstance(n, Spans) and n.parameter == compound.span and n.keys is None), None
        )
        parts = [part for code in compound.parts for part in _parts(nodes, code)]
        if span is None or len(parts) < len(compound.parts) or sum(bool(part.others) for part in parts) > 1:
            continue
        equals = [part.equal for part in parts]
        keys = Keys(tuple(equal.values for equal in equals))
        one: Node = Spans(compound.name, span.any_of, keys, span.width, (*compound.parts, compound.span))
        for part in parts:
            if part.others:
                rest = (equal for equal in equals if equal is not part.equal)
                one = one_of((one, all_of((one_of(part.others), span, *rest))))
        covered = [span, *(part.node for part in parts)]
        return [one, *(node for node in nodes if not any(node is other for other in covered))]
    return nodes


def _parts(nodes: Sequence[Node], code: str) -> Iterator[_Part]:
    """Yield the first node that has a parameter's values, one that has nothing else if there is one."""
    for node in nodes:
        if isinstance(node, Equal) and node.parameter == code:
            yield _Part(node, node, ())
            return
    for node in nodes:
        if isinstance(node, Or):
            equals = [one for one in node.nodes if isinstance(one, Equal) and one.parameter == code]
            if len(equals) == 1:
                yield _Part(node, equals[0], tuple(one for one in node.nodes if one is not equals[0]))
                return


def _sort_by(sort: Sort, criteria: Sequence[Condition]) -> SortBy:
    code, kind = sort.parameter.code, _SORT_KINDS[sort.parameter.type]
    if code == "_id":
        return SortBy(code, "id", sort.is_descending)
    if code == "_lastUpdated":
        return SortBy(code, "updated", sort.is_descending)
    if kind != "near":
        return SortBy(code, kind, sort.is_descending)
    places = (
        value
        for criterion in criteria
        if isinstance(criterion, Criterion) and criterion.parameter.code == code
        for value in criterion.values
        if isinstance(value, NearValue)
    )
    place = next(places)
    return SortBy(code, kind, sort.is_descending, (place.latitude, place.longitude))
