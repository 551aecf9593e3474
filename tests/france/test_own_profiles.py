"""What imports write conforms to our profiles, and every code of ours that they take is defined."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from fhir_server.definitions.canonical import OURS
from fhir_server.definitions.guide import MAPPINGS, Folder
from fhir_server.france.importing.cpts_file import CptsFile
from fhir_server.france.importing.source import Wanted
from fhir_server.france.importing.vocabulary import words
from tests.definitions.test_profile_examples import issues, told

Json = dict[str, Any]

LISTS: Final = "missions parcours publics equipes roles liens services".split()  # noqa: SIM905
SYSTEMS: Final = {one["url"]: one for _, one in Folder().resources() if one["resourceType"] == "CodeSystem"}
FILES: Final = (*sorted((MAPPINGS / "cpts").glob("*.yaml")), Path(__file__).parent / "importing" / "essais.yaml")
BY_TYPE: Final = {
    "HealthcareService": "cpts-healthcare-service",
    "Location": "cpts-location",
    "OrganizationAffiliation": "cpts-affiliation",
    "Practitioner": "cpts-practitioner",
    "PractitionerRole": "cpts-practitioner-role",
    "Schedule": "cpts-schedule",
}
TEAMS: Final = {
    "college": "cpts-governance-college",
    "parcours": "cpts-pathway-team",
    "cellule-crise": "cpts-crisis-cell",
}


def codes(concepts: list[Json]) -> list[str]:
    return [coding["code"] for concept in concepts for coding in concept["coding"]]


def profile_of(resource: Json) -> str:
    match resource["resourceType"]:
        case "Organization":
            return "cpts-organization" if "604" in codes(resource["type"]) else "cpts-member-organization"
        case "CareTeam":
            return next((TEAMS[code] for code in codes(resource["category"]) if code in TEAMS), "")
        case type_:
            return BY_TYPE.get(type_, "")


@pytest.mark.parametrize("name", LISTS)
def test_each_word_of_an_import_has_a_code_that_is_defined(name: str) -> None:
    for word in words(name).all.values():
        if word.system.startswith(OURS):
            assert word.code in {concept["code"] for concept in SYSTEMS[word.system]["concept"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_description_becomes_conforms_to_our_profiles(file: Path) -> None:
    checked: Counter[str] = Counter()
    for wanted in CptsFile(file):
        if isinstance(wanted, Wanted) and not wanted.weak and (profile := profile_of(wanted.resource)):
            checked[profile] += 1
            errors = [issue for issue in told(profile, wanted.resource) if issue[0] == "error"]
            assert errors == [], wanted.resource["id"]
    assert checked["cpts-organization"] == 1
    assert checked["cpts-healthcare-service"] > 3


@pytest.mark.parametrize(
    ("system", "remarks"),
    [
        ("https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante", []),
        ("urn:oid:1.2.250.1.71.1.2.7", [("information", "profile-slice-none")]),
    ],
)
def test_a_profession_in_another_spelling_of_its_system_is_remarked_on(
    system: str, remarks: list[tuple[str, str]]
) -> None:
    qualification = {"code": {"coding": [{"system": system, "code": "10"}]}}
    person = {"resourceType": "Practitioner", "active": True, "name": [{"family": "FICTIF", "given": ["Alice"]}]}
    found = issues("cpts-practitioner", {**person, "qualification": [qualification]})
    assert [(str(issue.severity), issue.id) for issue in found] == remarks
