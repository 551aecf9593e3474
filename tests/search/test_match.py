"""Matching one resource by its own entries."""

from __future__ import annotations

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.index import Indexer
from fhir_server.search.match import Unmatchable, chains, depth, matches
from fhir_server.search.query import References
from fhir_server.search.values import PREFIXES
from tests.search.asking import Ask

SLOT = {
    "resourceType": "Slot",
    "identifier": [{"system": "s", "value": "v"}],
    "schedule": {"reference": "Schedule/1"},
    "status": "free",
    "start": "2031-05-14T10:00:00Z",
}


@pytest.mark.parametrize(
    ("query", "is_match"),
    [
        ("identifier=s|v", True),
        ("identifier=s|w", False),
        ("identifier=v", True),
        ("identifier=s|", True),
        ("identifier=t|", False),
        ("status:not=busy", True),
        ("end:missing=true", True),
        ("schedule=1&start=2031-05-14", True),
        ("schedule=2&start=2031-05-14", False),
        ("schedule=1&status=free&start=gt2031-05-14", False),
        ("_id=a", True),
        ("_id=b", False),
        ("status=busy,free", True),
    ],
)
def test_resource_matches_by_its_entries(ask: Ask, indexer: Indexer, query: str, is_match: bool) -> None:
    assert matches(ask.where("Slot", query), Key("Slot", "a"), indexer.entries(SLOT)) is is_match


@pytest.mark.parametrize(
    ("comparator", "found_by"),
    [
        (None, "eq ge le ap"),
        (">", "ne gt ge sa ap"),
        (">=", "ne gt ge ap"),
        ("<", "ne lt le eb ap"),
        ("<=", "ne lt le ap"),
    ],
)
def test_quantity_with_a_comparator_is_all_that_it_says(
    wide: Ask, wide_indexer: Indexer, comparator: str | None, found_by: str
) -> None:
    value = {"value": 100, "code": "kg"} | ({"comparator": comparator} if comparator else {})
    entries = wide_indexer.entries({"resourceType": "Observation", "id": "a", "valueQuantity": value})
    for query in ("value-quantity={}100", "value-quantity={}100||kg"):
        nodes = {prefix: wide.where("Observation", query.format(prefix)) for prefix in PREFIXES}
        found = {prefix for prefix, node in nodes.items() if matches(node, Key("Observation", "a"), entries)}
        assert found == set(found_by.split())


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("schedule.active=true", "chains"),
        ("schedule.active=true&start=2031", "chains"),
        ("_has:Appointment:slot:status=booked", "_has"),
        ("_lastUpdated=2031", "_lastUpdated"),
        ("_lastUpdated=2031&identifier=s|v", "_lastUpdated"),
    ],
)
def test_what_needs_other_resources_is_refused(ask: Ask, indexer: Indexer, query: str, what: str) -> None:
    with pytest.raises(Unmatchable, match=what):
        matches(ask.where("Slot", query), Key("Slot", "a"), indexer.entries(SLOT))


@pytest.mark.parametrize(
    "query",
    [
        "schedule.active=true&identifier=w",
        "_has:Appointment:slot:status=booked&identifier=w",
        "identifier=w&_lastUpdated=2031",
        "schedule.active=true&status=free&start=gt2031-05-14",
    ],
)
def test_what_the_own_entries_decide_needs_no_other_resources(ask: Ask, indexer: Indexer, query: str) -> None:
    follow = None if "start" not in query else lambda _text, _far: False
    assert not matches(ask.where("Slot", query), Key("Slot", "a"), indexer.entries(SLOT), follow)


@pytest.mark.parametrize("query", ["schedule.active=true", "schedule.active=true&status=free&start=2031-05-14"])
@pytest.mark.parametrize("leads_there", [True, False])
def test_chain_is_followed(ask: Ask, indexer: Indexer, query: str, leads_there: bool) -> None:
    followed = []

    def follow(text: str, far: References) -> bool:
        followed.append((text, far))
        return leads_there

    where = ask.where("Slot", query)
    assert matches(where, Key("Slot", "a"), indexer.entries(SLOT), follow) is leads_there
    [(code, far)] = chains(where)
    assert code == "schedule" and followed == [("Schedule/1", far)]


@pytest.mark.parametrize(
    ("type_", "query", "links"),
    [
        ("Slot", "identifier=s|v", 0),
        ("Slot", "schedule.active=true", 1),
        ("Slot", "schedule.actor:Practitioner.identifier=v&status=free&start=2031", 2),
        ("PractitionerRole", "practitioner.identifier=v&organization.partof.name=x", 2),
    ],
)
def test_depth_is_the_length_of_the_longest_chain(ask: Ask, type_: str, query: str, links: int) -> None:
    assert depth(ask.where(type_, query)) == links
