"""Includes, over a store of entries. https://hl7.org/fhir/R4/search.html#include"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, IssueType
from fhir_server.search.include import included
from fhir_server.search.index import Indexer
from tests.search.asking import BASE, Ask
from tests.search.engine import Found, MemoryEngine, Record


def _refer(text: str) -> dict[str, str]:
    return {"reference": text}


WORLD: list[dict[str, Any]] = [
    {"resourceType": "Organization", "id": "o1", "name": "Un", "partOf": _refer("Organization/o3")},
    {"resourceType": "Organization", "id": "o2", "name": "Deux", "partOf": _refer("Organization/o1")},
    {"resourceType": "Organization", "id": "o3", "name": "Trois", "partOf": _refer("Organization/o2")},
    {"resourceType": "Practitioner", "id": "p1"},
    {"resourceType": "Practitioner", "id": "gone"},
    {"resourceType": "Location", "id": "l1", "managingOrganization": _refer("Organization/o1")},
    {
        "resourceType": "PractitionerRole",
        "id": "r1",
        "practitioner": _refer(f"{BASE}/Practitioner/p1/_history/1"),
        "organization": _refer("Organization/o1"),
    },
    {"resourceType": "Schedule", "id": "s1", "actor": [_refer("Practitioner/p1"), _refer("Location/l1")]},
    {"resourceType": "Schedule", "id": "s2", "actor": [_refer("PractitionerRole/r1"), _refer("Practitioner/gone")]},
    {"resourceType": "Slot", "id": "t1", "schedule": _refer("Schedule/s1")},
    {"resourceType": "Slot", "id": "t2", "schedule": _refer("Schedule/s1")},
    {"resourceType": "Slot", "id": "t3", "schedule": _refer("Schedule/s2")},
    {"resourceType": "Slot", "id": "t4", "schedule": _refer("http://other.example/fhir/Schedule/s1")},
]


@pytest.fixture
def engine(indexer: Indexer) -> MemoryEngine:
    return MemoryEngine(
        Record(Key(one["resourceType"], one["id"]), indexer.entries(one), one["id"] == "gone") for one in WORLD
    )


async def _ids(engine: MemoryEngine, ask: Ask, type_: str, query: str, limit: int = 100) -> tuple[list[str], list[str]]:
    request = ask.request(type_, query)
    matches = [Found(engine.records[key]) for key in engine.find(ask.query(type_, query))]
    found = await included(engine, matches, request, ask.registry, limit)
    return [match.stored.key.id for match in matches], [record.key.id for record in found]


ROWS = [
    ("one step", "Slot", "_id=t1,t2&_include=Slot:schedule", "s1"),
    ("deleted targets stay out", "Slot", "_id=t3&_include=Slot:schedule&_include:iterate=Schedule:actor", "s2 r1"),
    ("foreign targets stay out", "Slot", "_id=t4&_include=Slot:schedule", ""),
    ("not without iterate", "Slot", "_id=t1&_include=Slot:schedule&_include=Schedule:actor", "s1"),
    ("iterate", "Slot", "_id=t1&_include=Slot:schedule&_include:iterate=Schedule:actor", "s1 l1 p1"),
    ("recurse is iterate", "Slot", "_id=t1&_include=Slot:schedule&_include:recurse=Schedule:actor", "s1 l1 p1"),
    ("target type", "Slot", "_id=t1&_include=Slot:schedule&_include:iterate=Schedule:actor:Location", "s1 l1"),
    (
        "three steps",
        "Slot",
        "_id=t3&_include=Slot:schedule&_include:iterate=Schedule:actor&_include:iterate=PractitionerRole:practitioner",
        "s2 r1 p1",
    ),
    ("versioned and absolute", "PractitionerRole", "_id=r1&_include=PractitionerRole:practitioner", "p1"),
    ("all of a type", "PractitionerRole", "_id=r1&_include=PractitionerRole:*", "o1 p1"),
    ("all", "PractitionerRole", "_id=r1&_include=*", "o1 p1"),
    ("all of one target", "PractitionerRole", "_id=r1&_include=PractitionerRole:*:Organization", "o1"),
    ("a match is not included", "Organization", "_id=o1,o3&_include=Organization:partof", "o2"),
    ("a circle ends", "Organization", "_id=o1&_include:iterate=Organization:partof", "o3 o2"),
    ("backwards", "Schedule", "_id=s1&_revinclude=Slot:schedule", "t1 t2"),
    ("backwards to nothing", "PractitionerRole", "_id=r1&_revinclude=Task:owner", ""),
    (
        "backwards with iterate",
        "Practitioner",
        "_id=p1&_revinclude=Schedule:actor&_revinclude:iterate=Slot:schedule",
        "s1 t1 t2",
    ),
    ("backwards, all", "Location", "_id=l1&_revinclude=*", "s1"),
    ("backwards, another target type", "Practitioner", "_id=p1&_revinclude=Schedule:actor:Location", ""),
    (
        "there and back",
        "Practitioner",
        "_id=p1&_revinclude=PractitionerRole:practitioner&_include:iterate=PractitionerRole:organization",
        "r1 o1",
    ),
]


@pytest.mark.parametrize(
    ("query", "type_", "expected"), [(q, t, e) for _, t, q, e in ROWS], ids=[row[0] for row in ROWS]
)
async def test_what_rides_along(engine: MemoryEngine, ask: Ask, query: str, type_: str, expected: str) -> None:
    matches, found = await _ids(engine, ask, type_, query)
    assert matches
    assert found == expected.split()


@pytest.mark.parametrize(
    "query", ["_include=Slot:schedule&_include:iterate=Schedule:actor", "_revinclude=Slot:schedule"]
)
async def test_more_than_the_bound_is_an_error(engine: MemoryEngine, ask: Ask, query: str) -> None:
    type_ = "Slot" if "_include=" in query else "Schedule"
    with pytest.raises(BadRequest) as caught:
        await _ids(engine, ask, type_, query, limit=1)
    (issue,) = caught.value.issues
    assert issue.code is IssueType.TOO_COSTLY
    assert "more than 1 " in issue.diagnostics


async def test_nothing_is_asked_without_includes(engine: MemoryEngine, ask: Ask) -> None:
    await _ids(engine, ask, "Slot", "_id=t1")
    assert engine.asked == []


async def test_a_page_of_slots_is_one_question_for_references_and_one_for_schedules(
    engine: MemoryEngine, ask: Ask
) -> None:
    await _ids(engine, ask, "Slot", "_include=Slot:schedule")
    assert engine.asked == ["targets schedule", "read"]


async def test_same_include_twice_is_asked_once(engine: MemoryEngine, ask: Ask) -> None:
    await _ids(engine, ask, "Slot", "_include=Slot:schedule&_include:iterate=Slot:schedule&_include=Slot:schedule")
    assert engine.asked == ["targets schedule", "read"]
