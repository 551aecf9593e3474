"""The mistakes, and the malice, that a search must survive: each is refused by name, none is guessed at."""

from __future__ import annotations

import pytest

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.registry import Registry
from fhir_server.outcome import BadRequest, IssueType
from fhir_server.search.criteria import Kind
from fhir_server.search.query import Equal
from tests.search.asking import BASE, Ask


def test_ten_thousand_values_are_refused(ask: Ask) -> None:
    (issue,) = ask.refused("Practitioner", "identifier=" + ",".join(map(str, range(10_000))))
    assert issue.code is IssueType.TOO_COSTLY
    assert "10000 values; the bound is 1000" in issue.diagnostics


def test_a_thousand_parameters_are_refused(ask: Ask) -> None:
    (issue,) = ask.refused("Practitioner", "&".join(f"identifier={number}" for number in range(1_000)))
    assert issue.code is IssueType.TOO_COSTLY
    assert "1000 parameters; the bound is 200" in issue.diagnostics


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("schedule.nothing=x", '"nothing" is not'),
        ("schedule.actor.nothing=x", '"nothing" is not'),
        ("schedule.=x", '"" is not'),
        ("status.code=x", "it is a token, not a reference"),
        ("schedule:Patient.name=x", '"Patient" is not a served target of schedule'),
        ("nothing.name=x", '"nothing" is not'),
    ],
)
def test_chain_to_nowhere_is_refused(ask: Ask, query: str, told: str) -> None:
    (issue,) = ask.refused("Slot", query)
    assert told in issue.diagnostics


@pytest.mark.parametrize(
    ("type_", "query", "told"),
    [
        (
            "Organization",
            "partof=Practitioner/o1",
            '"Practitioner" is not a target of partof here. Valid: Organization',
        ),
        ("Organization", "partof=Organisation/o1", 'did you mean "Organization"?'),
        ("Organization", "partof=Organization/o1,Location/o1", '"Location" is not a target of partof'),
        ("Organization", "partof=Location/o1/_history/2", '"Location" is not a target of partof'),
        ("Organization", f"partof={BASE}/Location/o1", '"Location" is not a target of partof'),
        ("Organization", "partof=https://other.example/fhir/Location/o1/_history/2", '"Location" is not a target of'),
        ("Appointment", "location=Practitionner/x", '"Practitionner" is not a target of location here'),
        ("Appointment", "supporting-info=Nothing/x", '"Nothing" is not a target of supporting-info'),
        ("Schedule", "actor:Practitioner=Location/x", '"Location" is not a target of actor:Practitioner'),
        (
            "Slot",
            "schedule.actor:PractitionerRole.organization=Location/x",
            '"Location" is not a target of organization',
        ),
        ("Practitioner", "_has:Schedule:actor:actor=Slot/x", '"Slot" is not a target of actor'),
    ],
)
def test_reference_to_a_type_that_the_parameter_does_not_lead_to_is_refused(
    ask: Ask, type_: str, query: str, told: str
) -> None:
    (issue,) = ask.refused(type_, query)
    assert issue.expression == (f"http.{query.partition('=')[0]}",)
    assert told in issue.diagnostics
    with pytest.raises(BadRequest):
        ask.request(type_, query, strict=False)


def test_selection_from_references_finds_none_of_another_type(ask: Ask) -> None:
    assert ask.query("Appointment", "patient=Practitioner/p1").where == Equal("patient", ("Practitioner/p1",))


def test_reference_in_an_extension_of_any_type_is_to_a_target_too(registry: Registry) -> None:
    extension = "Slot.serviceType.extension.where(url='https://example.org/extension').value"
    targets = frozenset(("HealthcareService",))
    service = SearchParameter("service", Kind.REFERENCE, "Slot", extension, "https://example.org/service", targets)
    ask = Ask(registry.with_parameters([service], 0))
    assert ask.query("Slot", "service=HealthcareService/x")
    (issue,) = ask.refused("Slot", "service=Practitioner/x")
    assert '"Practitioner" is not a target of service' in issue.diagnostics


@pytest.mark.parametrize(
    ("type_", "query"),
    [
        ("Organization", "partof=o1"),
        ("Organization", "partof=urn:uuid:11111111-1111-4111-8111-111111111111"),
        ("Organization", "partof=https://other.example/Pages/o1"),
        ("Organization", "partof=https://other.example/o1"),
        ("Appointment", "supporting-info=Binary/x"),
        ("CodeSystem", "supplements=http://example.org/ValueSet/x"),
    ],
)
def test_reference_that_names_no_type_or_one_of_any_is_a_value(ask: Ask, type_: str, query: str) -> None:
    assert ask.query(type_, query)


