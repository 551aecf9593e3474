"""The index and the plan together find what the specification's words find, in the same order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.definitions.registry import Registry
from fhir_server.model.primitives import interval
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest
from fhir_server.search.criteria import SearchRequest
from fhir_server.search.include import included
from fhir_server.search.index import Indexer
from fhir_server.search.match import matches
from fhir_server.search.plan import compartment_query, plan
from fhir_server.search.query import Query
from fhir_server.search.request import parse_search
from tests.rounds import FULL
from tests.search.asking import BASE, NOW, PARIS, Ask
from tests.search.engine import Found, MemoryEngine, Record
from tests.search.oracle import Oracle, Resource
from tests.search.worlds import CRITERIA, RESOURCES, Asked, searches, targets, worlds

EXAMPLES = 1_000 if FULL else 60


def _engine(indexer: Indexer, world: list[Resource]) -> MemoryEngine:
    return MemoryEngine(
        Record(
            Key(each["resourceType"], each["id"]),
            indexer.entries(each),
            updated=interval(each["meta"]["lastUpdated"], PARIS)[0],
        )
        for each in world
    )


@pytest.mark.torture
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), several=st.lists(searches(), min_size=3, max_size=8))
def test_index_and_plan_find_what_the_specification_says(
    wide_registry: Registry, wide_indexer: Indexer, world: list[Resource], several: list[Asked]
) -> None:
    oracle = Oracle(world, targets(wide_registry), BASE, PARIS, NOW)
    engine = _engine(wide_indexer, world)
    for asked in several:
        try:
            request = parse_search(wide_registry, (asked.type,), asked.pairs, refuse_unknown_codes=False)
        except BadRequest:
            assert oracle.refuses(asked.type, asked.pairs)
            continue
        assert not oracle.refuses(asked.type, asked.pairs)
        query = _query(wide_registry, asked, request)
        found, expected = engine.find(query), oracle.search(asked.type, asked.pairs, asked.whose)
        assert [key.id for key in found] == [each["id"] for each in expected]
        matches = [Found(engine.records[key]) for key in found]
        riding = [str(each.key) for each in asyncio.run(included(engine, matches, request, wide_registry, 1_000))]
        assert len(riding) == len(set(riding))
        assert set(riding) == oracle.riding(expected, asked.pairs)


@pytest.mark.torture
@pytest.mark.parametrize(
    ("type_", "code"),
    [("Observation", "value-quantity"), ("RiskAssessment", "probability"), ("Slot", "start"), ("Schedule", "date")],
)
@settings(max_examples=EXAMPLES * 2)
@given(data=st.data())
def test_ranges_are_compared_as_the_specification_says(
    wide_registry: Registry, wide: Ask, wide_indexer: Indexer, type_: str, code: str, data: st.DataObject
) -> None:
    resource = {**data.draw(RESOURCES[type_]), "id": "a"}
    searched = data.draw(CRITERIA[type_][code])
    oracle = Oracle([resource], targets(wide_registry), BASE, PARIS, NOW)
    found = matches(wide.where(type_, f"{code}={searched}"), Key(type_, "a"), wide_indexer.entries(resource))
    assert found == bool(oracle.search(type_, [(code, searched)]))


def _query(registry: Registry, asked: Asked, request: SearchRequest) -> Query:
    surroundings = (registry, PARIS, (BASE,), NOW)
    if asked.whose is None:
        return plan(request, *surroundings)
    return compartment_query(request, "Practitioner", asked.whose, *surroundings)
