"""Matching one resource by its own entries."""

from __future__ import annotations

import math

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.index import Indexer
from fhir_server.search.match import EARTH_RADIUS, Unmatchable, matches, metres_between
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
    "query",
    [
        "schedule.active=true",
        "schedule.active=true&start=2031",
        "_has:Appointment:slot:status=booked",
        "_lastUpdated=2031",
    ],
)
def test_what_needs_other_resources_is_refused(ask: Ask, indexer: Indexer, query: str) -> None:
    with pytest.raises(Unmatchable, match="chains"):
        matches(ask.where("Slot", query), Key("Slot", "a"), indexer.entries(SLOT))


def test_distance_is_along_the_great_circle() -> None:
    assert metres_between((0, 0), (0, 180)) == pytest.approx(EARTH_RADIUS * math.pi)
    assert metres_between((90, 0), (-90, 77)) == pytest.approx(EARTH_RADIUS * math.pi)
    assert metres_between((-16.85, 179.99), (-16.85, -179.99)) == pytest.approx(2_128, abs=1)
    assert metres_between((47, 6), (47, 6)) == 0
