"""The demonstration, built once for the tests of this room."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_server.france.demo import AGENDA_DAYS, agenda_bundles, roster_bundles

Json = dict[str, Any]

FIRST_DAY = date(2026, 11, 23)


@pytest.fixture(scope="session")
def bundles() -> list[Json]:
    """The Bundles of the roster."""
    return list(roster_bundles())


@pytest.fixture(scope="session")
def roster(bundles: list[Json]) -> list[Json]:
    """The resources of the roster."""
    return [entry["resource"] for bundle in bundles for entry in bundle["entry"]]


@pytest.fixture(scope="session")
def week() -> list[Json]:
    """The Bundles of the agenda, one for each day of a week that begins on a Monday."""
    days = [FIRST_DAY + timedelta(rank) for rank in range(AGENDA_DAYS)]
    return list(agenda_bundles(days, ZoneInfo("Europe/Paris")))


@pytest.fixture(scope="session")
def slots(week: list[Json]) -> list[Json]:
    """The slots of that week."""
    return [entry["resource"] for bundle in week for entry in bundle["entry"]]
