"""The declared indexes keep to what MongoDB takes: the test server would accept anything."""

from __future__ import annotations

import pytest

from fhir_server.storage.mongo.filters import in_band
from fhir_server.storage.mongo.indexes import ARRAYS, COMMITS, RESOURCES, VERSIONS, Index
from fhir_server.storage.mongo.values import FIELDS


@pytest.mark.parametrize("indexes", [COMMITS, VERSIONS, RESOURCES], ids=["commits", "versions", "resources"])
def test_a_collection_has_few_indexes_and_none_twice(indexes: tuple[Index, ...]) -> None:
    assert len(indexes) <= 60
    assert len({index.fields for index in indexes}) == len(indexes)


@pytest.mark.parametrize("index", RESOURCES, ids=lambda index: "+".join(index.fields))
def test_an_index_holds_one_array_at_most_and_ends_in_the_order_of_creation(index: Index) -> None:
    assert len({field.partition(".")[0] for field in index.fields} & ARRAYS) <= 1
    assert index.fields[-1] == "ordinal"


def test_the_query_for_places_says_what_their_index_holds() -> None:
    """MongoDB takes a partial index for a query that names the same path, and looks into no ``$elemMatch`` for it."""
    (own,) = [index for index in RESOURCES if index.fields[0].startswith("point.")]
    assert own.only == {path: {"$exists": True} for path in in_band("near", 1.0, 2.0)}


def test_every_array_of_index_values_has_an_index() -> None:
    indexed = {index.fields[0].partition(".")[0] for index in RESOURCES}
    assert indexed >= ARRAYS
    assert set(FIELDS) - ARRAYS == {"sort"}
