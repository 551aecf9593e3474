"""``profiles/examples/``: of each profile, resources that conform, and changes after which they do not."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import pytest

from fhir_server.definitions.canonical import OURS
from fhir_server.definitions.guide import PROFILES, Folder
from fhir_server.definitions.library import Loaded
from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.definitions.structures import Structures
from fhir_server.interactions.patching.json_patch import parse_json_patch
from fhir_server.model.formats import Resource
from fhir_server.validation.profiles.validator import ProfileValidator
from fhir_server.validation.validator import Validator

R4: Final = Structures.load()
DEFINED: Final = {one["url"]: Loaded(one) for _, one in Folder().resources() if "url" in one}
NAMES: Final = sorted(
    url.removeprefix(f"{OURS}StructureDefinition/") for url, one in DEFINED.items() if one.get("kind") == "resource"
)
EXAMPLES: Final[dict[str, Any]] = {
    file.stem: json.loads(file.read_bytes()) for file in sorted((PROFILES / "examples").glob("*.json"))
}


class Library:
    """The definitions of ``profiles/`` by their URL."""

    def find(self, canonical: str, type: str | None = None) -> Resource | None:
        return DEFINED.get(canonical.partition("|")[0])


class Codes:
    """The value sets of ``profiles/``, which list codes or name whole systems; None where a system is a fragment."""

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        found = DEFINED.get(value_set.partition("|")[0])
        if found is None:
            return None
        answers = [_includes(include, code) for include in found["compose"]["include"] if include["system"] == system]
        return None if None in answers else any(answers)


def _includes(include: Resource, code: str) -> bool | None:
    listed = include.get("concept")
    if listed is None:
        system = DEFINED.get(include["system"])
        if system is None or system["content"] != "complete":
            return None
        listed = system["concept"]
    return code in {concept["code"] for concept in listed}


@cache
def _validators() -> tuple[Validator, ProfileValidator]:
    return Validator(R4, DEFAULT_TYPES), ProfileValidator(R4)


def told(profile: str, resource: Resource) -> list[tuple[str, str, str]]:
    """Return severity, path and text of what is wrong with a resource, as R4 and as a profile of ours."""
    r4, profiles = _validators()
    assert [issue.diagnostics for issue in r4.validate(resource) if issue.is_error] == []
    issues = profiles.validate(resource, Library(), Codes(), [f"{OURS}StructureDefinition/{profile}"])
    return [(str(issue.severity), issue.expression[0], issue.diagnostics) for issue in issues]


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
def test_a_change_that_breaks_a_profile_is_told_where_it_is(profile: str, place: int) -> None:
    case = EXAMPLES[profile]["invalid"][place]
    changed = parse_json_patch(case["patch"]).apply(EXAMPLES[profile]["valid"][case.get("of", 0)])
    errors = [(path, text) for severity, path, text in told(profile, changed) if severity == "error"]
    assert case["issue"]["expression"] in [path for path, _ in errors], (case["why"], errors)


@pytest.mark.parametrize("profile", EXAMPLES)
def test_what_cannot_be_checked_of_an_example_is_a_code_of_a_system_that_is_a_fragment(profile: str) -> None:
    for resource in EXAMPLES[profile]["valid"]:
        for severity, path, text in told(profile, resource):
            assert "is not loaded" not in text or severity != "warning", (path, text)
