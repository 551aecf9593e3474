"""Each prefix, in the specification's words. https://hl7.org/fhir/R4/search.html#prefix"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.model.reference import Key
from fhir_server.search.bounds import compare, intersect
from fhir_server.search.index import Indexer
from fhir_server.search.match import matches, satisfies
from fhir_server.search.query import Bounds, Span
from fhir_server.search.values import PREFIXES
from tests.search.asking import Ask

CASES = json.loads((Path(__file__).parent / "cases" / "dates.json").read_text())


def _says(prefix: str, searched: range, stored: range) -> bool:
    """The words, on ranges of whole numbers, by looking at each number."""
    wide = range(-20, 20)
    above, below = range(searched.stop, wide.stop), range(wide.start, searched.start)
    contains = set(stored) <= set(searched)
    return {
        "eq": contains,
        "ne": not contains,
        "gt": bool(set(above) & set(stored)),
        "lt": bool(set(below) & set(stored)),
        "ge": bool(set(above) & set(stored)) or contains,
        "le": bool(set(below) & set(stored)) or contains,
        "sa": not set(searched) & set(stored) and set(stored) <= set(above),
        "eb": not set(searched) & set(stored) and set(stored) <= set(below),
        "ap": bool(set(searched) & set(stored)),
    }[prefix]


ranges = st.tuples(st.integers(-5, 5), st.integers(1, 4)).map(lambda pair: range(pair[0], sum(pair)))


@pytest.mark.parametrize("prefix", PREFIXES)
@given(searched=ranges, stored=ranges)
def test_bounds_say_what_the_words_say(prefix: str, searched: range, stored: range) -> None:
    bounds = compare(prefix, searched.start, searched.stop, is_point=False)
    assert satisfies(Span("date", "", stored.start, stored.stop), bounds) == _says(prefix, searched, stored)


@pytest.mark.parametrize("prefix", PREFIXES)
@given(searched=ranges, stored=st.integers(-6, 9))
def test_one_bound_tells_for_points(prefix: str, searched: range, stored: int) -> None:
    bounds = compare(prefix, searched.start, searched.stop, is_point=True)
    expected = _says(prefix, searched, range(stored, stored + 1))
    assert satisfies(Span("start", "", stored, stored + 1), bounds) == expected
    assert len(bounds) == 1 or prefix == "ne"


@given(
    groups=st.lists(st.tuples(st.sampled_from(PREFIXES), ranges), min_size=1, max_size=4),
    stored=ranges,
)
def test_merged_bounds_hold_where_all_hold(groups: list[tuple[str, range]], stored: range) -> None:
    each = [compare(prefix, one.start, one.stop, is_point=False) for prefix, one in groups]
    span = Span("date", "", stored.start, stored.stop)
    merged = intersect(each)
    assert merged is not None
    assert satisfies(span, merged) == all(satisfies(span, bounds) for bounds in each)


def test_too_many_merged_bounds_are_left_apart() -> None:
    group = tuple(Bounds(low_from=number) for number in range(9))
    assert intersect([group, group]) is None


@pytest.mark.parametrize(("stored", "searched", "prefixes"), CASES)
def test_table_of_precisions(ask: Ask, indexer: Indexer, stored: str, searched: str, prefixes: str) -> None:
    """Each row lists the prefixes under which a stored date is found; no other finds it."""
    start, slash, end = stored.partition("/")
    if slash:
        period = {name: text for name, text in (("start", start), ("end", end)) if text}
        resource, code = {"resourceType": "PractitionerRole", "period": period}, "date"
    else:
        resource, code = {"resourceType": "Task", "authoredOn": stored}, "authored-on"
    type_, entries = str(resource["resourceType"]), indexer.entries(resource)
    found = [
        prefix
        for prefix in PREFIXES
        if prefix != "ap" and matches(ask.where(type_, f"{code}={prefix}{searched}"), Key(type_, "1"), entries)
    ]
    assert found == prefixes.split()
