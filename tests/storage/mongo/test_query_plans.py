"""Forms of search that the documentation calls indexed read an index, and little more of it than they find."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import (
    Bounds,
    Equal,
    Equality,
    Ids,
    Node,
    Point,
    SortBy,
    Span,
    Spans,
    StartsWith,
    Text,
    TextIs,
    TextStarts,
    Updated,
)
from fhir_server.storage.mongo import MongoStore
from fhir_server.storage.mongo.filters import every, filter_of, in_band
from fhir_server.storage.mongo.indexes import LIVE
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.mongo.sorting import order
from tests.mongo_server import server
from tests.storage.mongo.test_sorting import PLAIN
from tests.storage.writing import START, FixedClock, put_all

SLOTS = 5_000

INDEXED: dict[str, Node] = {
    "token": Equal("status", ("s7",)),
    "token in any system": StartsWith("code", ("c7\x1f",)),
    "string": TextStarts("name", ("name 77",)),
    "exact": TextIs("name", (("name 77", "Name 77"),)),
    "date": Spans("start", (Bounds(low_from=70, low_below=77),), None, 1),
    "compound": Spans("schedule+start", (Bounds(low_from=70, low_below=707),), ("Schedule/7",), 1),
    "id": Ids(("7", "77")),
    "updated": Updated((Bounds(low_from=START + 1_000_000),)),
}
FILTERS = {form: filter_of(node) for form, node in INDEXED.items()} | {"near": in_band("near", 41.0, 41.05)}


@pytest.fixture
async def filled(mongo: MongoStore, clock: FixedClock) -> MongoStore:
    if server.URI not in os.environ:
        pytest.skip(f"the stand-in for MongoDB explains no query: give {server.URI}")
    for start in range(0, SLOTS, 500):
        clock.now = START + (2_000_000 if start + 500 == SLOTS else 0)
        await put_all(
            mongo,
            {
                Key("Slot", str(n)): (
                    Equality("status", f"s{n % 100}"),
                    Equality("code", f"c{n % 100}\x1fx"),
                    Text("name", f"name {n}", f"Name {n}"),
                    Span("start", "", n, n + 1),
                    Span("schedule+start", f"Schedule/{n % 50}", n, n + 1),
                    Point("near", 40 + n / 1_000, 6.0),
                )
                for n in range(start, start + 500)
            },
        )
    return mongo


def stages(plan: Any) -> Iterator[str]:
    """Yield the stages of a plan, at whatever depth."""
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for value in plan.values():
            yield from stages(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from stages(value)


@pytest.mark.parametrize("form", FILTERS)
async def test_an_indexed_form_reads_little_more_than_it_finds(form: str, filled: MongoStore) -> None:
    log = filled.parts.log
    find = {"find": log.resources("Slot").name, "filter": every([FILTERS[form], LIVE])}
    await check(log, find, {"COLLSCAN"})


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("sort", PLAIN, ids=str)
async def test_a_sort_that_is_indexed_reads_its_page_alone(
    sort: tuple[SortBy, ...], filled: MongoStore, *, backward: bool
) -> None:
    log = filled.parts.log
    by = order(sort, backward=backward)
    find = {"find": log.resources("Slot").name, "filter": LIVE, "sort": by, "limit": 50}
    await check(log, find, {"COLLSCAN", "SORT"})


async def check(log: Log, find: dict[str, Any], refused: set[str]) -> None:
    """Fail where a query has one of the stages, or reads much more than it finds."""
    told = await log.database.command({"explain": find, "verbosity": "executionStats"})
    assert not refused & set(stages(told["queryPlanner"]["winningPlan"]))
    statistics = told["executionStats"]
    assert statistics["nReturned"] > 0
    assert statistics["totalKeysExamined"] <= 3 * statistics["nReturned"] + 50
    assert statistics["totalDocsExamined"] <= 3 * statistics["nReturned"] + 50
