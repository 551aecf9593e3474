"""Values: escapes, folding, prefixes, numbers, dates, tokens, places. https://hl7.org/fhir/R4/search.html#ptypes"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_server.model.text import fold
from fhir_server.search import values

CASES = json.loads((Path(__file__).parent / "cases" / "values.json").read_text())
PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(("text", "folded"), CASES["fold"])
def test_text_is_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(("text", "low", "high"), CASES["number"])
def test_digits_written_imply_a_range(text: str, low: float, high: float) -> None:
    found = values.parse_number(text)
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize(("text", "expected"), CASES["token"])
def test_token_forms(text: str, expected: list[str | None]) -> None:
    assert list(values.parse_token(text)) == expected


@pytest.mark.parametrize(("text", "expected"), CASES["quantity"])
def test_quantity_forms(text: str, expected: list[str | float | None]) -> None:
    found = values.parse_quantity(text)
    assert [found.number.prefix, found.number.number, found.system, found.code] == expected


@pytest.mark.parametrize(("text", "expected"), CASES["near"])
def test_near_forms(text: str, expected: list[float]) -> None:
    assert list(values.parse_near(text)) == pytest.approx(expected)


@pytest.mark.parametrize(("text", "expected"), CASES["date"])
def test_date_forms(text: str, expected: list[str]) -> None:
    assert list(values.parse_date(text, PARIS)) == expected


PARSERS: dict[str, Callable[[str], object]] = {
    "number": values.parse_number,
    "quantity": values.parse_quantity,
    "token": values.parse_token,
    "of-type": values.parse_of_type,
    "near": values.parse_near,
    "missing": values.parse_missing,
    "date": lambda text: values.parse_date(text, PARIS),
}


@pytest.mark.parametrize(("kind", "text"), CASES["refused"])
def test_wrong_value_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        PARSERS[kind](text)


@pytest.mark.parametrize("kind", PARSERS)
@given(text=st.one_of(st.text(), st.from_regex(r"[a-z]{0,2}[-0-9.eE+|:TZ ]*", fullmatch=True)))
def test_parsers_raise_nothing_but_value_errors(kind: str, text: str) -> None:
    try:
        PARSERS[kind](text)
    except ValueError:
        return


@given(st.lists(st.text(st.sampled_from(",|$\\aé")), min_size=1))
def test_escaped_values_are_split_and_unescaped_to_themselves(parts: list[str]) -> None:
    joined = ",".join(values.escape(part) for part in parts)
    assert [values.unescape(part) for part in values.split(joined, ",")] == parts


@given(st.text())
@example("\u0591")
@example("\u0301 \u0301")
def test_folding_twice_changes_nothing_and_never_empties(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert bool(folded) == bool(text)


@given(st.from_regex(r"-?[0-9]{1,6}(\.[0-9]{1,4})?(e-?[0-9]{1,2})?", fullmatch=True))
def test_number_lies_in_its_own_range(text: str) -> None:
    found = values.parse_number(text)
    assert found.low <= found.number <= found.high
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)


def test_approximate_date_is_widened_by_a_tenth_of_its_distance_from_now() -> None:
    day = 86_400_000_000
    value = values.parse_date("ap1970-01-11", ZoneInfo("UTC"))
    assert values.date_range(value, ZoneInfo("UTC"), now=20 * day) == (9 * day + day // 10, 12 * day - day // 10)
    assert values.date_range(value, ZoneInfo("UTC"), now=10 * day) == (10 * day, 11 * day)
