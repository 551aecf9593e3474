"""The index and the plan together find what the specification's words find, in the same order."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from fhir_server.definitions.registry import Registry
from fhir_server.model.reference import Key
from fhir_server.search.index import Indexer
from fhir_server.search.plan import plan
from fhir_server.search.request import parse_search
from tests.search.asking import BASE, NOW, PARIS
from tests.search.engine import MemoryEngine, Record
from tests.search.oracle import PARAMETERS, Oracle
from tests.search.worlds import Pairs, searches, worlds


def _targets(registry: Registry) -> dict[tuple[str, str], list[str]]:
    return {
        (type_, code): sorted(parameter.targets or registry.types)
        for type_ in PARAMETERS
        for code, parameter in registry.parameters(type_).items()
        if parameter.type == "reference"
    }


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), search=searches())
def test_index_and_plan_find_what_the_specification_says(
    registry: Registry, indexer: Indexer, world: list[dict[str, Any]], search: tuple[str, Pairs]
) -> None:
    type_, pairs = search
    oracle = Oracle(world, _targets(registry), BASE, PARIS, NOW)
    request = parse_search(registry, (type_,), pairs, refuse_unknown_codes=False)
    query = plan(request, registry, PARIS, (BASE,), NOW)
    engine = MemoryEngine(Record(Key(r["resourceType"], r["id"]), indexer.entries(r)) for r in world)
    assert [key.id for key in engine.find(query)] == [r["id"] for r in oracle.search(type_, pairs)]
