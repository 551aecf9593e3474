"""Searches by value sets: which they name, and what is asked once their codes are known.

Spec: https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

import pytest

from fhir_server.search.plan import plan
from fhir_server.search.query import NOTHING, Equal, Node, Not, Or, References
from fhir_server.search.value_sets import value_sets, with_codes
from fhir_server.search.values import TokenValue, ValueSetValue
from tests.search.asking import BASE, NOW, PARIS, Ask

SYSTEM = "urn:x"
CODES = {"urn:one": [TokenValue(SYSTEM, "a")], "urn:two|2": [TokenValue(SYSTEM, "b"), TokenValue(SYSTEM, "a")]}
A, B = f"a\x1f{SYSTEM}", f"b\x1f{SYSTEM}"


def planned(ask: Ask, type_: str, query: str) -> Node:
    request = with_codes(ask.request(type_, query), lambda value: CODES.get(value.text, []))
    return plan(request, ask.registry, PARIS, (BASE,), NOW).where


@pytest.mark.parametrize(
    ("type_", "query", "named"),
    [
        ("PractitionerRole", "specialty:in=urn:one", [("urn:one", "specialty:in")]),
        ("PractitionerRole", "specialty:not-in=urn:two|2", [("urn:two|2", "specialty:not-in")]),
        ("PractitionerRole", "specialty:in=urn:a,urn:b", [("urn:a", "specialty:in"), ("urn:b", "specialty:in")]),
        ("Slot", "schedule.specialty:in=urn:one", [("urn:one", "schedule.specialty:in")]),
        (
            "Practitioner",
            "_has:PractitionerRole:practitioner:specialty:in=urn:one",
            [("urn:one", "_has:PractitionerRole:practitioner:specialty:in")],
        ),
        ("PractitionerRole", "specialty=a", []),
    ],
)
def test_value_sets_are_named_wherever_they_stand(
    ask: Ask, type_: str, query: str, named: list[tuple[str, str]]
) -> None:
    assert list(value_sets(ask.request(type_, query))) == [ValueSetValue(*one) for one in named]


@pytest.mark.parametrize(
    ("query", "node"),
    [
        ("specialty:in=urn:one", Equal("specialty", (A,))),
        ("specialty:in=urn:one,urn:two|2", Equal("specialty", (A, B))),
        ("specialty:not-in=urn:two|2", Not(Equal("specialty", (B, A)))),
        ("specialty:in=urn:empty", NOTHING),
        ("specialty:not-in=urn:empty", Not(NOTHING)),
    ],
)
def test_codes_take_the_place_of_value_sets(ask: Ask, query: str, node: Node) -> None:
    assert planned(ask, "PractitionerRole", query) == node


def test_codes_are_asked_at_the_end_of_a_chain(ask: Ask) -> None:
    found = planned(ask, "Slot", "schedule:Schedule.specialty:in=urn:one")
    assert isinstance(found, Or)
    assert Equal("schedule", References("Schedule", Equal("specialty", (A,)))) in found.nodes


def test_code_of_an_implied_system_is_found_by_that_system(ask: Ask) -> None:
    request = with_codes(ask.request("Slot", "status:in=urn:x"), lambda _: [TokenValue(SYSTEM, "free")])
    assert plan(request, ask.registry, PARIS, (BASE,), NOW).where == Equal("status", (f"free\x1f{SYSTEM}",))


def test_code_without_an_implied_system_is_found_by_itself(ask: Ask) -> None:
    request = with_codes(ask.request("CodeSystem", "language:in=urn:x"), lambda _: [TokenValue(SYSTEM, "fr")])
    wanted = Equal("language", (f"fr\x1f{SYSTEM}", "fr\x1f"))
    assert plan(request, ask.registry, PARIS, (BASE,), NOW).where == wanted


def test_search_is_not_planned_before_its_value_sets_are_known(ask: Ask) -> None:
    with pytest.raises(ValueError, match="before its value sets"):
        ask.where("PractitionerRole", "specialty:in=urn:one")
