"""What the oracle of searches seldom meets: sorts by the same value twice."""

from __future__ import annotations

from fhir_server.search.query import SortBy
from fhir_server.storage.mongo.sorting import order


def test_by_the_same_value_twice_is_by_the_first() -> None:
    sort = (SortBy("_id", "id", descending=True), SortBy("_id", "id"))
    assert order(sort, backward=False) == {"_id": -1, "ordinal": 1}
    assert order(sort, backward=True) == {"_id": 1, "ordinal": -1}


def test_what_is_missing_is_sorted_before_the_value() -> None:
    sort = (SortBy("name", "text", descending=True), SortBy("_lastUpdated", "updated"))
    assert list(order(sort, backward=False).items()) == [
        ("missing0", 1),
        ("sort.text:name.most", -1),
        ("updated", 1),
        ("ordinal", 1),
    ]
