"""The four requests that a start prints: each finds something in the demonstration."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fhir_server.france.demo import requests_worth_trying

Json = dict[str, Any]

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
BASE = "http://127.0.0.1:8080/fhir"
SAS = "http://127.0.0.1:8080/sas"
SOS = "http://127.0.0.1:8080/sas-sos"


def parameters(rank: int) -> dict[str, list[str]]:
    url = urlsplit(requests_worth_trying(BASE, SAS, SOS, NOW)[rank][1])
    return parse_qs(url.query, strict_parsing=True)


def test_four_urls_each_on_its_base_with_or_without_final_slash() -> None:
    requests = requests_worth_trying(BASE, SAS, SOS, NOW)
    assert len({title for title, _ in requests}) == 4
    assert [url.rpartition("/")[0] for url in (url.partition("?")[0] for _, url in requests)] == [SAS, SOS, BASE, BASE]
    assert not any(set(url) & set(" |+\"'") for _, url in requests)
    assert requests_worth_trying(f"{BASE}/", f"{SAS}/", f"{SOS}/", NOW) == requests


def test_sas_request_asks_48_hours_at_paris_time_with_both_include_levels() -> None:
    asked = parameters(0)
    assert asked["start"] == ["ge2026-11-23T08:30:00.000+01:00", "le2026-11-25T08:30:00.000+01:00"]
    assert asked["_include"] == ["Slot:schedule", "Slot:service-type-reference"]
    assert asked["_include:iterate"] == ["Schedule:actor", "HealthcareService:organization"]
    assert asked["status"] == ["free"]


def test_sas_request_names_practitioners_with_free_slots(roster: list[Json], slots: list[Json]) -> None:
    tokens = parameters(0)["schedule.actor:Practitioner.identifier"][0].split(",")
    people = {
        f"{identifier['system']}|{identifier['value']}": f"Practitioner/{person['id']}"
        for person in roster
        if person["resourceType"] == "Practitioner"
        for identifier in person.get("identifier", [])
    }
    actors = {
        f"Schedule/{row['id']}": row["actor"][0]["reference"] for row in roster if row["resourceType"] == "Schedule"
    }
    free = {actors[slot["schedule"]["reference"]] for slot in slots if slot["status"] == "free"}
    assert len(tokens) > 1
    assert {people[token] for token in tokens} <= free


def test_sos_request_names_the_structure_whose_places_have_free_slots(roster: list[Json], slots: list[Json]) -> None:
    asked = parameters(1)
    assert asked["_has:Slot:schedule:start"] == parameters(0)["start"]
    assert asked["_has:Slot:schedule:status"] == ["free"]
    by_reference = {f"{row['resourceType']}/{row['id']}": row for row in roster}
    wanted = asked["actor:Location.organization.identifier"]
    found = set()
    for schedule in (row for row in roster if row["resourceType"] == "Schedule"):
        actor = by_reference[schedule["actor"][0]["reference"]]
        if actor["resourceType"] == "Location":
            (number,) = by_reference[actor["managingOrganization"]["reference"]]["identifier"]
            assert wanted == [f"{number['system']}|{number['value']}"]
            found.add(f"Schedule/{schedule['id']}")
    assert found & {slot["schedule"]["reference"] for slot in slots if slot["status"] == "free"}


def test_members_request_finds_the_thirty(roster: list[Json]) -> None:
    asked = parameters(2)
    system, code = asked["role"][0].split("|")
    found = [
        role
        for role in roster
        if role["resourceType"] == "PractitionerRole"
        and role["organization"].get("reference") == asked["organization"][0]
        and {"coding": [{"system": system, "code": code}]} in role["code"]
    ]
    assert len(found) == 30


def test_covering_request_finds_one_service(roster: list[Json]) -> None:
    asked = parameters(3)
    areas = {
        f"Location/{row['id']}"
        for row in roster
        if row["resourceType"] == "Location" and row["name"].startswith(asked["coverage-area.name"][0])
    }
    system, code = asked["service-category"][0].split("|")
    found = [
        service["id"]
        for service in roster
        if service["resourceType"] == "HealthcareService"
        and {"coding": [{"system": system, "code": code}]} in service["category"]
        and areas & {area["reference"] for area in service["coverageArea"]}
    ]
    assert found == ["avenir-sante-snp"]
