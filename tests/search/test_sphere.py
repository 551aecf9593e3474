"""Distances on the sphere. https://hl7.org/fhir/R4/location.html#positional"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.sphere import RADIUS, latitudes, metres

degrees_north = st.floats(-90, 90)
degrees_east = st.floats(-180, 180)


def test_distance_is_along_the_great_circle() -> None:
    assert metres(0, 0, 0, 180) == pytest.approx(RADIUS * math.pi)
    assert metres(90, 0, -90, 77) == pytest.approx(RADIUS * math.pi)
    assert metres(-16.85, 179.99, -16.85, -179.99) == pytest.approx(2_128, abs=1)
    assert metres(47, 6, 47, 6) == 0


@given(degrees_north, degrees_east, degrees_north, degrees_east)
def test_what_is_near_lies_in_the_band_of_latitudes(one: float, east: float, other: float, far_east: float) -> None:
    distance = metres(one, east, other, far_east)
    low, high = latitudes(one, distance)
    assert low <= other <= high
