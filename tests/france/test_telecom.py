"""Telephone numbers in one form, and addresses of the secure mail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.france import telecom

WRITTEN = [
    "0381000000",
    "03 81 00 00 00",
    "03.81.00.00.00",
    "03-81-00-00-00",
    "03\u00a081\u202f00 00 00",
    "+33381000000",
    "+33 3 81 00 00 00",
    "+33 (0)3 81 00 00 00",
    "0033 3 81 00 00 00",
    "tel:+33381000000",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_french_number_has_one_form(text: str) -> None:
    assert telecom.phone(text) == "+33381000000"
    assert telecom.compared(text) == "+33381000000"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0262 99 00 00", "+262262990000"),
        ("0690 99 00 00", "+590690990000"),
        ("+41 21 000 00 00", "+41210000000"),
    ],
)
def test_number_of_elsewhere_keeps_its_country(text: str, number: str) -> None:
    assert telecom.phone(text) == number


@pytest.mark.parametrize("text", ["15", "116117", "3114", "0381000000 poste 12", "038100000", "claire@example.org", ""])
def test_what_is_no_number_stays_as_it_is(text: str) -> None:
    assert telecom.phone(text) is None
    assert telecom.compared(text) == text


def test_letters_of_an_address_count_in_either_case() -> None:
    assert telecom.compared("Claire.Fictive@Pro.Example.ORG") == "claire.fictive@pro.example.org"


def test_plus_that_was_not_encoded_is_read() -> None:
    assert telecom.compared(" 33381000000") == "+33381000000"
    assert telecom.compared(" ") == " "


@given(st.from_regex(r"0[1-9][0-9]{8}", fullmatch=True), st.sampled_from(["", " ", ".", "-", "\u00a0"]))
def test_any_grouping_is_the_same_number(number: str, between: str) -> None:
    grouped = between.join(number[start : start + 2] for start in range(0, 10, 2))
    assert telecom.phone(grouped) == telecom.phone(number)
    assert telecom.phone(telecom.phone(number) or "") == telecom.phone(number)


@given(st.text(max_size=20))
def test_any_text_is_compared_and_once_is_enough(text: str) -> None:
    assert telecom.compared(telecom.compared(text)) == telecom.compared(text)


def test_mssante_is_told_by_its_domain_and_typed() -> None:
    assert telecom.is_mssante("claire.fictif@medecin.mssante.fr")
    assert telecom.is_mssante("claire@MSSANTE.FR")
    assert not telecom.is_mssante("claire@example.org")
    assert not telecom.is_mssante("claire@faux-mssante.fr")
    assert not telecom.is_mssante("mssante.fr")


def test_mssante_address_is_written_with_its_type() -> None:
    point = telecom.email_point("claire.fictif@medecin.mssante.fr")
    [extension] = point["extension"]
    assert extension["url"] == telecom.EMAIL_TYPE["current"]
    assert extension["valueCoding"]["code"] == "MSSANTE"
    assert (point["system"], point["value"]) == ("email", "claire.fictif@medecin.mssante.fr")
    old = telecom.email_point("claire@chu.example", secure=True, form="old")
    assert old["extension"][0]["url"] == telecom.EMAIL_TYPE["old"]


def test_ordinary_address_is_written_plain() -> None:
    assert telecom.email_point(" claire@example.org ") == {"system": "email", "value": "claire@example.org"}
