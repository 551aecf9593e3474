"""Where the SAS guide, its kit and real servers contradict themselves: a test for each, by its number in our list.

Others of the list stand where their subject is: 3 in tests/france/sas/test_rendering.py, 37 and 38 in
tests/rest/test_regulators.py. Source: https://interop.esante.gouv.fr/ig/fhir/sas/, its questions and answers, its kit
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

import httpx
import pytest

from fhir_server.definitions.guide import PROFILES, parameters_of
from fhir_server.definitions.registry import Registry
from fhir_server.france.aliases import french_aliases, spelling
from fhir_server.france.demo import agenda_bundles, roster_bundles
from fhir_server.france.identifier_checks import IdentifierChecks, search_fault
from fhir_server.france.regulators import ACCOUNTS, AccountChecks
from fhir_server.france.sas import appointments, profiles, slots
from fhir_server.france.sas.asked import check, spoken
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.rendering import rendered
from fhir_server.france.vocabulary import PARIS, coding, concept, tre
from fhir_server.model.reference import Key
from fhir_server.search.index import Indexer
from fhir_server.search.match import matches
from fhir_server.search.plan import plan
from fhir_server.search.request import parse_search
from tests.france.sas.telling import participant, told
from tests.rest.asking import BASE, Json, refused
from tests.rest.conftest import Server
from tests.rest.test_regulators import account
from tests.rest.test_sas import IDNPS, IDNST, INT_R01, SAS, SIRET, SLOTS, SOS, asked, kinds, loaded, slot

NOS: Final = "https://mos.esante.gouv.fr/NOS"
R38: Final = tre("TRE_R38-SpecialiteOrdinale")


@pytest.fixture
async def sas(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a SAS base path with all actors; what is shown here does not depend on the engine."""
    paths = ("/sas;actors=psindiv+cpts+sos+structure+rdv",)
    async with Server(f"sqlite:{folder / 'store.db'}", sas_paths=paths) as server:
        yield await loaded(server)


@cache
def registry() -> Registry:
    return Registry.load().with_parameters(parameters_of(), generation=0).with_aliases(french_aliases())


@cache
def indexer() -> Indexer:
    return Indexer(registry(), PARIS, (BASE,))


def finds(resource: Json, name: str, value: str) -> bool:
    """Tell whether a search for one parameter finds a resource."""
    type_ = resource["resourceType"]
    request = parse_search(registry(), (type_,), [(name, value)], strict=True)
    where = plan(request, registry(), PARIS, (BASE,), 0).where
    return matches(where, Key(type_, "x"), indexer().entries(resource))


@cache
def demonstration() -> tuple[Json, ...]:
    """The demonstration with a Monday."""
    bundles = (*roster_bundles(), *agenda_bundles([date(2026, 11, 23)], PARIS))
    return tuple(entry["resource"] for bundle in bundles for entry in bundle["entry"])


def codes(concepts: list[Json]) -> Iterator[tuple[str, str]]:
    return ((one["system"], one["code"]) for found in concepts for one in found.get("coding", ()))


# --- canonicals and code systems -------------------------------------------------------------------------------------


def test_pitfall_01_profiles_of_both_families_are_known_by_their_exact_url() -> None:
    assert profiles.PLAIN_SLOT.startswith("http://sas.fr/fhir/")
    assert profiles.CPTS_SLOT.startswith("https://interop.esante.gouv.fr/ig/fhir/sas/")
    for wrong in (
        profiles.PLAIN_SLOT.replace("http:", "https:"),
        profiles.PLAIN_SLOT.replace("http://sas.fr/fhir", "https://interop.esante.gouv.fr/ig/fhir/sas"),
        profiles.CPTS_SLOT.replace("https://interop.esante.gouv.fr/ig/fhir/sas", "http://sas.fr/fhir"),
    ):
        labelled = slot("x", "alice-1", "05T09:00")
        labelled["meta"] = {"profile": [wrong], "security": [{"system": "private", "code": "private"}]}
        assert list(slots.check(labelled)) == []


@pytest.mark.parametrize("family", ["https://interop.esante.gouv.fr/ig/fhir/sas", "http://sas.fr/fhir"])
def test_pitfall_01_either_family_of_canonicals_makes_an_account(family: str) -> None:
    url = f"{family}/StructureDefinition/FrPractitionerRegul"
    assert ACCOUNTS.has({"resourceType": "Practitioner", "meta": {"profile": [url]}})
    assert not ACCOUNTS.has({"resourceType": "Practitioner", "meta": {"profile": [url.lower()]}})


