"""The planner's ways agree with the oracle, also where data is too small for it to choose them by itself."""

from __future__ import annotations

import asyncio
import tempfile
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.search.query import Query
from fhir_server.storage.sqlite import connection, planner
from fhir_server.storage.sqlite.choosing import Effort
from tests.rounds import FULL
from tests.storage.contract.generated import aligned_queries, queries, resources, single_resources
from tests.storage.contract.test_search import Resources, agree

EXAMPLES = 1_500 if FULL else 25

efforts = st.builds(
    Effort,
    few=st.sampled_from([0, 2]),
    staged=st.sampled_from([0, 1, 3]),
    bounds=st.sampled_from([(0, 0), (1, 2), (2, 3)]),
    patience=st.sampled_from([0, 3, 1000]),
)


def agree_with(effort: Effort, wanted: Resources, asked: list[Query], count: int) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(planner, "EFFORT", effort),
        mock.patch.object(connection, "STEPS_BETWEEN_CHECKS", 20),
    ):
        asyncio.run(agree(f"sqlite:{folder}", wanted, asked, count))


@pytest.mark.torture
@settings(max_examples=EXAMPLES, deadline=None)
@given(wanted=resources, asked=st.lists(queries, min_size=3, max_size=8), count=st.integers(1, 4), effort=efforts)
def test_every_way_of_the_planner_agrees_with_the_oracle(
    wanted: Resources, asked: list[Query], count: int, effort: Effort
) -> None:
    agree_with(effort, wanted, asked, count)


@pytest.mark.torture
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    wanted=single_resources,
    asked=st.lists(aligned_queries(), min_size=3, max_size=8),
    count=st.integers(1, 4),
    effort=efforts,
)
def test_a_walk_that_begins_where_the_filter_begins_agrees_with_the_oracle(
    wanted: Resources, asked: list[Query], count: int, effort: Effort
) -> None:
    agree_with(effort, wanted, asked, count)
