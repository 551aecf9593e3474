"""The platform's query strings, as they are understood and repeated."""

from __future__ import annotations

import pytest

from fhir_server.france.aliases import spelling
from fhir_server.france.sas.asked import check, in_paris_time, slots_of_agendas, spoken
from fhir_server.outcome import BadRequest

IDNPS = "urn:oid:1.2.250.1.71.4.2.1"
WHO = "schedule.actor:Practitioner.identifier"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("status=free", "status=free"),
        (f"{WHO}={IDNPS}%7C899700990015%2C{IDNPS}|8", f"{WHO}={IDNPS}|899700990015,{IDNPS}|8"),
        ("start=ge2026-01-05T08:00:00.000%2B01:00", "start=ge2026-01-05T08:00:00.000%2B01:00"),
        ("start=ge2026-01-05T08:00:00.000%2b01%3A00", "start=ge2026-01-05T08:00:00.000%2b01:00"),
        ("start=ge2026-01-05T08:00:00.000+01:00", "start=ge2026-01-05T08:00:00.000+01:00"),
        ("comment=a%26b%3Dc%25d%20e%23", "comment=a%26b%3Dc%25d%20e%23"),
        ("comment=%C3%A9%00", "comment=%C3%A9%00"),
    ],
)
def test_row_4_self_link_repeats_the_decoded_query(query: str, told: str) -> None:
    assert spoken(query) == told


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("ge2026-01-05T08:00:00.000+00:00", "ge2026-01-05T08:00:00.000"),
        ("le2026-01-05T08:00:00 00:00", "le2026-01-05T08:00:00"),
        ("2026-01-05T08:00+00:00", "2026-01-05T08:00"),
        ("ge2026-01-05T08:00:00.000+01:00", "ge2026-01-05T08:00:00.000+01:00"),
        ("ge2026-01-05T08:00:00Z", "ge2026-01-05T08:00:00Z"),
        ("ge2026-01-05", "ge2026-01-05"),
    ],
)
def test_row_5_local_time_takes_a_zero_offset_off(value: str, read: str) -> None:
    assert in_paris_time([("start", value)]) == [("start", read)]


@pytest.mark.parametrize(
    "value",
    [
        f"{IDNPS}|899700990015",
        f"{IDNPS}|99700990015",
        f"{IDNPS}|3456780581/11242343",
        "https://rpps.esante.gouv.fr|99700990015",
        "https://example.org/local|12",
        "12",
        "urn:oid:1.2.250.1.213.3.6|no-uuid",
    ],
)
def test_identifier_that_can_be_one_is_asked(value: str) -> None:
    check([(WHO, value), ("status", "free")], most=1, spelled=spelling())


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        (f"{IDNPS}|12", "sas-identifier-form"),
        ("http://rpps.esante.gouv.fr|12", "sas-identifier-form"),
        (f"{IDNPS}|899700990015,{IDNPS}|8997", "sas-identifier-form"),
        ("urn:oid:1.2.250.1.71.4.2.2|3999", "sas-identifier-form"),
        (f"{IDNPS}|", "sas-identifier-form"),
        (f"{IDNPS}|899700990015,https://example.org/local|", "sas-identifier-form"),
        (",".join(f"{IDNPS}|8997009900{n}" for n in range(10, 13)), "sas-identifiers"),
    ],
)
def test_identifiers_that_cannot_be_or_are_too_many_are_refused(value: str, id_: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check([(WHO, value)], most=2, spelled=spelling())
    assert [issue.id for issue in refused.value.issues] == [id_]
    assert "8997" not in str([issue.diagnostics for issue in refused.value.issues])


def test_search_for_agendas_without_their_slots_is_an_ordinary_one() -> None:
    assert slots_of_agendas([("actor", "Location/1"), ("_revinclude", "Slot:schedule")]) is None


def test_row_2_search_for_agendas_becomes_one_for_their_slots() -> None:
    found = slots_of_agendas(
        [
            ("_revinclude", "Slot:schedule"),
            ("_include", "Schedule:actor:Location"),
            ("_include:iterate", "Location:organization"),
            ("_has:Slot:schedule:start", "ge2026-01-05"),
            ("_has:Slot:schedule:status", "free"),
            ("actor:Location.organization.identifier", "a|b"),
            ("_count", "1000"),
        ]
    )
    assert found is not None
    assert found.is_with_slots
    assert found.pairs == (
        ("_include", "Slot:schedule"),
        ("_include:iterate", "Schedule:actor:Location"),
        ("_include:iterate", "Location:organization"),
        ("start", "ge2026-01-05"),
        ("status", "free"),
        ("schedule:Schedule.actor:Location.organization.identifier", "a|b"),
        ("_count", "1000"),
    )


@pytest.mark.parametrize("name", ["_sort", "_has:Appointment:x:y", "_revinclude", "_elements"])
def test_what_cannot_stand_beside_criteria_of_slots_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="cannot stand beside"):
        slots_of_agendas([("_has:Slot:schedule:status", "free"), (name, "start")])
