"""``profiles/examples/``: of each profile, resources that conform, and changes after which they do not."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import pytest

from fhir_server.definitions.canonical import OURS
from fhir_server.definitions.guide import PROFILES, Folder
from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.definitions.structures import Structures
from fhir_server.interactions.patching.json_patch import parse_json_patch
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue
from fhir_server.validation.profiles.codes import LibraryCodes
from fhir_server.validation.profiles.validator import ProfileValidator
from fhir_server.validation.validator import Validator
from tests.terminology.loading import Shelved

R4: Final = Structures.load()
LIBRARY: Final = Shelved(*(one for _, one in Folder().resources() if "url" in one))
NAMES: Final = sorted(one["id"] for _, one in Folder().resources() if one.get("kind") == "resource")
EXAMPLES: Final[dict[str, Any]] = {
    file.stem: json.loads(file.read_bytes()) for file in sorted((PROFILES / "examples").glob("*.json"))
}


@cache
def _validators() -> tuple[Validator, ProfileValidator]:
    return Validator(R4, DEFAULT_TYPES), ProfileValidator(R4)


def issues(profile: str, resource: Resource) -> list[Issue]:
    """Return what is wrong with a resource of valid R4, as a profile of ours."""
    r4, profiles = _validators()
    assert [issue.diagnostics for issue in r4.validate(resource) if issue.is_error] == []
    return profiles.validate(resource, LIBRARY, LibraryCodes(LIBRARY), [f"{OURS}StructureDefinition/{profile}"])


def told(profile: str, resource: Resource) -> list[tuple[str, str, str]]:
    """Return severity, path and text of the same."""
    return [(str(issue.severity), issue.expression[0], issue.diagnostics) for issue in issues(profile, resource)]


def test_each_profile_has_examples_of_both_kinds() -> None:
    assert sorted(EXAMPLES) == NAMES
    for examples in EXAMPLES.values():
        assert min(len(examples["valid"]), len(examples["invalid"])) >= 2


@pytest.mark.parametrize("profile", EXAMPLES)
def test_valid_examples_conform(profile: str) -> None:
    for resource in EXAMPLES[profile]["valid"]:
        assert [issue for issue in told(profile, resource) if issue[0] == "error"] == []


@pytest.mark.parametrize(
    ("profile", "place"),
    [(profile, place) for profile, examples in EXAMPLES.items() for place in range(len(examples["invalid"]))],
)
def test_a_change_that_breaks_a_profile_is_told_with_its_reason_and_nothing_else(profile: str, place: int) -> None:
    case = EXAMPLES[profile]["invalid"][place]
    changed = parse_json_patch(case["patch"]).apply(EXAMPLES[profile]["valid"][case.get("of", 0)])
    (error,) = [issue for issue in issues(profile, changed) if issue.is_error]
    assert {"code": error.id, "expression": error.expression[0]} == case["issue"], (case["why"], error)


@pytest.mark.parametrize("profile", EXAMPLES)
def test_what_cannot_be_checked_of_an_example_is_a_code_of_a_system_that_is_a_fragment(profile: str) -> None:
    for resource in EXAMPLES[profile]["valid"]:
        for severity, path, text in told(profile, resource):
            assert "is not loaded" not in text or severity != "warning", (path, text)


NOS: Final = "https://mos.esante.gouv.fr/NOS/"


@pytest.mark.parametrize(
    ("table", "code", "value_set"),
    [
        ("TRE_R48-DiplomeEtatFrancais/FHIR/TRE-R48-DiplomeEtatFrancais", "DE28", "practitioner-degree"),
        ("TRE_R94-ProfessionSocial/FHIR/TRE-R94-ProfessionSocial", "41", "practitioner-profession"),
        ("TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante", "60", None),
        ("TRE_R38-SpecialiteOrdinale/FHIR/TRE-R38-SpecialiteOrdinale", "SM54", None),
    ],
)
def test_qualification_is_of_a_slice_or_told_not_to_be_checked(table: str, code: str, value_set: str | None) -> None:
    whole = EXAMPLES["cpts-practitioner"]["valid"][0]
    resource = {**whole, "qualification": [{"code": {"coding": [{"system": f"{NOS}{table}", "code": code}]}}]}
    found = issues("cpts-practitioner", resource)
    assert [issue for issue in found if issue.is_error] == []
    unsure = [issue for issue in found if (issue.id or "").endswith("-not-checked")]
    names = [] if value_set is None else ["value-set-not-checked", "slicing-not-checked"]
    assert [issue.id for issue in unsure] == names
    assert all(str(value_set) in issue.diagnostics for issue in unsure[:1])