@pytest.mark.parametrize(
    ("type_", "query"),
    [
        ("Practitioner", "_id=Practitioner/p1"),
        ("Practitioner", "_id:not=p1,urn:uuid:11111111-1111-4111-8111-111111111111"),
        ("Practitioner", "_id=https://other.example/p|p1"),
        ("Practitioner", "_id=https://other.example/p|"),
        ("Slot", "schedule._id=Schedule/s1"),
        ("Slot", "schedule=#s1"),
        ("Slot", "schedule=s 1"),
        ("Slot", f"schedule:Schedule={'s' * 65}"),
    ],
)
def test_id_that_no_resource_can_have_is_refused(ask: Ask, type_: str, query: str) -> None:
    (issue,) = ask.refused(type_, query)
    assert issue.id == "search-value"
    assert "A-Z a-z 0-9 - ." in issue.diagnostics


@pytest.mark.parametrize("near", ["near=47|6,48|2", "near=47|6&near=47|6.1|5|km"])
def test_sort_by_the_distance_from_several_places_is_refused(ask: Ask, near: str) -> None:
    assert ask.query("Location", near)
    (issue,) = ask.refused("Location", f"{near}&_sort=near")
    assert issue.expression == ("http._sort",)
    assert "one place" in issue.diagnostics
    assert ask.query("Location", "near=47|6|5|km,47|6|1|mi&_sort=-near")


def test_chain_of_thirty_levels_is_refused(ask: Ask) -> None:
    (issue,) = ask.refused("Organization", "partof." * 30 + "name=x")
    assert "the bound is 10" in issue.diagnostics


@pytest.mark.parametrize(
    "query",
    [
        "_has:Schedule:actor:" + "actor:Practitioner._has:Schedule:actor:" * 20 + "_id=x",
        "_has:PractitionerRole:practitioner:organization." + "partof." * 20 + "name=x",
        "&".join(["_has:Schedule:actor:_has:Slot:schedule:status=free"] * 201),
        "&".join(["_has:Task:owner:" + "based-on." * 3 + "_id=x"] * 100),
    ],
    ids=["deep", "deep inside", "many", "open types"],
)
def test_has_bomb_is_refused(ask: Ask, query: str) -> None:
    assert ask.refused("Practitioner", query)[0].code is IssueType.TOO_COSTLY


@pytest.mark.parametrize("query", ["_has=1", "_has:=1", "_has:Slot=1", "_has:Slot:schedule=1", "_has.x=1"])
def test_has_that_is_not_complete_is_told_how_it_is_written(ask: Ask, query: str) -> None:
    (issue,) = ask.refused("Schedule", query)
    assert "_has is written _has:Type:reference:parameter=value" in issue.diagnostics


@pytest.mark.parametrize("query", ["status=", "status", "status=free,", "status=,free", "start=ge", "schedule="])
def test_empty_value_is_refused(ask: Ask, query: str) -> None:
    assert ask.refused("Slot", query)


@pytest.mark.parametrize("name", ["status:", ":not", ":", "status:nothing", "start:exact", "schedule:slot", "_id:text"])
def test_modifier_alone_or_out_of_place_is_refused(ask: Ask, name: str) -> None:
    assert ask.refused("Slot", f"{name}=free")


@pytest.mark.parametrize("value", ["xx2026", "GE2026", "after2026", ">2026", "gege2026", "ge 2026", "ge-2026"])
def test_bad_prefix_is_refused(ask: Ask, value: str) -> None:
    (issue,) = ask.refused("Slot", f"start={value}")
    assert issue.id == "search-value"


@pytest.mark.parametrize("value", ["0000", "0000-01-01", "10000-01-01", "99999", "2026-02-30", "2026-13", "2026-1-1"])
def test_date_that_no_calendar_has_is_refused(ask: Ask, value: str) -> None:
    assert ask.refused("Slot", f"start={value}")


@pytest.mark.parametrize("value", ["0001", "0001-01-01", "9999", "9999-12-31", "ap9999", "le0001-01-01T00:00:00Z"])
def test_first_and_last_year_are_dates(ask: Ask, value: str) -> None:
    assert ask.query("Slot", f"start={value}")


@pytest.mark.parametrize("value", ["1e400", "-1e400", "1e-400", "1e999999999", "NaN", "Infinity", "0x10", "1_000", "١"])
def test_number_beyond_all_measure_is_refused(wide: Ask, value: str) -> None:
    assert wide.refused("RiskAssessment", f"probability={value}")
    assert wide.refused("Observation", f"value-quantity={value}|http://unitsofmeasure.org|kg")


@pytest.mark.parametrize("value", ["a\x00b", "a\ud800", "\udfff", "a\x1fb", "a\x1eb"])
def test_nul_and_half_a_surrogate_pair_are_refused(ask: Ask, value: str) -> None:
    (issue,) = ask.refused("Practitioner", f"identifier={value}")
    assert "control character or half a surrogate pair" in issue.diagnostics
