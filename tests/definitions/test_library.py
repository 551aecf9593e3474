"""The library: which of several resources a canonical URL means, and what comes with R4."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from fhir_server.definitions.builtin import Builtin
from fhir_server.definitions.library import Loaded, best, made_of, split
from fhir_server.definitions.structures import Structures
from fhir_server.validation.validator import Validator

BUILTIN = Builtin.of(Structures.load())
GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"


def edition(
    version: str | None = None, status: str = "active", type_: str = "ValueSet", at: str = ""
) -> dict[str, Any]:
    resource: dict[str, Any] = {"resourceType": type_, "status": status, "meta": {"lastUpdated": at}}
    return {**resource, **({} if version is None else {"version": version})}


RISING = (
    edition("9", "retired"),
    edition(None, "draft"),
    edition("1", "draft"),
    edition(),
    edition("1.0.0-ballot"),
    edition("1.0.0"),
    edition("1.0.0", at="2026-01-05T08:00:00Z"),
    edition("1.0.1"),
    edition("1.9"),
    edition("1.10"),
    edition("20250131"),
)


@pytest.mark.parametrize(("lower", "higher"), list(pairwise(RISING)))
def test_best_is_active_then_of_the_latest_version_then_stored_last(lower: Any, higher: Any) -> None:
    for several in ([lower, higher], [higher, lower]):
        assert best(several, None) is higher


def test_version_and_type_are_held_to() -> None:
    old, new, system = edition("1", "retired"), edition("2"), edition("1", type_="CodeSystem")
    all_of_them = (old, new, system)
    assert best(all_of_them, "1", "ValueSet") is old
    assert best(all_of_them, None, "CodeSystem") is system
    assert best(all_of_them, "3") is None


def test_canonical_is_split_at_its_bar() -> None:
    assert split("http://x|1.0") == ("http://x", "1.0")
    assert split("http://x") == split("http://x|") == ("http://x", None)


def test_what_is_made_of_a_loaded_resource_is_made_once() -> None:
    made: list[Any] = []

    def make(resource: Any) -> int:
        made.append(resource)
        return len(made)

    loaded = Loaded(edition())
    assert made_of(loaded, make) == made_of(loaded, make) == 1
    assert made_of(edition(), make) == 2


def test_required_value_sets_of_r4_are_there_with_their_systems() -> None:
    found = BUILTIN.find(GENDER)
    assert found
    (include,) = found["compose"]["include"]
    assert include["system"] == "http://hl7.org/fhir/administrative-gender"
    assert [one["code"] for one in include["concept"]] == ["male", "female", "other", "unknown"]
    assert BUILTIN.find(f"{GENDER}|4.0.1") is found
    assert BUILTIN.find(f"{GENDER}|4.3.0") is BUILTIN.find(GENDER, "CodeSystem") is BUILTIN.find("http://x") is None


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("http://hl7.org/fhir/administrative-gender", "complete"),
        ("http://hl7.org/fhir/data-types", "fragment"),
        ("http://terminology.hl7.org/CodeSystem/v3-ActCode", None),
        ("http://unitsofmeasure.org", "fragment"),
    ],
)
def test_code_systems_of_r4_say_whether_they_are_complete(url: str, content: str | None) -> None:
    found = BUILTIN.find(url)
    assert (found and found["content"]) == content


def test_each_builtin_resource_is_valid() -> None:
    structures = Structures.load()
    validator = Validator(structures, second_opinion=False)
    urls = set(structures.value_sets)
    systems = {system for url in urls for several in (structures.codes(url) or {}).values() for system in several}
    for url in urls | systems:
        found = BUILTIN.find(url)
        assert found
        assert [issue.diagnostics for issue in validator.validate(dict(found)) if issue.is_error] == [], url
