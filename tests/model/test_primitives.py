"""Dates as spans of time, instants, ids."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.model.primitives import ID, SECOND, instant, interval, micros, moment

PARIS = ZoneInfo("Europe/Paris")
HOUR = 3600 * SECOND
DAY = 24 * HOUR

moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def epoch(*parts: int) -> int:
    """Return microseconds since the epoch of a time in UTC, counted in days."""
    year, month, day, *clock = parts
    hour, minute, second, micro = (*clock, 0, 0, 0, 0)[:4]
    days = date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    return days * DAY + hour * HOUR + minute * 60 * SECOND + second * SECOND + micro


@given(moments, offsets)
def test_time_with_an_offset_is_that_instant(naive: datetime, zone: timezone) -> None:
    aware = naive.replace(tzinfo=zone)
    expected = micros(aware)
    assert interval(aware.isoformat(timespec="microseconds"), PARIS) == (expected, expected + 1)
    low = expected - naive.microsecond
    assert interval(aware.replace(microsecond=0).isoformat(), PARIS) == (low, low + SECOND)
    low_minute = low - naive.second * SECOND
    assert interval(aware.strftime("%Y-%m-%dT%H:%M").zfill(16) + aware.isoformat()[-6:], PARIS) == (
        low_minute,
        low_minute + 60 * SECOND,
    )


@given(st.dates(date(1, 1, 1), date(9999, 12, 30)))
def test_date_covers_its_day(day: date) -> None:
    low, high = interval(day.isoformat(), UTC)
    assert low == epoch(day.year, day.month, day.day)
    assert high - low == DAY


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_days_follow_each_other_without_gap(day: date) -> None:
    assert interval(day.isoformat(), PARIS)[1] == interval((day + timedelta(1)).isoformat(), PARIS)[0]


@given(st.integers(1, 9998))
def test_months_fill_the_year(year: int) -> None:
    months = [interval(f"{year:04}-{month:02}", UTC) for month in range(1, 13)]
    assert (months[0][0], months[-1][1]) == interval(f"{year:04}", UTC)
    assert all(before[1] == after[0] for before, after in pairwise(months))


@pytest.mark.parametrize(
    ("literal", "low", "width"),
    [
        ("2024", epoch(2023, 12, 31, 23), 366 * DAY),
        ("2024-02", epoch(2024, 1, 31, 23), 29 * DAY),
        ("2024-03-31", epoch(2024, 3, 30, 23), 23 * HOUR),
        ("2024-10-27", epoch(2024, 10, 26, 22), 25 * HOUR),
        ("2024-03", epoch(2024, 2, 29, 23), 31 * DAY - HOUR),
        ("2024-06-12T16:40:00", epoch(2024, 6, 12, 14, 40), SECOND),
        ("2024-06-12T16:40", epoch(2024, 6, 12, 14, 40), 60 * SECOND),
        ("2024-10-27T02:30:00", epoch(2024, 10, 27, 0, 30), HOUR + SECOND),
        ("2024-10-27T02:30", epoch(2024, 10, 27, 0, 30), HOUR + 60 * SECOND),
        ("2024-10-27T02:59:59.9", epoch(2024, 10, 27, 0, 59, 59, 900_000), HOUR + SECOND // 10),
        ("2024-10-27T02:30+02:00", epoch(2024, 10, 27, 0, 30), 60 * SECOND),
        ("2024-10-27T01:59", epoch(2024, 10, 26, 23, 59), 60 * SECOND),
        ("2024-10-27T03:00", epoch(2024, 10, 27, 2), 60 * SECOND),
        ("2024-03-31T01:59", epoch(2024, 3, 31, 0, 59), 60 * SECOND),
        ("2024-03-31T02:00", epoch(2024, 3, 31, 1), 0),
        ("2024-03-31T02:30:15.5", epoch(2024, 3, 31, 1), 0),
        ("2024-03-31T02:59", epoch(2024, 3, 31, 1), 0),
        ("2024-03-31T03:00", epoch(2024, 3, 31, 1), 60 * SECOND),
        ("2024-06-12T16:40:00.1Z", epoch(2024, 6, 12, 16, 40, 0, 100_000), SECOND // 10),
        ("2024-06-12T16:40:00.12+02:00", epoch(2024, 6, 12, 14, 40, 0, 120_000), SECOND // 100),
        ("2024-06-12T16:40:00.123456Z", epoch(2024, 6, 12, 16, 40, 0, 123_456), 1),
        ("2024-06-12T16:40:00.1234567891234Z", epoch(2024, 6, 12, 16, 40, 0, 123_456), 1),
        ("2016-12-31T23:59:60Z", epoch(2017, 1, 1), SECOND),
        ("2016-12-31T23:59:60.5Z", epoch(2017, 1, 1, 0, 0, 0, 500_000), SECOND // 10),
        ("0001-01-01T00:00:00+14:00", epoch(1, 1, 1) - 14 * HOUR, SECOND),
        ("9999-12-31T23:59:59-14:00", epoch(9999, 12, 31, 23, 59, 59) + 14 * HOUR, SECOND),
    ],
)
def test_precision_written_is_the_width(literal: str, low: int, width: int) -> None:
    assert interval(literal, PARIS) == (low, low + width)


@pytest.mark.parametrize("zone", [UTC, PARIS, timezone(timedelta(hours=14)), timezone(timedelta(hours=-14))])
def test_first_and_last_year_are_spans(zone: timezone) -> None:
    for literal, width in (("0001", 365), ("0001-01", 31), ("0001-01-01", 1)):
        low, high = interval(literal, zone)
        assert high - low == width * DAY
    end = interval("9999-12-31T23:59:59", zone)[1]
    for literal, width in (("9999", 365), ("9999-12", 31), ("9999-12-31", 1)):
        assert interval(literal, zone) == (end - width * DAY, end)


@pytest.mark.parametrize(
    "literal",
    [
        *(
            "",
            "0000",
            "24",
            "2024-",
            "2024-1",
            "2024-00",
            "2024-13",
            "2024-01-00",
            "2024-01-32",
            "2024-1-1",
            "20240101",
        ),
        *("2023-02-29", "1900-02-29", "2024-04-31", "2024-01T00:00:00Z", "2024-01-01T", "2024-01-01T10"),
        *("2024-01-01T24:00:00Z", "2024-01-01T10:60:00Z", "2024-01-01T10:00:61Z", "2024-01-01T10:00:00.Z"),
        *("2024-01-01T10:00:00+15:00", "2024-01-01T10:00:00+14:01", "2024-01-01T10:00:00+2", "2024-01-01T10:00:00z"),
        *("2024-01-01 10:00:00", "2024-01-01\n", " 2024", "٢٠٢٤", "-2024", "+2024", "12024", "2024Z", "hier"),
    ],
)
def test_what_is_no_date_of_fhir_is_refused(literal: str) -> None:
    with pytest.raises(ValueError):
        interval(literal, PARIS)


@given(st.text(max_size=30))
def test_any_text_is_a_span_or_refused(text: str) -> None:
    try:
        low, high = interval(text, PARIS)
    except ValueError:
        return
    assert low < high


@given(st.datetimes(timezones=st.just(UTC)))
def test_instant_reads_back_to_the_millisecond(at: datetime) -> None:
    text = instant(micros(at))
    assert len(text) == 24
    assert interval(text, PARIS)[0] == micros(at) - at.microsecond % 1000
    assert moment(micros(at)) == at


def test_instant_is_written_with_four_digits_of_the_year() -> None:
    assert instant(epoch(1, 1, 1)) == "0001-01-01T00:00:00.000Z"
    assert instant(-1) == "1969-12-31T23:59:59.999Z"
    assert instant(epoch(2024, 6, 12, 16, 40, 0, 999_999)) == "2024-06-12T16:40:00.999Z"


def test_id() -> None:
    for right in ("a", "A-1.b", "0" * 64, "-"):
        assert ID.fullmatch(right)
    for wrong in ("", "a_b", "a/b", "0" * 65, "é", "a\n", "a "):
        assert not ID.fullmatch(wrong)
