"""Cursors: they come back as they were, and are refused when they are not ours. https://hl7.org/fhir/R4/http.html#paging"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.outcome import BadRequest
from fhir_server.search.criteria import Kind, SearchRequest
from fhir_server.search.cursor import Place, seal, unseal
from tests.search.asking import Ask

QUERY = SearchRequest(("Slot",), understood=(("status", "free"),))
LOG = "log-1"

values = st.lists(st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()))


@given(after=values, total=st.none() | st.integers(0), now=st.none() | st.integers())
def test_place_comes_back_as_it_was(after: list[str | int | float | None], total: int | None, now: int | None) -> None:
    for place in (Place(tuple(after), None, total, now), Place(None, tuple(after), total, now)):
        text = seal(place, LOG, QUERY)
        assert text.isascii()
        assert not set(text) & set("+/=&?")
        assert unseal(text, LOG, QUERY) == place


@given(at=st.integers(0, 200), letter=st.sampled_from("ABab01-_"))
def test_changed_cursor_is_refused(at: int, letter: str) -> None:
    text = seal(Place(("a", 1, 7)), LOG, QUERY)
    at %= len(text) - 1  # the last letter carries bits that stand for nothing
    changed = text[:at] + letter + text[at + 1 :]
    if changed != text:
        with pytest.raises(BadRequest):
            unseal(changed, LOG, QUERY)


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        unseal(text, LOG, QUERY)


def test_cursor_of_another_store_or_query_is_refused() -> None:
    text = seal(Place((1,)), LOG, QUERY)
    others = (SearchRequest(("Slot",)), SearchRequest(("Slot", "Task"), understood=QUERY.understood))
    for secret, query in (("log-2", QUERY), *((LOG, other) for other in others)):
        with pytest.raises(BadRequest):
            unseal(text, secret, query)


def test_cursor_belongs_to_the_definition_of_its_order(ask: Ask) -> None:
    asked = ask.request("Slot", "status=free&_sort=start")
    text = seal(Place((1,)), LOG, asked)
    (key,) = asked.sort
    for change in ({"expression": "Slot.end"}, {"type": Kind.STRING}):
        other = replace(asked, sort=(replace(key, parameter=replace(key.parameter, **change)),))
        with pytest.raises(BadRequest):
            unseal(text, LOG, other)
    told_otherwise = replace(key.parameter, url="https://example.org/other", id="other")
    assert unseal(text, LOG, replace(asked, sort=(replace(key, parameter=told_otherwise),))) == Place((1,))


def test_cursor_belongs_to_what_is_matched_and_its_order(ask: Ask) -> None:
    text = seal(Place((1,)), LOG, ask.request("Slot", "status=free&_sort=start&_count=5"))
    same = ask.request("Slot", "status=free&_sort=start&_count=50&_elements=start&_format=json")
    assert unseal(text, LOG, same) == Place((1,))
    for query in ("status=busy&_sort=start", "status=free&_sort=-start", "status=free", ""):
        with pytest.raises(BadRequest):
            unseal(text, LOG, ask.request("Slot", query))
