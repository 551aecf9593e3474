"""Comparing dates, dateTimes, instants and times, as far as their precision allows.

Spec: http://hl7.org/fhirpath/N1/#comparison
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final

TEMPORAL: Final = frozenset(("date", "dateTime", "instant", "time"))
"""The types that compare by precision."""

_DATE: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)
_TIME: Final = re.compile(r"([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?)?")

Parts = tuple[tuple[int | Decimal, ...], int | None]
"""Year, month, day, hour, minute, second as far as written (seconds with their fraction); offset in minutes."""


def compare(left: str, right: str, is_time: bool = False) -> int | None:
    """Return -1, 0 or 1, or None where the precision written, or a missing offset, leaves it open."""
    one, other = _parts(left, is_time), _parts(right, is_time)
    if one is None or other is None:
        return None
    (first, zone), (second, other_zone) = one, other
    if zone != other_zone and len(first) > 3 and len(second) > 3:
        if zone is None or other_zone is None:
            return None
        shifted = _to_utc(first, zone), _to_utc(second, other_zone)
        if shifted[0] is None or shifted[1] is None:
            return None
        first, second = shifted[0], shifted[1]
    for a, b in zip(first, second, strict=False):
        if a != b:
            return -1 if a < b else 1
    return 0 if len(first) == len(second) else None


@lru_cache(maxsize=256)
def _parts(text: str, is_time: bool) -> Parts | None:
    match = (_TIME if is_time else _DATE).fullmatch(text)
    if match is None:
        return None
    fields = match.groups()
    zone = None if is_time else fields[6]
    numbers = fields if is_time else fields[:6]
    parts = tuple(Decimal(part) if "." in part else int(part) for part in numbers if part is not None)
    return parts, _offset(zone)


def _offset(zone: str | None) -> int | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return minutes if zone[0] == "+" else -minutes


def _to_utc(parts: tuple[int | Decimal, ...], offset: int) -> tuple[int | Decimal, ...] | None:
    """Return (minutes since year 1, seconds as far as written), None if there is no such day."""
    year, month, day, hour, *rest = parts
    try:
        days = date(int(year), int(month), int(day)).toordinal()
    except ValueError:
        return None
    minute, *second = rest or [0]
    return (days * 1440 + int(hour) * 60 + int(minute) - offset, *second)
