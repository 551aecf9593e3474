"""Requests: what is understood, what is refused and how. https://hl7.org/fhir/R4/search.html#errors"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.definitions.registry import Registry
from fhir_server.outcome import BadRequest, IssueType
from fhir_server.search.criteria import HARMLESS, Criterion, Include, SearchLimits
from fhir_server.search.request import parse_search
from tests.search.asking import Ask, pairs

CASES = json.loads((Path(__file__).parent / "cases" / "refusals.json").read_text())
ROWS = [row for section in CASES.values() for row in section]


@pytest.mark.parametrize(("type_", "query", "id_", "told"), ROWS, ids=[f"{row[0]}?{row[1]}" for row in ROWS])
def test_search_is_refused_by_name(ask: Ask, type_: str, query: str, id_: str, told: str) -> None:
    (issue,) = ask.refused(type_, query)
    assert issue.id == id_
    assert told in issue.diagnostics
    assert issue.expression[0].startswith("http.")
    assert issue.expression[0].removeprefix("http.") in query


def test_all_problems_are_told_at_once(ask: Ask) -> None:
    issues = ask.refused("Slot", "statuz=free&start=x&status=bogus&_count=-1&_include=Slot:x&status:above=y")
    assert [issue.expression for issue in issues] == [
        ("http.statuz",),
        ("http.start",),
        ("http.status",),
        ("http._count",),
        ("http._include",),
        ("http.status:above",),
    ]


def test_lenient_handling_leaves_an_order_out_as_a_whole(ask: Ask) -> None:
    request = ask.request("Slot", "_sort=start,nosuch&_sort=end", strict=False)
    assert [sort.parameter.code for sort in request.sort] == ["end"]
    assert request.understood == (("_sort", "end"),), "the next page is ordered by what the links say"


def test_lenient_handling_leaves_unknown_parameters_out_and_says_so(ask: Ask) -> None:
    request = ask.request("Slot", "nosuch=1&status=free&_sort=nosuch&schedule.nosuch=1&_filter=x", strict=False)
    assert [issue.expression for issue in request.ignored] == [
        ("http.nosuch",),
        ("http._sort",),
        ("http.schedule.nosuch",),
        ("http._filter",),
    ]
    assert request.understood == (("status", "free"),)
    assert len(request.criteria) == 1


@pytest.mark.parametrize("query", ["status:above=x", "start=x", "status=bogus", "_count=-1", "status="])
def test_lenient_handling_still_refuses_wrong_modifiers_and_values(registry: Registry, query: str) -> None:
    with pytest.raises(BadRequest):
        parse_search(registry, ("Slot",), pairs(query), strict=False)


def test_code_outside_a_required_binding_may_be_let_through(ask: Ask) -> None:
    request = ask.request("Slot", "status=bogus", refuse_unknown_codes=False)
    assert isinstance(request.criteria[0], Criterion)
    assert [issue.id for issue in request.ignored] == ["search-code"]


@pytest.mark.parametrize(
    "token", ["http://example.org/other|free", "http://example.org/other|", "free,http://a.org|busy"]
)
def test_code_of_a_system_outside_a_required_binding_is_told(ask: Ask, token: str) -> None:
    request = ask.request("Slot", f"status={token}", refuse_unknown_codes=False)
    assert [issue.id for issue in request.ignored] == ["search-code"]
    with pytest.raises(BadRequest) as caught:
        ask.request("Slot", f"status={token}")
    assert "http://hl7.org/fhir/slotstatus" in (caught.value.issues[0].diagnostics or "")


@pytest.mark.parametrize(
    "token", ["http://hl7.org/fhir/slotstatus|free", "http://hl7.org/fhir/slotstatus|", "|free", "free"]
)
def test_code_within_a_required_binding_is_taken_with_its_system_or_without(ask: Ask, token: str) -> None:
    assert not ask.request("Slot", f"status={token}").ignored


def test_code_of_one_target_type_need_not_be_one_of_another(ask: Ask) -> None:
    query = "based-on.status=ready"
    assert not ask.request("Task", query).ignored
    assert not ask.request("Task", query, refuse_unknown_codes=False).ignored
    assert ask.request("Task", "based-on.status=bogus", refuse_unknown_codes=False).ignored


def test_result_parameters_are_read(ask: Ask) -> None:
    request = ask.request(
        "Slot",
        "_count=20&_sort=-start,_id&_total=accurate&_summary=data&_elements=start,end&_format=json&_pretty=true"
        "&_include=Slot:schedule&_include:iterate=Schedule:actor:Practitioner&_revinclude=Appointment:slot"
        "&_include=*&_include=Slot:*&_include:recurse=Organization:partof",
    )
    assert request.count == 20
    assert [(sort.parameter.code, sort.is_descending) for sort in request.sort] == [("start", True), ("_id", False)]
    assert (request.total, request.summary, request.elements) == ("accurate", "data", ("start", "end"))
    assert request.includes == (
        Include("Slot", "schedule", None, False),
        Include("Schedule", "actor", "Practitioner", True),
        Include(None, None, None, False),
        Include("Slot", None, None, False),
        Include("Organization", "partof", None, True),
    )
    assert request.revincludes == (Include("Appointment", "slot", None, False),)


def test_self_link_says_what_took_effect_in_order(ask: Ask) -> None:
    query = "status=free&_count=5&start=ge2031&start=le2032&_totalMethod=count&_format=json"
    assert ask.request("Slot", query).understood == (
        ("status", "free"),
        ("_count", "5"),
        ("start", "ge2031"),
        ("start", "le2032"),
        ("_format", "json"),
    )


@pytest.mark.parametrize(
    ("name", "value", "understood"),
    [
        ("start", "ge2031-05-14T08:00:00.000 02:00", "ge2031-05-14T08:00:00.000+02:00"),
        ("start", "ge2031-05-14T08:00 02:00,lt2030", "ge2031-05-14T08:00+02:00,lt2030"),
        ("_lastUpdated", "2031-05-14T08:00:00 02:00", "2031-05-14T08:00:00+02:00"),
        ("_has:Appointment:slot:date", "2031-05-14T08:00:00 02:00", "2031-05-14T08:00:00+02:00"),
        ("schedule.date", "2031-05-14T08:00:00 02:00", "2031-05-14T08:00:00+02:00"),
        ("service-type:text", "T08:00 02:00", "T08:00 02:00"),
    ],
)
def test_self_link_says_a_plus_that_came_as_a_blank(ask: Ask, name: str, value: str, understood: str) -> None:
    request = ask.request("Slot", f"{name}={value}")
    assert request.understood == ((name, understood),)
    assert ask.request("Slot", f"{name}={understood}").criteria == request.criteria


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_parameter_of_other_servers_has_no_effect(ask: Ask, name: str) -> None:
    request = ask.request("Slot", f"{name}=1")
    assert request == ask.request("Slot", "")


def test_count_is_as_it_was_asked(ask: Ask) -> None:
    """What a page may hold is a setting, and no business of the search's."""
    assert ask.request("Slot", "_count=0").count == 0
    assert ask.request("Slot", "_count=999999999").count == 999_999_999


