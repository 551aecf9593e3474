"""FHIR's primitive types as Python values: dates as intervals, instants, ids. https://hl7.org/fhir/R4/datatypes.html"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Final

ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
"""A logical id; use ``fullmatch``. https://hl7.org/fhir/R4/datatypes.html#id"""

_DATE_TIME: Final = re.compile(
    r"(?P<year>[0-9]{4})"
    r"(?:-(?P<month>0[1-9]|1[0-2])"
    r"(?:-(?P<day>0[1-9]|[12][0-9]|3[01])"
    r"(?:T(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]|60)(?:\.(?P<fraction>[0-9]+))?)?"
    r"(?P<zone>Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)?)?)?)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = 1_000_000
"""Microseconds."""


def interval(literal: str, zone: tzinfo) -> tuple[int, int]:
    """Return the span of time a date, dateTime or instant covers.

    ``(low, high)``: microseconds since the Unix epoch, UTC, half-open. The precision written is the width:
    "2024-03" covers the month. ``zone`` applies where the literal has none: a time that comes twice there, as clocks go
    back, covers both and what lies between; one that is skipped is the instant of the change, with no width. Minutes
    without seconds are read too (searches may leave seconds out). Raises ``ValueError`` if not FHIR.
    Spec: https://hl7.org/fhir/R4/search.html#date
    """
    match = _DATE_TIME.fullmatch(literal)
    if match is None or match["year"] == "0000":
        raise ValueError("not a date of FHIR: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.sss]][Z|±hh:mm]")
    year, month, day = int(match["year"]), int(match["month"] or 1), int(match["day"] or 1)
    if day > monthrange(year, month)[1]:
        raise ValueError(f"{year:04}-{month:02} has no day {day}")
    offset = _offset(match["zone"])
    if match["hour"] is None:
        return _days(year, month, day, match["month"], match["day"], zone)
    second, fraction = match["second"], match["fraction"] or ""
    start = datetime(year, month, day, int(match["hour"]), int(match["minute"]), tzinfo=offset or zone)
    # 60 is legal for a leap second; Unix time gives it the next second's number.
    beyond = int(second or 0) * SECOND + int(fraction.ljust(6, "0")[:6] or 0)
    width = 60 * SECOND if second is None else 10 ** (6 - min(len(fraction), 6))
    first = _micros(start)
    if offset is not None:
        return first + beyond, first + beyond + width
    last = _micros(start.replace(fold=1))
    if last < first:
        return (change := _change(last, first, zone)), change
    return first + beyond, last + beyond + width


def instant(micros: int) -> str:
    """Return microseconds since the epoch as an instant in UTC with milliseconds: ``2026-01-05T08:00:00.123Z``."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def micros(moment: datetime) -> int:
    """Return an aware datetime as microseconds since the Unix epoch."""
    return _micros(moment)


def moment(micros: int) -> datetime:
    """Return microseconds since the Unix epoch as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def _days(year: int, month: int, day: int, has_month: str | None, has_day: str | None, zone: tzinfo) -> tuple[int, int]:
    low = datetime(year, month, day, tzinfo=zone)
    if has_day:
        following = _next_day(year, month, day)
    elif has_month:
        following = (year + month // 12, month % 12 + 1, 1)
    else:
        following = (year + 1, 1, 1)
    if following[0] > 9999:
        return _micros(low), _micros(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=zone)) + 1
    return _micros(low), _micros(datetime(*following, tzinfo=zone))


def _change(before: int, after: int, zone: tzinfo) -> int:
    """Return the instant between two at which a zone's offset changes."""
    offset = moment(before).astimezone(zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if moment(middle).astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _next_day(year: int, month: int, day: int) -> tuple[int, int, int]:
    if day < monthrange(year, month)[1]:
        return year, month, day + 1
    return year + month // 12, month % 12 + 1, 1


def _offset(text: str | None) -> tzinfo | None:
    return None if text is None else _zone(text)


@cache  # of some 1,700
def _zone(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[4:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
