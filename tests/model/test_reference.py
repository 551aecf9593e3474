"""What the text of a Reference can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.model.reference import Key, Local, local, references, type_named

BASES = ("https://a.example/fhir", "https://a.example", "http://b.example:8080/r4")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Slot/1", Local(Key("Slot", "1"), None)),
        ("Slot/a-B.9/_history/3", Local(Key("Slot", "a-B.9"), "3")),
        ("https://a.example/fhir/Slot/1", Local(Key("Slot", "1"), None)),
        ("https://a.example/Slot/1", Local(Key("Slot", "1"), None)),
        ("http://b.example:8080/r4/Slot/1/_history/2", Local(Key("Slot", "1"), "2")),
    ],
)
def test_reference_to_us(text: str, expected: Local) -> None:
    assert local(text, BASES) == expected
    assert local(text, tuple(reversed(BASES))) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "Slot", "Slot/", "/Slot/1", "slot/1", "Slot/a_b", "Slot/1/", "Slot/1 ", "Slot/1\n", f"Slot/{'a' * 65}"),
        *("#a", "#", "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "urn:oid:1.2.3", "Slot?identifier=a", "Slot/1#a"),
        *("https://other.example/fhir/Slot/1", "https://a.example/fhirSlot/1", "https://a.example/fhir//Slot/1"),
        *("https://a.example/fhir", "Slot/1/_history/", "Slot/1/_history", "Slot/1/_history/1/2", "Slot/1?a=b"),
    ],
)
def test_reference_not_to_us(text: str) -> None:
    assert local(text, BASES) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Slot/1", "Slot"),
        ("Slot/1/_history/2", "Slot"),
        ("https://other.example/fhir/Slot/1", "Slot"),
        ("https://other.example/fhir/Slot/1/_history/2", "Slot"),
        ("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", None),
        ("#a", None),
        ("Slot", None),
        ("Slot?identifier=a", None),
        ("slot/1", None),
        ("https://other.example/slots/1", None),
        ("_history/1", None),
        ("", None),
        ("/", None),
    ],
)
def test_type_that_a_reference_names(text: str, expected: str | None) -> None:
    assert type_named(text) == expected


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_none(text: str) -> None:
    named = local(text, BASES)
    if named is not None:
        assert type_named(text) == named.key.type
    type_named(text)


def test_references_are_found_wherever_they_stand() -> None:
    slot = {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/1"},
        "extension": [{"url": "a", "valueReference": {"reference": "HealthcareService/1"}}],
        "_comment": {"extension": [{"url": "a", "valueReference": {"reference": "Basic/1"}}]},
        "contained": [{"resourceType": "Schedule", "actor": [{"reference": "#a"}, {"display": "b"}, {"reference": 1}]}],
    }
    found = {reference["reference"] for reference in references(slot)}
    assert found == {"Schedule/1", "HealthcareService/1", "Basic/1", "#a"}


def test_key_is_written_as_a_relative_reference() -> None:
    assert str(Key("Slot", "1")) == "Slot/1"
