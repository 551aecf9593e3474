"""The slots of the demonstration: as the SAS reads them, at Paris time, never written twice."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import date, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_server.france.demo import DEMO_TAG, agenda_bundles, agenda_marker
from tests.definitions.test_profile_examples import told

Json = dict[str, Any]

PARIS = ZoneInfo("Europe/Paris")
PLAIN = "http://sas.fr/fhir/StructureDefinition/FrSlotAgregateur"
CPTS = "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/sas-cpts-slot-aggregator"
SOS = "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/sas-sos-slot-aggregator"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0[12]:00")


def slots_of(day: date) -> list[Json]:
    (bundle,) = agenda_bundles([day], PARIS)
    return [entry["resource"] for entry in bundle["entry"]]


def published(slots: list[Json]) -> list[Json]:
    """The slots that the SAS platform may read."""
    return [slot for slot in slots if "profile" in slot["meta"]]


def audience(slot: Json) -> set[str]:
    return {label["code"] for label in slot["meta"]["security"]}


def references_to_cpts(slot: Json) -> list[str]:
    return [
        extension["valueReference"]["reference"]
        for concept in slot["serviceType"]
        for extension in concept.get("extension", [])
    ]


def test_every_slot_is_valid_and_tagged(slots: list[Json]) -> None:
    for slot in slots:
        get_fhir_model_class("Slot").model_validate(slot)
        assert slot["meta"]["tag"] == [DEMO_TAG]


def test_every_bundle_is_a_valid_transaction(week: list[Json]) -> None:
    for bundle in week:
        get_fhir_model_class("Bundle").model_validate(bundle)
        assert bundle["type"] == "transaction"


def test_a_week_is_small_enough_to_load_at_start(slots: list[Json]) -> None:
    assert 1000 < len(slots) <= 3000


def test_every_slot_belongs_to_an_agenda_of_the_roster(roster: list[Json], slots: list[Json]) -> None:
    schedules = {f"Schedule/{row['id']}" for row in roster if row["resourceType"] == "Schedule"}
    assert {slot["schedule"]["reference"] for slot in slots} == schedules


def test_every_entry_is_created_once(week: list[Json]) -> None:
    conditions = []
    for entry in (entry for bundle in week for entry in bundle["entry"]):
        request, identifier = entry["request"], entry["resource"]["identifier"][0]
        assert (request["method"], request["url"]) == ("POST", "Slot")
        assert "id" not in entry["resource"]
        assert parse_qs(request["ifNoneExist"]) == {"identifier": [f"{identifier['system']}|{identifier['value']}"]}
        conditions.append(request["ifNoneExist"])
    assert not [condition for condition, count in Counter(conditions).items() if count > 1]


def test_identifier_names_agenda_and_start(slots: list[Json]) -> None:
    for slot in slots:
        schedule = slot["schedule"]["reference"].removeprefix("Schedule/")
        start = datetime.fromisoformat(slot["start"])
        assert slot["identifier"][0]["value"] == f"{schedule}-{start:%Y%m%d-%H%M}"


def test_the_same_day_gives_the_same_slots() -> None:
    assert slots_of(date(2026, 11, 24)) == slots_of(date(2026, 11, 24))


@pytest.mark.parametrize("rank", range(7))
def test_marker_is_the_first_slot_of_its_day(week: list[Json], rank: int) -> None:
    day = date(2026, 11, 23 + rank)
    assert agenda_marker(day) == "Slot?" + week[rank]["entry"][0]["request"]["ifNoneExist"]


def test_slots_of_a_person_never_overlap(slots: list[Json]) -> None:
    taken: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for slot in slots:
        person = re.sub(r"-lieu-\d+$", "", slot["schedule"]["reference"])
        taken[person].append((slot["start"], slot["end"]))
    for spans in taken.values():
        spans.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_instants_have_milliseconds_and_an_offset(slots: list[Json]) -> None:
    for slot in slots:
        assert INSTANT.fullmatch(slot["start"])
        assert INSTANT.fullmatch(slot["end"])
        assert slot["start"] < slot["end"]


@pytest.mark.parametrize(
    ("day", "offset"),
    [
        (date(2026, 10, 24), "+02:00"),
        (date(2026, 10, 25), "+01:00"),
        (date(2027, 3, 27), "+01:00"),
        (date(2027, 3, 28), "+02:00"),
    ],
)
def test_opening_hours_stay_on_the_wall_clock_when_the_offset_changes(day: date, offset: str) -> None:
    slots = slots_of(day)
    assert slots
    assert {slot["start"][-6:] for slot in slots} == {offset}
    hours = "09:00" if day.weekday() == 5 else "10:00"
    assert min(slot["start"][11:16] for slot in slots) == hours


def test_most_slots_are_free_and_only_those_are_published(slots: list[Json]) -> None:
    free = [slot for slot in slots if slot["status"] == "free"]
    assert 0.7 < len(free) / len(slots) < 0.9
    assert all(slot["status"] == "free" for slot in published(slots))
    for slot in slots:
        if slot["status"] == "busy":
            assert "security" not in slot["meta"]


def test_published_slots_have_one_profile_that_fits_their_audience(slots: list[Json]) -> None:
    for slot in published(slots):
        is_sos = slot["schedule"]["reference"].startswith("Schedule/sos-")
        assert slot["meta"]["profile"] == [SOS if is_sos else CPTS if "CPTS" in audience(slot) else PLAIN]
        assert audience(slot) <= ({"PUBLIC", "SNP"} if is_sos else {"PUBLIC", "PRO", "SNP", "CPTS"})
        assert bool(references_to_cpts(slot)) == ("CPTS" in audience(slot))


def test_published_slots_say_what_the_platform_reads(slots: list[Json]) -> None:
    for slot in published(slots):
        modes = {coding["code"] for concept in slot["serviceType"] for coding in concept.get("coding", [])}
        assert modes & {"AMB", "HH", "VR"}
        assert slot["appointmentType"]["coding"][0]["code"] in ("ROUTINE", "WALKIN")
        assert slot["comment"].startswith("https://agenda.example.org/")
        assert all(coding["code"] for concept in slot.get("specialty", []) for coding in concept["coding"])


def test_cpts_visibility_refers_to_the_service_of_unscheduled_care(roster: list[Json], slots: list[Json]) -> None:
    services = {f"HealthcareService/{row['id']}" for row in roster if row["resourceType"] == "HealthcareService"}
    seen = {reference for slot in published(slots) for reference in references_to_cpts(slot)}
    assert seen == {"HealthcareService/avenir-sante-snp", "HealthcareService/capacites-besancon-snp"}
    assert seen <= services


def test_one_agenda_is_seen_by_two_cpts(slots: list[Json]) -> None:
    shared = {slot["schedule"]["reference"] for slot in published(slots) if len(references_to_cpts(slot)) == 2}
    assert shared == {"Schedule/capacites-besancon-generaliste-02-lieu-1"}


def test_every_audience_and_mode_is_there(slots: list[Json]) -> None:
    audiences = {tuple(sorted(audience(slot))) for slot in published(slots)}
    assert audiences == {("PUBLIC",), ("PRO",), ("SNP",), ("CPTS", "SNP"), ("PUBLIC", "SNP")}
    codes = {
        coding["code"] for slot in slots for concept in slot["serviceType"] for coding in concept.get("coding", [])
    }
    assert codes == {"AMB", "HH", "VR", "604"}


def test_sessions_are_not_published_to_the_sas(slots: list[Json]) -> None:
    sessions = [slot for slot in slots if "-seance-" in slot["schedule"]["reference"]]
    assert len(sessions) == 2
    assert not published(sessions)


def test_slots_conform_to_our_profile_which_they_leave_to_that_of_the_sas_to_claim(slots: list[Json]) -> None:
    kinds = {(slot["status"], len(slot["serviceType"]), "specialty" in slot): slot for slot in slots}
    for slot in kinds.values():
        assert [issue for issue in told("cpts-slot", slot) if issue[0] == "error"] == []


def test_sos_is_open_every_day_at_each_place(slots: list[Json]) -> None:
    free = {(slot["schedule"]["reference"], slot["start"][:10]) for slot in published(slots)}
    sos = {agenda for agenda, _ in free if agenda.startswith("Schedule/sos-")}
    assert len(sos) == 2
    assert len([agenda for agenda, _ in free if agenda in sos]) == 14
