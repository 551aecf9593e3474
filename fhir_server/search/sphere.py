"""Distances on the sphere, the same on every engine and in memory. https://hl7.org/fhir/R4/location.html#positional"""

from __future__ import annotations

from math import asin, cos, degrees, pi, radians, sin, sqrt
from typing import Final

RADIUS: Final = 6_371_008.8
"""The Earth's mean radius in metres (IUGG)."""


def metres(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance between two places given in degrees."""
    first, second = radians(latitude), radians(other_latitude)
    north, east = second - first, radians(other_longitude - longitude)
    chord = sin(north / 2) ** 2 + cos(first) * cos(second) * sin(east / 2) ** 2
    return 2 * RADIUS * asin(min(1.0, sqrt(chord)))


def latitudes(latitude: float, distance: float) -> tuple[float, float]:
    """Return the band of latitudes within which every place nearer than ``distance`` metres lies."""
    reach = degrees(min(distance / RADIUS, pi)) + 1e-9
    return latitude - reach, latitude + reach
