"""From the projected coordinates of the French registers to WGS 84, to the centimetre; the ellipsoid is GRS 80.

RGF93 and its overseas counterparts are taken as WGS 84: they differ by less than a metre.
Formulas: EPSG Guidance Note 7-2, Lambert Conic Conformal (2SP) and Transverse Mercator (JHS).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import (
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    degrees,
    hypot,
    log,
    pi,
    radians,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from typing import Final, NamedTuple, TypeAlias

_A: Final = 6_378_137.0
_F: Final = 1 / 298.257222101
_E: Final = sqrt(_F * (2 - _F))


class Position(NamedTuple):
    """Degrees, WGS 84."""

    latitude: float
    longitude: float


Inverse: TypeAlias = Callable[[float, float], Position]
"""From easting and northing in metres."""


def _lambert_93() -> Inverse:
    """EPSG:2154: parallels 44° and 49°, origin 46° 30' N 3° E at (700,000 m, 6,600,000 m)."""

    def m(latitude: float) -> float:
        return cos(latitude) / sqrt(1 - (_E * sin(latitude)) ** 2)

    def bent(latitude: float) -> float:
        return float(((1 - _E * sin(latitude)) / (1 + _E * sin(latitude))) ** (_E / 2))

    def t(latitude: float) -> float:
        return tan(pi / 4 - latitude / 2) / bent(latitude)

    south, north, origin = radians(44), radians(49), radians(46.5)
    n = (log(m(south)) - log(m(north))) / (log(t(south)) - log(t(north)))
    scale = _A * m(south) / (n * t(south) ** n)
    at_origin = scale * t(origin) ** n

    def inverse(easting: float, northing: float) -> Position:
        x, y = easting - 700_000, at_origin - (northing - 6_600_000)
        small = (hypot(x, y) / scale) ** (1 / n)
        latitude = pi / 2 - 2 * atan(small)
        for _ in range(6):
            latitude = pi / 2 - 2 * atan(small * bent(latitude))
        return Position(degrees(latitude), degrees(atan2(x, y) / n) + 3)

    return inverse


def _utm(zone: int, *, is_southern: bool = False) -> Inverse:
    """Universal Transverse Mercator: scale 0.9996 on the meridian at 500,000 m; the south begins at 10,000,000 m."""
    meridian, false_northing = radians(zone * 6 - 183), 10_000_000 if is_southern else 0
    n = _F / (2 - _F)
    radius = _A / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    series = (
        n / 2 - 2 * n**2 / 3 + 37 * n**3 / 96 - n**4 / 360,
        n**2 / 48 + n**3 / 15 - 437 * n**4 / 1440,
        17 * n**3 / 480 - 37 * n**4 / 840,
        4397 * n**4 / 161280,
    )

    def inverse(easting: float, northing: float) -> Position:
        xi = (northing - false_northing) / (radius * 0.9996)
        eta = (easting - 500_000) / (radius * 0.9996)
        terms = [(2 * rank, factor) for rank, factor in enumerate(series, 1)]
        xi0 = xi - sum(factor * sin(rank * xi) * cosh(rank * eta) for rank, factor in terms)
        eta0 = eta - sum(factor * cos(rank * xi) * sinh(rank * eta) for rank, factor in terms)
        beta = asin(sin(xi0) / cosh(eta0))
        start = step = asinh(tan(beta))
        for _ in range(6):
            step = start + _E * atanh(_E * tanh(step))
        return Position(degrees(atan(sinh(step))), degrees(meridian + asin(tanh(eta0) / cos(beta))))

    return inverse


PROJECTIONS: Final[Mapping[str, Inverse]] = {
    "LAMBERT_93": _lambert_93(),
    "UTM_N20": _utm(20),
    "UTM_N21": _utm(21),
    "UTM_N22": _utm(22),
    "UTM_S38": _utm(38, is_southern=True),
    "UTM_S40": _utm(40, is_southern=True),
}
"""The projections that FINESS names."""
