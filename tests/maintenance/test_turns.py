"""Turns: each item once, and never before what it needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.maintenance.turns import Turns
from fhir_server.model.reference import Key


def key(number: int) -> Key:
    return Key("Organization", str(number))


def test_item_that_needs_nothing_is_ready_and_another_when_all_that_it_needs_came() -> None:
    turns = Turns()
    turns.add(0, {key(1), key(2)})
    turns.add(1, set())
    assert (turns.next(9), turns.next(9)) == ([1], [])
    turns.came([key(1)])
    assert turns.next(9) == []
    turns.came([key(1), key(2), key(3)])
    assert (turns.next(9), turns.next(9)) == ([0], [])


def test_no_more_are_ready_at_once_than_asked_for() -> None:
    turns = Turns()
    for place in range(3):
        turns.add(place, ())
    assert (turns.next(2), turns.next(2)) == ([0, 1], [2])


@given(st.dictionaries(st.integers(0, 12), st.frozensets(st.integers(0, 12), max_size=4)), st.integers(1, 5))
def test_each_that_can_be_written_has_its_turn_after_what_it_needs(
    needs: dict[int, frozenset[int]], limit: int
) -> None:
    turns = Turns()
    for place, own in needs.items():
        turns.add(place, {key(number) for number in own})
    done: list[int] = []
    while places := turns.next(limit):
        assert len(places) <= limit
        assert all(needs[place] <= set(done) for place in places)
        done += places
        turns.came(map(key, places))
    assert len(done) == len(set(done))
    assert not [place for place in needs.keys() - set(done) if needs[place] <= set(done)]