def test_pitfall_01_canonicals_that_pages_print_wrongly_are_tolerated() -> None:
    wrong = {"profile": ["http://interopsante.org/fhir/StructureDefinition/FrAppointmentSAS"]}
    assert list(appointments.check(told(meta=wrong), Version.V1_2)) == []
    cpts = {
        "resourceType": "Organization",
        "id": "x",
        "meta": {"profile": [profiles.SOS_ORGANIZATION]},
        "identifier": [{"system": IDNST, "value": "1259999407"}],
    }
    assert rendered(cpts, Version.V1_2, {})["meta"]["profile"] == [profiles.CPTS_ORGANIZATION]


def test_pitfall_03_type_of_a_cpts_number_is_read_in_each_spelling() -> None:
    systems = (
        "http://interopsante.org/fhir/CodeSystem/fr-location-identifier-type",
        "http://interopsante.org/fhir/CodeSystem/fr-v2-0203",
        "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203",
    )
    for stored in systems:
        number = {"type": concept(stored, "IDNST"), "system": IDNST, "value": "1259999407"}
        for other in systems:
            cpts = {"resourceType": "Organization", "identifier": [number]}
            assert finds(cpts, "identifier:of-type", f"{other}|IDNST|1259999407")


@pytest.mark.parametrize(
    ("written", "table"),
    [
        (f"{NOS}/TRE_R66-CategorieEtablissement", "TRE_R66-CategorieEtablissement"),
        (f"{NOS}/TRE_R66-CategorieEtablissement/TRE_R66-CategorieEtablissement", "TRE_R66-CategorieEtablissement"),
        (
            f"{NOS}/TRE_R66-CategorieEtablissement/FHIR/TRE-R66-CategorieEtablissement",
            "TRE_R66-CategorieEtablissement",
        ),
        (f"{NOS}/TRE_R22-GenreActivite/FHIR/TRE-R22-GenreActivite/", "TRE_R22-GenreActivite"),
        (f"{R38}/", "TRE_R38-SpecialiteOrdinale"),
        (f"{NOS}/TRE_R54-CapaciteSavoirFaire/FHIR/TRE_R54-Capacite", "TRE_R54-CapaciteSavoirFaire"),
    ],
)
def test_pitfall_04_code_system_is_known_however_its_url_ends(written: str, table: str) -> None:
    assert spelling()(written) == tre(table)
    seen = slot("x", "alice-1", "05T09:00", seen_by=("snp-1",))
    if "R66" in table:
        seen["serviceType"][1]["coding"][0]["system"] = written
        assert list(slots.check(seen)) == []


def test_pitfall_18_audience_cpts_is_in_our_own_copy_of_the_value_set() -> None:
    stored = json.loads((PROFILES / "ValueSet-JDV-J165-TypeCreneau-SAS.json").read_bytes())
    (include,) = stored["compose"]["include"]
    assert {one["code"] for one in include["concept"]} == {"PUBLIC", "PRO", "SNP", "CPTS"}
    open_to_members = slot("x", "alice-1", "05T09:00")
    open_to_members["meta"]["security"] = [{"system": include["system"], "code": "CPTS"}]
    assert list(slots.check(open_to_members)) == []


def test_pitfall_32_general_practice_has_three_codes_and_psychologists_are_of_another_table() -> None:
    mapped = json.loads((PROFILES / "ConceptMap-practice-codes-to-specialty.json").read_bytes())
    general = [one for group in mapped["group"] for one in group["element"] if one["code"] == "408443003"]
    assert {target["code"] for one in general for target in one["target"]} == {"SM26", "SM53", "SM54"}
    anyone = ",".join(f"{R38}|{code}" for code in ("SM26", "SM53", "SM54"))
    for code in ("SM26", "SM53", "SM54"):
        assert finds({"resourceType": "Slot", "specialty": [concept(R38, code)]}, "specialty", anyone)
    stored = json.loads((PROFILES / "ValueSet-practitioner-profession.json").read_bytes())
    systems = {include["system"] for include in stored["compose"]["include"]}
    assert {tre("TRE_G15-ProfessionSante"), tre("TRE_R95-UsagerTitre")} <= systems
    professions = {
        pair for one in demonstration() for row in one.get("qualification", ()) for pair in codes([row["code"]])
    }
    assert (tre("TRE_R95-UsagerTitre"), "93") in professions
    assert (tre("TRE_G15-ProfessionSante"), "93") not in professions


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_pitfall_14_query_is_decoded_strictly() -> None:
    wrong = f"actor:Location.organization.identifier={IDNST}7C{SIRET}"
    assert spoken(wrong) == wrong


async def test_pitfall_14_number_without_its_bar_is_none_and_25_structures_are_answered(sas: httpx.AsyncClient) -> None:
    assert (await asked(sas, SOS.replace("%7C", "7C")))["total"] == 0
    many = ",".join(f"{IDNST}|3999999{n:03d}00015" for n in range(24))
    assert (await asked(sas, SOS.replace(f"{IDNST}%7C{SIRET}", f"{IDNST}|{SIRET},{many}")))["total"] == 1
    check([("identifier", ",".join(f"{IDNST}|{SIRET}" for _ in range(25)))], most=100, spelled=spelling())


