"""Answers to searches: a good one passes every rule, and each way of spoiling it breaks its rule alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest

from fhir_server.definitions.structures import Structures
from fhir_server.france import vocabulary
from fhir_server.france.sas import profiles
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.checking.answer import Answer, check_seconds
from fhir_server.france.sas.checking.asked import INT_R01, SOS, Search
from fhir_server.france.sas.checking.contents import check_contents
from fhir_server.france.sas.checking.page import check_empty, check_envelope, page_of
from fhir_server.france.sas.checking.resources import check_resource
from fhir_server.france.sas.checking.rules import rules
from fhir_server.france.sas.checking.verdict import Verdict
from fhir_server.outcome import Issue
from fhir_server.validation.validator import Validator
from tests.france.sas.checking.pages import BASE, Json, answer, search, searchset, slots_page, sos_page


@cache
def validator() -> Validator:
    return Validator(Structures.load(), second_opinion=False)


def validate(resource: Any) -> list[Issue]:
    return validator().validate(resource)


def verdicts(got: Answer, asked: Search, version: Version = Version.V1_2) -> list[Verdict]:
    found = list(check_envelope(got, asked, BASE))
    page = page_of(got, asked)
    if page is not None:
        found += check_contents(page)
        for one in page.resources:
            found += check_resource(one, asked.flow, version, validate)
    return found


def broken(found: Iterable[Verdict]) -> set[str]:
    return {verdict.rule for verdict in found if not verdict.holds}


def named(page: Json, name: str) -> Json:
    """Return the resource ``Type/id`` of a page."""
    type_, _, id_ = name.partition("/")
    found: Json = next(
        one["resource"]
        for one in page["entry"]
        if (one["resource"]["resourceType"], one["resource"]["id"]) == (type_, id_)
    )
    return found


def without(page: Json, name: str) -> None:
    lost = named(page, name)
    page["entry"] = [one for one in page["entry"] if one["resource"] is not lost]


def test_good_answers_break_no_rule_and_show_most() -> None:
    found = [*verdicts(answer(slots_page()), search()), *verdicts(answer(sos_page()), search(SOS))]
    assert [verdict for verdict in found if not verdict.holds] == []
    found += [*check_seconds(answer({}), is_for_one=True), *check_empty(answer(searchset(search())), search())]
    elsewhere = {"https", "client-certificate", "read", "only-the-sas", "cpts-unasked", "empty-profile", "empty-answer"}
    spelled = {"inverted-window", "bad-request", "bare-bar", "bare-plus", "no-offset", "zero-offset", "count"}
    spelled |= {"twenty-five", "accept"}
    seen = {verdict.rule for verdict in found} | elsewhere | spelled
    assert {one for one in rules() if not one.startswith(("account-", "metadata", "refusal"))} - seen == set()
    assert seen <= set(rules())


Spoil = Callable[[Json], object]


def spoil(name: str, /, **elements: Any) -> Spoil:
    """Return what sets elements of a resource; None takes one away."""

    def change(page: Json) -> None:
        target = named(page, name)
        for element, value in elements.items():
            if value is None:
                target.pop(element, None)
            else:
                target[element] = value

    return change


def meta(name: str, /, **elements: Any) -> Spoil:
    return lambda page: named(page, name)["meta"].update(elements)


def number(name: str, /, **elements: Any) -> Spoil:
    return lambda page: named(page, name)["identifier"][0].update(elements)


def coding(name: str, element: str, /, **parts: Any) -> Spoil:
    def change(page: Json) -> None:
        value = named(page, name)[element]
        (value[0] if isinstance(value, list) else value)["coding"][0].update(parts)

    return change


def one_entry(**elements: Any) -> Spoil:
    return lambda page: page["entry"][0].update(elements)


def place(page: Json) -> Json:
    found: Json = named(page, "PractitionerRole/one")["contained"][0]
    return found


OTHER = "http://example.org/StructureDefinition/x"
SHARED_ROLE = [{"reference": "Practitioner/alice"}, {"reference": "PractitionerRole/one"}]


def one_role_for_two(page: Json) -> None:
    spoil("Schedule/two", actor=SHARED_ROLE)(page)
    without(page, "PractitionerRole/two")


SPOILED: list[tuple[str, Spoil]] = [
    ("searchset", lambda page: page.update(type="collection")),
    ("total", lambda page: page.update(total=9)),
    ("total", lambda page: page.pop("total")),
    ("one-link", lambda page: page["link"].append({"relation": "next", "url": "x"})),
    ("self-link", lambda page: page["link"][0].update(url=page["link"][0]["url"] + "&_count=50")),
    ("self-link", lambda page: page["link"][0].update(url=page["link"][0]["url"].replace("%2B", "+"))),
    ("self-base", lambda page: page["link"][0].update(url=page["link"][0]["url"].replace("https", "http", 1))),
    ("full-url", one_entry(fullUrl="Slot/plain")),
    ("entry-mode", one_entry(search={"mode": "include"})),
    ("entry-mode", lambda page: page["entry"][0].pop("search")),
    ("once", lambda page: page["entry"].append(page["entry"][4])),
    ("slot-free", spoil("Slot/plain", status="busy")),
    ("slot-window", spoil("Slot/plain", start="2026-01-05T07:00:00.000+01:00")),
    ("slot-window", spoil("Slot/plain", start="2026-01-08T00:00:00.000+01:00", end="2026-01-08T01:00:00.000+01:00")),
    ("slot-practitioner", number("Practitioner/alice", value="899700990023")),
    ("includes-complete", lambda page: without(page, "Organization/cpts")),
    ("no-empty", spoil("Practitioner/alice", telecom=[])),
    ("no-empty", spoil("Slot/plain", comment="")),
    ("no-empty", spoil("Practitioner/alice", birthDate=None, gender=" ")),
    ("r4", spoil("Practitioner/alice", birthDate="5 mai")),
    ("r4", spoil("Schedule/one", nonsense=True)),
    ("sole-profile", meta("Slot/plain", profile=[profiles.PLAIN_SLOT, OTHER])),
    ("sole-profile", spoil("Schedule/one", meta=None)),
    ("flow-profile", meta("Slot/plain", profile=[profiles.CPTS_SLOT])),
    ("flow-profile", meta("Slot/shared", profile=[profiles.PLAIN_SLOT])),
    ("flow-profile", meta("Practitioner/alice", profile=[f"{profiles.PRACTITIONER}|1.1.0"])),
    ("telecom", spoil("Practitioner/alice", telecom=[{"system": "phone"}])),
    ("instants", spoil("Slot/plain", start="2026-01-05T09:00:00+01:00")),
    ("instants", spoil("Slot/plain", start="2026-01-05T08:00:00.000Z")),
    ("slot-labels", lambda page: named(page, "Slot/plain")["meta"].pop("security")),
    ("slot-labels", lambda page: named(page, "Slot/plain")["meta"]["security"][0].update(code="PRIVATE")),
    ("slot-mode", coding("Slot/plain", "serviceType", code="IMP")),
    ("slot-visibility", lambda page: named(page, "Slot/shared")["serviceType"][1]["coding"][0].update(code="603")),
    ("slot-booking", coding("Slot/plain", "appointmentType", code="CHECKUP")),
    ("slot-specialty", coding("Slot/plain", "specialty", system="http://example.org/x")),
    ("slot-link", spoil("Slot/plain", comment="téléphonez")),
    ("practitioner-number", number("Practitioner/alice", value="99700990015")),
    ("practitioner-number-type", number("Practitioner/alice", type={"text": "IDNPS"})),
    ("role-practitioner", spoil("PractitionerRole/one", practitioner=None)),
    ("role-place", spoil("PractitionerRole/one", location=[{"reference": "#lieu"}, {"reference": "Location/x"}])),
    ("role-place-profile", lambda page: place(page)["meta"].update(profile=[OTHER])),
    ("role-structure", spoil("PractitionerRole/one", organization={"reference": "Organization/cpts"})),
    ("address", lambda page: place(page)["address"].pop("postalCode")),
    ("address", lambda page: place(page)["address"].update(line=["1", "2"])),
    ("place-of-its-own", one_role_for_two),
    ("organization-finess", number("Organization/cpts", value="399999901400015")),
    ("organization-number-type", number("Organization/cpts", type={"text": "IDNST"})),
]


@pytest.mark.parametrize(("rule", "change"), SPOILED)
def test_spoiled_answer_breaks_its_rule_alone(rule: str, change: Spoil) -> None:
    page = slots_page()
    change(page)
    assert broken(verdicts(answer(page), search())) == {rule}


def agenda_elsewhere(page: Json) -> None:
    page["entry"].append({**page["entry"][0], "resource": {**named(page, "Schedule/sos"), "id": "empty"}})
    page["entry"][-1]["fullUrl"] = f"{BASE}/Schedule/empty"
    page["total"] = 2


SPOILED_SOS: list[tuple[str, Spoil]] = [
    ("agenda-without-slot", agenda_elsewhere),
    ("slot-free", spoil("Slot/fits", status="busy")),
    ("slot-window", spoil("Slot/fits", start="2026-01-05T07:00:00.000+01:00")),
    ("slot-labels", lambda page: named(page, "Slot/fits")["meta"]["security"][0].update(code="PRO")),
    (
        "schedule-place",
        spoil("Schedule/sos", actor=[{"reference": "Location/centre"}, {"display": "x", "reference": "Device/x"}]),
    ),
    ("includes-complete", lambda page: without(page, "Organization/sos")),
    ("flow-profile", meta("Slot/fits", profile=[profiles.PLAIN_SLOT])),
    ("location-name", spoil("Location/centre", name=None)),
    ("address", spoil("Location/centre", address=None)),
    ("location-number-type", number("Location/centre", type={"text": "x"})),
    ("organization-siret", number("Organization/sos", value="1259999068")),
    ("organization-number-type", number("Organization/sos", type={"text": "x"})),
]


@pytest.mark.parametrize(("rule", "change"), SPOILED_SOS)
def test_spoiled_answer_of_sos_breaks_its_rule_alone(rule: str, change: Spoil) -> None:
    page = sos_page()
    change(page)
    assert broken(verdicts(answer(page), search(SOS))) == {rule}


def test_place_without_its_structure_loses_what_rode_along() -> None:
    page = sos_page()
    spoil("Location/centre", managingOrganization=None)(page)
    assert broken(verdicts(answer(page), search(SOS))) == {"location-organization", "includes-no-other"}


def test_service_without_its_structure_loses_what_rode_along() -> None:
    page = slots_page()
    spoil("HealthcareService/snp", providedBy=None)(page)
    assert broken(verdicts(answer(page), search())) == {"service-provider", "includes-no-other"}


def test_agenda_with_the_professional_alone_loses_the_role() -> None:
    page = slots_page()
    spoil("Schedule/one", actor=[{"reference": "Practitioner/alice"}])(page)
    assert broken(verdicts(answer(page), search())) == {"schedule-actors", "includes-no-other"}


def test_cpts_in_an_answer_that_did_not_ask_for_them() -> None:
    asked = search(INT_R01)
    page = slots_page()
    page["link"] = searchset(asked)["link"]
    assert broken(verdicts(answer(page), asked)) == {"cpts-unasked"}
    for name in ("HealthcareService/snp", "Organization/cpts"):
        without(page, name)
    assert broken(verdicts(answer(page), asked)) == set()


def test_stranger_that_rides_along() -> None:
    page = slots_page()
    other = {**named(page, "Organization/cpts"), "id": "other"}
    page["entry"].append({"fullUrl": f"{BASE}/Organization/other", "resource": other, "search": {"mode": "include"}})
    assert broken(verdicts(answer(page), search())) == {"includes-no-other"}


def test_type_of_the_number_of_a_cpts_follows_the_version_of_the_guide() -> None:
    page = slots_page()
    assert broken(verdicts(answer(page), search(), Version.V1_1)) == {"organization-number-type"}
    codes = {"coding": [{"system": vocabulary.PLACE_IDENTIFIER_TYPES_OLD, "code": "IDNST"}]}
    number("Organization/cpts", type=codes)(page)
    assert broken(verdicts(answer(page), search(), Version.V1_1)) == set()


HEADERS = [
    ("content-type", "application/json"),
    ("charset", "application/fhir+json; charset=iso-8859-1"),
]


@pytest.mark.parametrize(("rule", "kind"), HEADERS)
def test_media_type_and_charset(rule: str, kind: str) -> None:
    assert broken(verdicts(answer(slots_page(), kind=kind), search())) == {rule}


def test_body_in_another_charset() -> None:
    got = Answer(200, {"content-type": "application/fhir+json"}, '{"é": 1}'.encode("latin-1"))
    assert broken(verdicts(got, search())) == {"charset", "searchset"}


def test_answer_that_is_none() -> None:
    for got in (answer({}, 500), answer({}, 404), Answer(0, {}, b"", 30.0, "no answer in 30 s")):
        assert broken(verdicts(got, search())) == {"search-answered"}


SHAPES: list[Any] = [
    [],
    "x",
    7,
    None,
    {},
    {"resourceType": ["Bundle"]},
    {"resourceType": "Bundle"},
    {"resourceType": "Bundle", "type": {}, "total": "1", "link": "self", "entry": {"resource": []}},
    {"resourceType": "Bundle", "type": "searchset", "total": True, "link": [[{}]], "entry": [None, 1, {"resource": 1}]},
    {"resourceType": "Bundle", "entry": [{"fullUrl": 1, "resource": {"resourceType": "Slot"}}]},
    {
        "resourceType": "Bundle",
        "entry": [{"resource": {"resourceType": "Slot", "meta": [], "schedule": "x", "id": {}}}],
    },
    {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Schedule", "actor": {"reference": ["x"]}}}]},
    {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Practitioner", "identifier": "8997"}}]},
    {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "PractitionerRole", "contained": [1, {}]}}]},
]


@pytest.mark.parametrize("body", SHAPES)
def test_whatever_comes_is_judged(body: Any) -> None:
    assert broken(verdicts(answer(body), search())) & {"searchset", "total"}


def test_seconds() -> None:
    assert broken(check_seconds(answer({}, seconds=0.9), is_for_one=True)) == set()
    assert broken(check_seconds(answer({}, seconds=1.2), is_for_one=True)) == {"seconds-for-one"}
    assert broken(check_seconds(answer({}, seconds=1.2), is_for_one=False)) == set()
    assert broken(check_seconds(answer({}, seconds=7.5), is_for_one=False)) == {"seconds"}


def test_empty_answer() -> None:
    empty = searchset(search())
    assert broken([*check_empty(answer(empty), search()), *verdicts(answer(empty), search())]) == set()
    assert broken(check_empty(answer({**empty, "entry": []}), search())) == {"empty-answer"}
    assert broken(check_empty(answer(empty, 404), search())) == {"empty-answer"}
    claimed = {**empty, "meta": {"profile": ["https://example.org/sas-cpts-bundle-aggregator"]}}
    assert broken(verdicts(answer(claimed), search())) == {"empty-profile"}


def test_nothing_told_names_anybody() -> None:
    page = slots_page()
    for change in (
        row[1] for row in SPOILED if row[0] in {"practitioner-number", "telecom", "address", "role-structure"}
    ):
        change(page)
    told = "".join(f"{verdict.where} {verdict.received}" for verdict in verdicts(answer(page), search()))
    assert not any(secret in told for secret in ("Fictive", "Alice", "99700990015", "0399990000", "Exemple"))
