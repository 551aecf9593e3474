"""French national identifiers: patterns, check digits, prefixes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.france import identifiers as ids

DIGITS = st.text("0123456789", min_size=1, max_size=20)
RANKS = st.integers(0, 999)

RIGHT = [
    ("RPPS", "99700990015"),
    ("RPPSRG", "99700990015001"),
    ("RPPSRG", "9970099001501"),
    ("ADELI", "259999050"),
    ("ADELIRG", "25999905000"),
    ("FINEJ", "259999027"),
    ("FINEG", "010000024"),
    ("SIREN", "732829320"),
    ("SIRET", "73282932000074"),
    ("SIRET", "35600000000048"),
    ("SIRET", "35600000009075"),
    ("IDNPS", "899700990015"),
    ("IDNPS", "0259999050"),
    ("IDNST", "1259999068"),
    ("IDNST", "2999999014"),
    ("IDNST", "399999901400015"),
    ("IDNST", "499700990015001"),
    ("IDNST", "025999905000"),
    ("INS-NIR", "255081416802538"),
]

WRONG_DIGIT = [
    ("RPPS", "10002673899"),
    ("FINEG", "810004421"),
    ("SIRET", "33417374840002"),
    ("SIRET", "35600000000002"),
    ("IDNPS", "810002673899"),
    ("IDNST", "1810004421"),
    ("INS-NIR", "255081416802539"),
]

UNCHECKED = [
    ("FINEG", "2A0000012"),
    ("ADELI", "2B1234567"),
    ("IDNST", "12B0000012"),
    ("IDNPS", "3456780581/11242343"),
]

WRONG_PATTERN = [
    ("RPPS", "9970099001"),
    ("RPPS", "9970099001X"),
    ("RPPS", "٩٩٧٠٠٩٩٠٠١٥"),
    ("FINEG", "2C0000012"),
    ("SIREN", "7328293200"),
    ("SIRET", "732829320"),
    ("IDNPS", "99700990015"),
    ("IDNPS", "799700990015"),
    ("IDNST", "259999068"),
    ("IDNST", "5259999068"),
    ("INS-NIR", "955081416802538"),
    ("INS-NIR", "25508141680253"),
    ("RPPS", ""),
]


@pytest.mark.parametrize(("code", "value"), RIGHT)
def test_right_check_digit_is_true(code: str, value: str) -> None:
    assert ids.check(code, value) is True


@pytest.mark.parametrize(("code", "value"), WRONG_DIGIT)
def test_wrong_check_digit_is_false_and_still_parses(code: str, value: str) -> None:
    assert ids.check(code, value) is False
    assert ids.parse(code, value) == value


@pytest.mark.parametrize(("code", "value"), UNCHECKED)
def test_number_without_published_rule_is_not_checked(code: str, value: str) -> None:
    assert ids.check(code, value) is None


@pytest.mark.parametrize(("code", "value"), WRONG_PATTERN)
def test_wrong_pattern_is_refused_without_repeating_the_value(code: str, value: str) -> None:
    with pytest.raises(ValueError, match=code) as refusal:
        ids.check(code, value)
    assert not value or value not in str(refusal.value)


@pytest.mark.parametrize(
    ("first13", "key"),
    [
        ("2550814168025", "38"),
        ("180022A001001", "77"),
        ("180022B001001", "07"),
        ("1746290039894", "97"),
    ],
)
def test_nir_key(first13: str, key: str) -> None:
    assert ids.nir_key(first13) == key
    assert ids.check("INS-NIR", first13 + key) is True


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("SIRET", "73282932000074", "732 829 320 00074"),
        ("FINEG", "259999068", "25 999 906 8"),
        ("INS-NIR", "255081416802538", "2 55 08 14 168 025 38"),
        ("RPPS", "99700990015", "99700990015"),
    ],
)
def test_readable_form_parses_back(code: str, value: str, shown: str) -> None:
    assert ids.readable(code, value) == shown
    assert ids.parse(code, shown) == value


def test_no_break_spaces_and_small_letters_are_read() -> None:
    assert ids.parse("SIRET", "732\u00a0829\u202f320 00074") == "73282932000074"
    assert ids.parse("FINEG", "2a0000012") == "2A0000012"


def test_local_number_keeps_its_letters() -> None:
    assert ids.parse("IDNPS", "3456780581/ab12") == "3456780581/ab12"


@pytest.mark.parametrize(
    ("code", "value", "national", "inner"),
    [
        ("RPPS", "99700990015", "899700990015", "RPPS"),
        ("ADELI", "259999050", "0259999050", "ADELI"),
        ("FINEG", "259999068", "1259999068", "FINEG"),
        ("FINEJ", "259999027", "1259999027", "FINEG"),
        ("SIREN", "999999014", "2999999014", "SIREN"),
        ("SIRET", "99999901400015", "399999901400015", "SIRET"),
        ("RPPSRG", "99700990015001", "499700990015001", "RPPSRG"),
        ("ADELIRG", "25999905000", "025999905000", "ADELIRG"),
    ],
)
def test_prefix_goes_on_and_off(code: str, value: str, national: str, inner: str) -> None:
    assert ids.add_prefix(code, value) == national
    family = "IDNPS" if code in ("RPPS", "ADELI") else "IDNST"
    assert ids.remove_prefix(family, national) == (inner, value)


def test_local_number_of_a_structure_has_nothing_inside() -> None:
    assert ids.remove_prefix("IDNPS", "3456780581/11242343") is None


def test_patient_number_has_no_national_form() -> None:
    with pytest.raises(ValueError, match="INS-NIR"):
        ids.add_prefix("INS-NIR", "255081416802538")


@given(DIGITS)
def test_luhn_finds_every_single_wrong_digit(digits: str) -> None:
    number = digits + ids.luhn_digit(digits)
    assert ids.luhn_digit(number[:-1]) == number[-1]
    for rank, right in enumerate(number[:-1]):
        for wrong in set("0123456789") - {right}:
            changed = number[:rank] + wrong + number[rank + 1 :]
            assert ids.luhn_digit(changed[:-1]) != changed[-1]


@given(st.from_regex(r"[12][0-9]{2}(?:0[1-9]|1[0-2])(?:[0-9]{2}|2[AB])[0-9]{6}", fullmatch=True))
def test_nir_with_its_key_is_right_and_divisible(first13: str) -> None:
    key = ids.nir_key(first13)
    assert ids.check("INS-NIR", first13 + key) is True
    corsica = first13[:5] + {"2A": "19", "2B": "18"}.get(first13[5:7], first13[5:7]) + first13[7:]
    assert (int(corsica) + int(key)) % 97 == 0


@given(RANKS)
def test_fictitious_rpps_is_right_and_stays_in_its_range(rank: int) -> None:
    value = ids.fictitious_rpps(rank)
    assert value.startswith("9970099")
    assert ids.check("RPPS", value) is True
    assert ids.remove_prefix("IDNPS", ids.add_prefix("RPPS", value)) == ("RPPS", value)


def test_fictitious_numbers_are_all_different() -> None:
    assert len({ids.fictitious_rpps(rank) for rank in range(1000)}) == 1000


@pytest.mark.parametrize("rank", [-1, 1000])
def test_rank_outside_the_fictitious_range_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match="1000"):
        ids.fictitious_rpps(rank)


@given(st.sampled_from(sorted(ids.KINDS)), st.text(max_size=20))
def test_any_text_is_parsed_or_refused(code: str, text: str) -> None:
    try:
        value = ids.parse(code, text)
    except ValueError:
        return
    assert ids.parse(code, value) == value
    assert ids.check(code, value) in (True, False, None)


@pytest.mark.parametrize(
    ("system", "value", "code"),
    [
        (ids.RPPS_SYSTEM, "99700990015", "RPPS"),
        (ids.SIRENE_SYSTEM, "999999014", "SIREN"),
        (ids.SIRENE_SYSTEM, "999 999 014 00015", "SIRET"),
        (ids.FINESS_SYSTEM, "259999068", "FINEJ"),
        ("urn:oid:1.2.250.1.213.1.4.10", "255081416802538", "INS-NIR-TEST"),
        (ids.COMMUNE_SYSTEM, "2A004", "COG"),
        (ids.RPPS_SYSTEM, "1", None),
        ("https://example.org", "99700990015", None),
    ],
)
def test_kind_is_told_by_the_system(system: str, value: str, code: str | None) -> None:
    kind = ids.kind_of(system, value)
    assert (kind and kind.code) == code


@pytest.mark.parametrize(
    ("system", "value", "told"),
    [
        (ids.RPPS_SYSTEM, "9970099001", "RPPS"),
        (ids.SIRENE_SYSTEM, "99999901", "SIREN or SIRET"),
        (ids.IDNST_SYSTEM, "259999068", "IDNST"),
        ("urn:oid:1.2.250.1.213.1.4.8", "2550814168025", "INS-NIR"),
    ],
)
def test_wrong_pattern_is_told_in_words_without_the_value(system: str, value: str, told: str) -> None:
    text = ids.wrong_pattern(system, value)
    assert text is not None
    assert told in text
    assert "digits" in text or "FINESS" in text
    assert value not in text


@pytest.mark.parametrize(
    ("system", "value"),
    [
        (ids.RPPS_SYSTEM, "99700990015"),
        (ids.RPPS_SYSTEM, "10002673899"),
        ("https://rppsrang.esante.gouv.fr", "F754567860"),  # facts §9 row 24: as a warning only
        ("https://example.org", "anything"),
    ],
)
def test_what_fits_or_is_not_known_is_not_told(system: str, value: str) -> None:
    assert ids.wrong_pattern(system, value) is None


NUMBERS = st.sampled_from(sorted(set(ids.KINDS) - {"COG"})).flatmap(
    lambda code: st.tuples(
        st.just(ids.KINDS[code].system), st.from_regex(re.compile(ids.KINDS[code].pattern, re.ASCII), fullmatch=True)
    )
)


@given(NUMBERS)
def test_forms_of_a_number_have_each_other_for_forms(number: tuple[str, str]) -> None:
    found = ids.forms(*number)
    assert found[0][0] == number[0]
    assert len(found) <= 2
    for form in found:
        assert set(ids.forms(*form)) == set(found)
        assert ids.wrong_pattern(*form) is None


@pytest.mark.parametrize(
    ("system", "value", "prefixed"),
    [
        (ids.IDNPS_SYSTEM, "99700990015", "899700990015"),
        (ids.IDNST_SYSTEM, "259999068", "1259999068"),
        (ids.IDNST_SYSTEM, "99999901400015", "399999901400015"),
    ],
)
def test_number_that_lacks_its_prefix_is_taken_for_the_one_with_it(system: str, value: str, prefixed: str) -> None:
    assert set(ids.forms(system, value)) == set(ids.forms(system, prefixed))
    assert ids.forms(system, value)[0] == (system, prefixed)


@given(st.sampled_from(sorted(ids.BY_SYSTEM)), st.text(max_size=20))
def test_forms_of_any_text_begin_with_it(system: str, text: str) -> None:
    first = ids.forms(system, text)[0]
    assert first[0] == system
    assert ids.forms(*first)[0] == first
