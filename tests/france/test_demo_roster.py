"""The roster of the demonstration: valid FHIR, whole, clearly fictitious, true to the press releases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_server.france import identifiers as ids
from fhir_server.france.demo import DEMO_TAG, ROSTER, roster_bundles
from tests.definitions.test_profile_examples import EXAMPLES, told

Json = dict[str, Any]

FICTITIOUS_PHONES = re.compile(r"\+33(19900|63998|35301)\d{4}")
REAL_WITHOUT_NUMBER = ("ars-bfc", "cpam-doubs", "msa-franche-comte", "ville-besancon", "pole-nord-franche-comte")
SAS_PROFILES = {
    "Organization": "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/sas-cpts-organization-aggregator",
    "HealthcareService": (
        "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/sas-cpts-healthcareservice-aggregator"
    ),
    "Practitioner": "http://sas.fr/fhir/StructureDefinition/FrPractitionerAgregateur",
    "PractitionerRole": "http://sas.fr/fhir/StructureDefinition/FrPractitionerRoleExerciceAgregateur",
    "Schedule": "http://sas.fr/fhir/StructureDefinition/FrScheduleAgregateur",
}
SOS_PROFILES = {
    "Organization": "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/sas-sos-organization-aggregator",
    "Location": "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/sas-sos-location-aggregator",
    "Schedule": "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/sas-sos-schedule-aggregator",
}
OURS = frozenset(("CareTeam", "OrganizationAffiliation", "ServiceRequest", "Task"))
BY_TYPE = {
    "HealthcareService": "cpts-healthcare-service",
    "Location": "cpts-location",
    "Practitioner": "cpts-practitioner",
    "Schedule": "cpts-schedule",
}
ALIKE = 20
"""Resources of a kind that are checked: the others are made in the same way."""
NAMED_ALONE = ("cpts-grand-montbeliard", "cpts-pourtour-belfortain", "cpts-belfortaine", "cpts-pays-hericourt")
"""CPTS of which nothing but the name is known."""


def nodes(value: Any) -> Iterator[Any]:
    """Every value inside a resource, itself included."""
    yield value
    if isinstance(value, dict):
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def key(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def of_type(roster: list[Json], type_: str) -> list[Json]:
    return [resource for resource in roster if resource["resourceType"] == type_]


def claims(resource: Json, profiles: dict[str, str]) -> bool:
    found: bool = resource["meta"].get("profile") == [profiles[resource["resourceType"]]]
    return found


def by_key(roster: list[Json], reference: str) -> Json:
    return next(resource for resource in roster if key(resource) == reference)


def has_code(concepts: list[Json], code: str) -> bool:
    return any(coding["code"] == code for concept in concepts for coding in concept["coding"])


def members_of(roster: list[Json], cpts: str) -> list[Json]:
    return [
        role
        for role in of_type(roster, "PractitionerRole")
        if role["organization"].get("reference") == f"Organization/{cpts}" and has_code(role["code"], "adherent")
    ]


def numbers(resources: list[Json], system: str) -> list[str]:
    """The values of every identifier of a system, those inside references and contained resources included."""
    return [node["value"] for node in nodes(resources) if isinstance(node, dict) and node.get("system") == system]


def test_every_resource_is_valid(roster: list[Json]) -> None:
    for resource in roster:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_nothing_is_empty(roster: list[Json]) -> None:
    assert not [node for node in nodes(roster) if node is None or node in ("", [], {})]


def test_every_resource_is_tagged_and_has_at_most_one_profile(roster: list[Json]) -> None:
    for resource in roster:
        assert resource["meta"]["tag"] == [DEMO_TAG]
        assert len(resource["meta"].get("profile", [])) <= 1


def test_every_id_is_legal_and_used_once(roster: list[Json]) -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", resource["id"]) for resource in roster)
    assert not [name for name, count in Counter(map(key, roster)).items() if count > 1]


def test_bundles_are_transactions_of_puts(bundles: list[Json]) -> None:
    for bundle in bundles:
        get_fhir_model_class("Bundle").model_validate(bundle)
        assert bundle["type"] == "transaction"
        for entry in bundle["entry"]:
            assert entry["request"] == {"method": "PUT", "url": key(entry["resource"])}


def test_references_never_point_beyond_their_bundle(bundles: list[Json]) -> None:
    known: set[str] = set()
    for bundle in bundles:
        known |= {key(entry["resource"]) for entry in bundle["entry"]}
        for node in nodes(bundle):
            if isinstance(node, dict) and "reference" in node:
                assert node["reference"] in known or node["reference"] == "#lieu"


def test_the_marker_is_the_last_resource_written_of_its_part() -> None:
    for part in ROSTER:
        assert key(list(part.bundles())[-1]["entry"][-1]["resource"]) == part.marker


def test_the_roster_is_the_same_each_time(bundles: list[Json]) -> None:
    assert list(roster_bundles()) == bundles


@pytest.mark.parametrize(("cpts", "expected"), [("cpts-avenir-sante", 30), ("cpts-capacites-besancon", 206)])
def test_each_cpts_has_its_members(roster: list[Json], cpts: str, expected: int) -> None:
    members = members_of(roster, cpts)
    assert len(members) == expected
    assert len({member["practitioner"]["reference"] for member in members}) == expected


def test_no_two_members_share_a_name(roster: list[Json]) -> None:
    names = [(person["name"][0]["family"], *person["name"][0]["given"]) for person in of_type(roster, "Practitioner")]
    assert len(set(names)) == len(names)


def test_each_cpts_offers_agendas_of_25_practitioners(roster: list[Json]) -> None:
    for cpts in ("avenir-sante", "capacites-besancon"):
        actors = {schedule["actor"][0]["reference"] for schedule in of_type(roster, "Schedule")}
        assert len([actor for actor in actors if actor.startswith(f"Practitioner/{cpts}")]) >= 25


@pytest.mark.parametrize(
    ("cpts", "since", "inhabitants", "signatories"),
    [
        ("avenir-sante", "2024-05-28", 58000, {"ars-bfc", "cpam-doubs", "msa-franche-comte"}),
        ("capacites-besancon", "2023-03-09", 200000, {"ars-bfc", "cpam-doubs"}),
    ],
)
def test_each_cpts_has_its_signature_and_population(
    roster: list[Json], cpts: str, since: str, inhabitants: int, signatories: set[str]
) -> None:
    assert by_key(roster, f"Group/{cpts}-population")["quantity"] == inhabitants
    signed = [
        row
        for row in of_type(roster, "OrganizationAffiliation")
        if row["organization"]["reference"] == f"Organization/cpts-{cpts}" and has_code(row["code"], "signataire-aci")
    ]
    assert {row["participatingOrganization"]["reference"] for row in signed} == {
        f"Organization/{id_}" for id_ in signatories
    }
    assert {row["period"]["start"] for row in signed} == {since}


def test_besancon_has_its_member_structures_and_colleges(roster: list[Json]) -> None:
    members = {
        row["participatingOrganization"]["reference"].removeprefix("Organization/")
        for row in of_type(roster, "OrganizationAffiliation")
        if row["organization"]["reference"] == "Organization/cpts-capacites-besancon"
        and has_code(row["code"], "member")
    }
    assert {"chru-besancon", "ch-novillars", "dac", "cpam-doubs", "ville-besancon", "usagers-fictifs"} <= members
    colleges = [team for team in of_type(roster, "CareTeam") if has_code(team.get("category", []), "college")]
    assert len(colleges) == 4


def test_five_cpts_cover_nord_franche_comte(roster: list[Json]) -> None:
    covering = [row for row in of_type(roster, "OrganizationAffiliation") if has_code(row["code"], "territoire")]
    assert len(covering) == 5


def test_professional_numbers_are_fictitious_and_right(roster: list[Json]) -> None:
    rpps = [ids.parse("RPPS", value) for value in numbers(roster, ids.RPPS_SYSTEM)]
    national = [ids.remove_prefix("IDNPS", value) for value in numbers(roster, ids.IDNPS_SYSTEM)]
    assert len(national) == len(set(national)) == 236
    for value in (*rpps, *(inner[1] for inner in national if inner)):
        assert value.startswith("9970099")
        assert ids.check("RPPS", value) is True
    assert None not in national


def test_structure_numbers_are_fictitious_and_right(roster: list[Json]) -> None:
    for value in numbers(roster, ids.IDNST_SYSTEM):
        assert ids.check("IDNST", value) is True
        assert value.startswith(("1259999", "3999999014", "49970099"))
    finess = numbers(roster, ids.FINESS_SYSTEM)
    assert finess
    assert all(value.startswith("259999") and ids.check("FINEG", value) for value in finess)
    assert not numbers(roster, ids.SIRENE_SYSTEM)


@pytest.mark.parametrize("id_", REAL_WITHOUT_NUMBER)
def test_other_real_structures_carry_no_number(roster: list[Json], id_: str) -> None:
    assert "identifier" not in by_key(roster, f"Organization/{id_}")


def test_phones_and_addresses_are_fictitious(roster: list[Json]) -> None:
    points = [node for node in nodes(roster) if isinstance(node, dict) and node.get("system") in ("phone", "email")]
    assert points
    for point in points:
        value = point["value"]
        assert FICTITIOUS_PHONES.fullmatch(value) if point["system"] == "phone" else value.endswith(".example.org")


def test_patients_have_no_number_and_say_that_they_are_fictitious(roster: list[Json]) -> None:
    patients = of_type(roster, "Patient")
    assert patients
    for patient in patients:
        assert "identifier" not in patient
        assert patient["name"][0]["family"] == "PATIENT-FICTIF"


def test_patients_without_doctor_have_a_request(roster: list[Json]) -> None:
    waiting = {
        f"Patient/{patient['id']}" for patient in of_type(roster, "Patient") if "generalPractitioner" not in patient
    }
    asked = {task["for"]["reference"] for task in of_type(roster, "Task") if has_code([task["code"]], "recherche-mt")}
    assert waiting == asked


def test_what_the_sas_reads_claims_its_profile_alone_and_teams_and_requests_claim_ours(roster: list[Json]) -> None:
    for resource in roster:
        claimed = resource["meta"].get("profile", [])
        if resource["resourceType"] in OURS:
            assert all(profile.startswith("https://cpts.example.org/fhir/StructureDefinition/") for profile in claimed)
        else:
            of_type = SOS_PROFILES if resource["id"].startswith("sos-") else SAS_PROFILES
            assert claimed in ([], [of_type.get(resource["resourceType"])])


def test_each_resource_conforms_to_the_profile_of_its_kind(roster: list[Json]) -> None:
    checked: Counter[str] = Counter()
    for resource in roster:
        profile = profile_of(resource)
        if profile and resource["id"] not in NAMED_ALONE and checked[profile] < ALIKE:
            checked[profile] += 1
            assert [issue for issue in told(profile, resource) if issue[0] == "error"] == []
    assert set(checked) == set(EXAMPLES) - {"cpts-slot", "cpts-appointment"}


def profile_of(resource: Json) -> str:
    """Return the profile of ours for a resource of the demonstration, by what it claims or else by its type."""
    for profile in resource["meta"].get("profile", []):
        if "cpts.example.org" in profile:
            return str(profile).rpartition("/")[2]
    if resource["resourceType"] == "Organization":
        return "cpts-organization" if has_code(resource["type"], "604") else "cpts-member-organization"
    if resource["resourceType"] == "PractitionerRole":
        return "cpts-practitioner-role" if "location" not in resource else ""
    return BY_TYPE.get(resource["resourceType"], "")


def test_sas_cpts_organization_has_one_finess_identifier_that_both_versions_accept(roster: list[Json]) -> None:
    found = [org for org in of_type(roster, "Organization") if claims(org, SAS_PROFILES)]
    assert len(found) == 2
    for organization in found:
        (identifier,) = organization["identifier"]
        assert re.fullmatch(r"1[0-9]{9}", identifier["value"])
        assert {(coding["system"], coding["code"]) for coding in identifier["type"]["coding"]} == {
            ("https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203", "IDNST"),
            ("http://interopsante.org/fhir/CodeSystem/fr-location-identifier-type", "IDNST"),
        }


def test_sas_practitioner_has_only_the_national_identifier(roster: list[Json]) -> None:
    for person in of_type(roster, "Practitioner"):
        if "profile" in person["meta"]:
            (identifier,) = person["identifier"]
            assert identifier["system"] == "urn:oid:1.2.250.1.71.4.2.1"
            assert identifier["type"]["coding"] == [
                {"system": "http://interopsante.org/fhir/CodeSystem/fr-v2-0203", "code": "IDNPS"}
            ]
            assert re.fullmatch(r"8\d{11}", identifier["value"])


def test_sas_role_has_one_contained_place_and_a_logical_practice(roster: list[Json]) -> None:
    roles = [role for role in of_type(roster, "PractitionerRole") if "profile" in role["meta"]]
    assert any("telecom" not in role for role in roles)
    for role in roles:
        (place,) = role["contained"]
        assert place["meta"] == {"profile": ["http://sas.fr/fhir/StructureDefinition/FrLocationAgregateur"]}
        assert role["location"] == [{"reference": f"#{place['id']}"}]
        assert set(place["address"]) >= {"line", "city", "postalCode"}
        assert re.fullmatch(r"\d{5}", place["address"]["postalCode"])
        identifier = role["organization"]["identifier"]
        assert identifier["type"]["coding"][0]["system"] == "http://interopsante.org/fhir/CodeSystem/fr-v2-0203"
        assert re.fullmatch(r"4\d{14}", identifier["value"])


def test_each_place_has_one_role_and_one_agenda_with_both_actors(roster: list[Json]) -> None:
    places = {role["id"]: role for role in of_type(roster, "PractitionerRole") if "profile" in role["meta"]}
    schedules = [schedule for schedule in of_type(roster, "Schedule") if claims(schedule, SAS_PROFILES)]
    assert sorted(places) == sorted(schedule["id"] for schedule in schedules)
    for schedule in schedules:
        role = places[schedule["id"]]
        assert schedule["actor"] == [role["practitioner"], {"reference": key(role)}]
        assert "serviceType" not in schedule


def test_a_place_without_agenda_claims_no_profile(roster: list[Json]) -> None:
    pharmacist = by_key(roster, "PractitionerRole/avenir-sante-pharmacien-01-lieu-1")
    assert "profile" not in pharmacist["meta"]
    assert "meta" not in pharmacist["contained"][0]


def test_sos_has_a_siret_and_places_of_its_own_with_an_agenda_each(roster: list[Json]) -> None:
    (association,) = [org for org in of_type(roster, "Organization") if claims(org, SOS_PROFILES)]
    (identifier,) = association["identifier"]
    assert re.fullmatch(r"3999999014\d{5}", identifier["value"])
    assert identifier["type"]["coding"] == [
        {"system": "http://interopsante.org/fhir/CodeSystem/fr-location-identifier-type", "code": "IDNST"}
    ]
    places = {key(place): place for place in of_type(roster, "Location") if place["meta"].get("profile")}
    assert len(places) == 2
    for place in places.values():
        assert place["managingOrganization"] == {"reference": key(association)}
        assert place["name"]
        assert set(place["address"]) >= {"line", "city", "postalCode"}
        assert [coding["code"] for coding in place["identifier"][0]["type"]["coding"]] == ["INTRN"]
    schedules = [schedule for schedule in of_type(roster, "Schedule") if claims(schedule, SOS_PROFILES)]
    assert sorted(actor["reference"] for schedule in schedules for actor in schedule["actor"]) == sorted(places)