def test_several_types_share_parameters_and_take_type(ask: Ask) -> None:
    types = ("Location", "Practitioner", "Slot")
    assert ask.request(types, "_type=Slot,Practitioner&_tag=x").types == ("Slot", "Practitioner")
    assert ask.request(types, "_type=Location,Practitioner&identifier=x").types == ("Location", "Practitioner")
    (issue,) = ask.refused(types, "family=x")
    assert "common to these types" in issue.diagnostics
    (issue,) = ask.refused(types, "_type=Patient")
    assert "Practitioner" in issue.diagnostics


def test_element_of_a_choice_is_asked_for_by_either_name(ask: Ask) -> None:
    assert ask.request("Patient", "_elements=deceasedBoolean,deceased").elements == ("deceased",)


BOUNDS = [
    ("parameters", "Slot", "&".join(["status=free"] * 4), SearchLimits(parameters=3)),
    ("values", "Slot", "status=" + ",".join(["free"] * 4), SearchLimits(values=3)),
    ("values", "Slot", "_sort=" + ",".join(["start"] * 4), SearchLimits(values=3)),
    ("characters", "Slot", "identifier=" + "x" * 11, SearchLimits(value_length=10)),
    ("links", "Organization", "partof." * 31 + "name=x", SearchLimits()),
    ("links", "Organization", "_has:Organization:partof:" * 31 + "name=x", SearchLimits()),
    ("conditions on target types", "Task", "based-on." * 9 + "status=ready", SearchLimits()),
    ("_include and _revinclude", "Slot", "&".join(["_include=*"] * 3), SearchLimits(includes=2)),
    ("keys of _sort", "Slot", "_sort=start,start,start", SearchLimits(sorts=2)),
]


@pytest.mark.parametrize(("told", "type_", "query", "limits"), BOUNDS)
def test_passed_bound_is_an_error_that_names_it(
    ask: Ask, told: str, type_: str, query: str, limits: SearchLimits
) -> None:
    issue = ask.refused(type_, query, limits)[0]
    assert issue.code is IssueType.TOO_COSTLY
    assert told in issue.diagnostics
    assert "bound is" in issue.diagnostics


@pytest.mark.parametrize("value", ["a\x00b", "a\ud800", "a\x1fb", "a\x1eb"])
def test_control_characters_and_surrogates_are_refused(registry: Registry, value: str) -> None:
    with pytest.raises(BadRequest):
        parse_search(registry, ("Practitioner",), [("identifier", value)])


NAMES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"(_has:|_include:|_sort|status|schedule|start|_count|actor)[:.a-zA-Z_]{0,30}", fullmatch=True),
)


@given(given_pairs=st.lists(st.tuples(NAMES, st.text(max_size=40)), max_size=4), strict=st.booleans())
def test_any_parameters_are_read_or_refused(
    registry: Registry, given_pairs: list[tuple[str, str]], strict: bool
) -> None:
    try:
        parse_search(registry, ("Slot",), given_pairs, strict=strict)
    except BadRequest as error:
        assert error.issues
        assert all(issue.diagnostics and issue.expression for issue in error.issues)