def test_pitfall_15_structure_by_a_value_alone_is_not_guessed() -> None:
    role = {"resourceType": "PractitionerRole", "id": "x", "organization": {"identifier": {"value": SIRET}}}
    assert "organization" not in rendered(role, Version.V1_2, {})


def test_pitfall_15_account_in_the_system_of_structures_is_refused() -> None:
    example = account(IDNPS, "899700990015")
    assert list(AccountChecks(spelling())(example)) == []
    example["identifier"][0]["system"] = IDNST
    assert {issue.id for issue in AccountChecks(spelling())(example)} == {"regulator-account"}


@pytest.mark.parametrize(
    ("value", "doubts"),
    [
        ("9970099001501", []),
        ("99700990015001", []),
        ("997009900150", ["identifier-check"]),
        ("F754567860", ["identifier-check"]),
    ],
)
def test_pitfall_24_number_of_a_practice_that_looks_wrong_is_warned_about(value: str, doubts: list[str]) -> None:
    system = "https://rppsrang.esante.gouv.fr"
    assert search_fault(spelling(), system, value) is None
    practice = {"resourceType": "Organization", "identifier": [{"system": system, "value": value}]}
    issues = list(IdentifierChecks(spelling())(practice))
    assert not any(issue.is_error for issue in issues)
    assert [issue.id for issue in issues] == doubts


def test_pitfall_28_number_of_a_test_patient_is_refused_in_production() -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "299999999999934"}],
    }
    assert "identifier-trial" not in {issue.id for issue in IdentifierChecks(spelling())(patient)}
    issues = list(IdentifierChecks(spelling(), refuse_trials=True)(patient))
    assert [(issue.id, issue.is_error) for issue in issues] == [("identifier-trial", True)]


# --- slots -----------------------------------------------------------------------------------------------------------


def test_pitfall_05_row_1_service_of_a_cpts_is_indexed_inside_of_the_extension() -> None:
    seen = slot("x", "alice-1", "05T09:00", seen_by=("snp-1", "snp-2"))
    for service in ("snp-1", "snp-2"):
        assert finds(seen, "service-type-reference", f"HealthcareService/{service}")
    assert not finds(seen, "service-type-reference", "HealthcareService/snp-3")


def test_pitfall_16_reason_is_the_text_of_a_service_and_specialty_is_of_its_table() -> None:
    published = [one for one in demonstration() if one["resourceType"] == "Slot" and "profile" in one["meta"]]
    assert published
    for one in published:
        assert [kind["text"] for kind in one["serviceType"] if "text" in kind] != []
        assert {system for system, _ in codes(one.get("specialty", []))} <= {R38}
        assert not any("text" in kind for kind in one.get("specialty", ()))
        assert list(slots.check(one)) == []


def test_pitfall_17_audience_that_the_kit_alone_knows_is_refused() -> None:
    private = slot("x", "alice-1", "05T09:00")
    private["meta"]["security"] = [coding(tre("TRE_R314-TypeCreneau"), "private")]
    assert [issue.id for issue in slots.check(private)] == ["sas-slot-label"]


async def test_pitfall_35_slot_has_an_offset_that_stays_and_a_search_need_not(sas: httpx.AsyncClient) -> None:
    for wrong in ("2026-01-05T09:00:00.000", "2026-01-05T09:00"):
        refused(await sas.put(f"{BASE}/Slot/plain", json={**SLOTS[0], "start": wrong}), 400, "format-instant")
    (stored,) = [one for one in SLOTS if one["id"] == "plain"]
    assert (await sas.get("Slot/plain")).json()["start"] == stored["start"] == "2026-01-05T09:00:00.000+01:00"
    window = "start=ge2026-01-05T09:00:00&start=le2026-01-05T09:00:00"
    assert kinds(await asked(sas, f"Slot?{window}&_id=plain"), "match") == ["Slot/plain"]


# --- who, and where --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "version", "is_told"),
    [
        ("accepted", Version.V1_1, True),
        ("accepted", Version.V1_2, True),
        ("needs-action", Version.V1_1, False),
        ("needs-action", Version.V1_2, True),
        ("tentative", Version.V1_2, False),
    ],
)
def test_pitfall_19_status_of_a_participant_is_of_the_guides_version(
    status: str, version: Version, is_told: bool
) -> None:
    issues = list(appointments.check(told(participant=[participant(status)]), version))
    assert (issues == []) is is_told


