"""Projected coordinates become WGS 84: held against points that PROJ computed, and their origins."""

from __future__ import annotations

from math import cos, hypot, radians

import pytest

from fhir_server.france.importing.projections import PROJECTIONS


@pytest.mark.parametrize(
    ("name", "easting", "northing", "latitude", "longitude"),
    [
        ("LAMBERT_93", 700_000, 6_600_000, 46.5, 3),
        ("LAMBERT_93", 928723.26, 6686324.57, 47.2378, 6.0241),
        ("LAMBERT_93", 652469.02, 6862035.26, 48.8566, 2.3522),
        ("LAMBERT_93", 146632.98, 6836262.33, 48.3904, -4.4861),
        ("LAMBERT_93", 1228537.84, 6199118.67, 42.6973, 9.4496),
        ("UTM_N20", 500_000, 0, 0, -63),
        ("UTM_N20", 635987.95, 1768886.45, 15.9958, -61.7291),
        ("UTM_N21", 444510.24, 464252.27, 4.2, -57.5),
        ("UTM_N22", 354363.16, 544229.78, 4.9224, -52.3135),
        ("UTM_S38", 524746.23, 8587115.80, -12.7806, 45.2280),
        ("UTM_S40", 338807.61, 7690477.75, -20.8789, 55.4504),
    ],
)
def test_a_point_is_found_within_a_centimetre(
    name: str, easting: float, northing: float, latitude: float, longitude: float
) -> None:
    found = PROJECTIONS[name](easting, northing)
    metres = 111_320
    east = (found.longitude - longitude) * metres * cos(radians(latitude))
    assert hypot((found.latitude - latitude) * metres, east) < 0.01
