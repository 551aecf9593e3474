"""What the oracle of searches seldom meets, sorts by the same value twice; and that an index is in the order."""

from __future__ import annotations

import pytest

from fhir_server.search.query import SortBy
from fhir_server.storage.mongo.indexes import RESOURCES, Index
from fhir_server.storage.mongo.sorting import order

PLAIN = [(), *[(SortBy(kind, kind, descending=down),) for kind in ("id", "updated") for down in (False, True)]]
"""Sorts that the documentation says an index serves."""


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("sort", PLAIN, ids=str)
def test_an_index_read_either_way_is_in_the_order(sort: tuple[SortBy, ...], *, backward: bool) -> None:
    ways = [index.directions() for index in (*RESOURCES, Index(("_id",)))]
    ways += [[(field, -direction) for field, direction in way] for way in ways]
    assert list(order(sort, backward=backward).items()) in ways


def test_by_the_same_value_twice_is_by_the_first() -> None:
    sort = (SortBy("_id", "id", descending=True), SortBy("_id", "id"))
    assert order(sort, backward=False) == {"_id": -1}
    assert order(sort, backward=True) == {"_id": 1}


def test_what_is_missing_is_sorted_before_the_value() -> None:
    sort = (SortBy("name", "text", descending=True), SortBy("_lastUpdated", "updated"))
    assert list(order(sort, backward=False).items()) == [
        ("missing0", 1),
        ("sort.text:name.most", -1),
        ("updated", 1),
        ("ordinal", 1),
    ]