def test_pitfall_30_profession_is_told_of_the_person_and_of_the_role_and_the_sas_is_told_diplomas() -> None:
    people = {f"Practitioner/{one['id']}": one for one in demonstration() if one["resourceType"] == "Practitioner"}
    members = [one for one in demonstration() if one.get("id", "").endswith("-adherent")]
    assert members
    for role in members:
        person = people[role["practitioner"]["reference"]]
        (profession,) = [pair for pair in codes(role["code"]) if "G15" in pair[0] or "R95" in pair[0]]
        assert profession in set(codes([row["code"] for row in person["qualification"]]))
        assert finds(person, "qualification-code", "|".join(profession))
        assert finds(role, "role", "|".join(profession))
        assert "qualification" not in rendered(person, Version.V1_1, {})


def test_pitfall_31_specialty_is_found_where_it_is_told() -> None:
    general = f"{R38}|SM54"
    qualified = {"resourceType": "Practitioner", "qualification": [{"code": concept(R38, "SM54")}]}
    assert finds(qualified, "qualification-code", general)
    assert finds(slot("x", "alice-1", "05T09:00", specialty=[concept(R38, "SM54")]), "specialty", general)
    role = {"resourceType": "PractitionerRole", "id": "x", "practitioner": {"reference": "Practitioner/x"}}
    assert not finds(role, "specialty", general)
    assert "specialty" not in rendered(role, Version.V1_2, {})


async def test_pitfall_36_place_is_searched_inside_of_a_role_and_on_its_own(sas: httpx.AsyncClient) -> None:
    page = (await sas.get(f"{BASE}/PractitionerRole?location.address-city=Ville 1")).json()
    assert kinds(page, "match") == ["PractitionerRole/alice-1"]
    page = (await sas.get(f"{BASE}/Schedule?actor:PractitionerRole.location.address-city=Ville 2")).json()
    assert kinds(page, "match") == ["Schedule/alice-2"]
    page = (await sas.get(f"{BASE}/Schedule?actor:Location.name=Centre")).json()
    assert kinds(page, "match") == ["Schedule/sos"]


# --- requests and answers --------------------------------------------------------------------------------------------


async def test_pitfall_02_row_6_media_types_of_before_r4_are_understood(sas: httpx.AsyncClient) -> None:
    old, new, plain = "application/json+fhir", "application/fhir+json", "application/json"
    for accept in (old, new, plain, f"{old}; charset=utf-8", f"{new};charset=UTF-8", f"{plain};charset=utf-8"):
        answer = await sas.get(INT_R01, headers={"Accept": accept})
        assert answer.status_code == 200, accept
        wanted = plain if accept.startswith(plain + ";") or accept == plain else new
        assert answer.headers["content-type"].startswith(wanted), accept
    for place, sent in enumerate((old, new, plain, f"{old};charset=utf-8")):
        value = f"1ef1c748-01a3-6180-b098-73283ce4e5b{place}"
        headers = {"Content-Type": sent, "Accept": old}
        answer = await sas.post("Practitioner", content=json.dumps(account(value=value)), headers=headers)
        assert answer.status_code == 201, sent


async def test_pitfall_06_empty_answer_claims_no_profile_that_it_cannot_keep(sas: httpx.AsyncClient) -> None:
    for query in (INT_R01.replace("2026-01", "2030-01"), SOS.replace("2026-01", "2030-01")):
        page = await asked(sas, query)
        assert (page["total"], "entry" in page) == (0, False)
        assert "profile" not in page.get("meta", {})


async def test_pitfall_07_answer_has_one_link_and_no_next_page(sas: httpx.AsyncClient) -> None:
    for query in (f"{INT_R01}&_count=1", f"{SOS}&_count=1"):
        assert [link["relation"] for link in (await asked(sas, query))["link"]] == ["self"]


async def test_pitfall_13_identifier_with_a_capital_is_the_same_criterion(sas: httpx.AsyncClient) -> None:
    for name in ("Identifier", "identifier"):
        body = account(name=[{"family": name.upper(), "given": ["Alice"]}])
        answer = await sas.put(f"Practitioner?{name}={'|'.join(number(body))}", json=body)
        assert answer.status_code == (201 if name == "Identifier" else 200)
        answer = await sas.put(f"Appointment?{name}={'|'.join(number(told()))}", json=told())
        assert answer.status_code == (201 if name == "Identifier" else 200), answer.text
        for query in (
            f"Practitioner?{name}={IDNPS}|899700990015&_id=alice",
            f"Slot?_id=plain&schedule.actor:Practitioner.{name}={IDNPS}|899700990015",
        ):
            page = await asked(sas, query)
            assert page["total"] == 1
            assert page["link"] == [{"relation": "self", "url": f"{SAS}/{query}"}]


def number(resource: Json) -> tuple[str, str]:
    (identifier,) = resource["identifier"]
    return identifier["system"], identifier["value"]
