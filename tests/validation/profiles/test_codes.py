"""The codes of bindings: value sets that are loaded, code systems that are not, what comes with R4."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.definitions.builtin import Builtin
from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import Resource
from fhir_server.validation.profiles.codes import LibraryCodes
from tests.validation.profiles.defining import VALIDATOR, Library, Told, profile

SYSTEM: Resource = {
    "resourceType": "CodeSystem",
    "url": "urn:colours",
    "content": "complete",
    "concept": [{"code": "red", "concept": [{"code": "crimson"}]}, {"code": "green"}],
}


def value_set(url: str, *includes: dict[str, Any], **more: Any) -> Resource:
    return {"resourceType": "ValueSet", "url": url, "compose": {"include": list(includes), **more}}


REDDISH = value_set(
    "urn:reddish", {"system": "urn:colours", "filter": [{"property": "concept", "op": "is-a", "value": "red"}]}
)
LISTED = value_set("urn:listed", {"system": "urn:tastes", "concept": [{"code": "salt"}]})
BOTH = value_set("urn:both", {"valueSet": ["urn:reddish"]}, {"valueSet": ["urn:listed"]})
PARTLY = value_set("urn:partly", {"valueSet": ["urn:reddish"]}, {"valueSet": ["urn:missing"]})
CIRCLE = value_set("urn:circle", {"valueSet": ["urn:circle"]})
ALL = (SYSTEM, REDDISH, LISTED, BOTH, PARTLY, CIRCLE)


class WithR4(Library):
    def find(self, canonical: str, type: str | None = None) -> Resource | None:
        return super().find(canonical, type) or Builtin.of(Structures.load()).find(canonical, type)


@pytest.mark.parametrize(
    ("url", "system", "code", "expected"),
    [
        ("urn:reddish", "urn:colours", "crimson", True),
        ("urn:reddish", "urn:colours", "green", False),
        ("urn:reddish", "urn:tastes", "crimson", False),
        ("urn:reddish", None, "crimson", True),
        ("urn:reddish|1", None, "green", False),
        ("urn:listed", "urn:tastes", "salt", True),
        ("urn:both", None, "salt", True),
        ("urn:both", "urn:colours", "green", False),
        ("urn:partly", "urn:colours", "red", True),
        ("urn:partly", "urn:colours", "green", None),
        ("urn:partly", None, "red", None),
        ("urn:circle", "urn:colours", "red", None),
        ("urn:circle", None, "red", None),
        ("urn:missing", None, "red", None),
        ("urn:colours?fhir_vs", None, "red", True),
        ("http://hl7.org/fhir/ValueSet/slotstatus|4.0.1", None, "free", True),
        ("http://hl7.org/fhir/ValueSet/slotstatus", "http://hl7.org/fhir/slotstatus", "libre", False),
    ],
)
def test_code_is_told_from_what_is_loaded(url: str, system: str | None, code: str, expected: bool | None) -> None:
    codes = LibraryCodes(WithR4(*ALL))
    assert codes.contains(url, system, code) is expected
    assert codes.contains(url, system, code) is expected


def test_binding_is_checked_once_its_value_set_and_its_code_system_are_loaded() -> None:
    binding = {"strength": "required", "valueSet": "urn:reddish"}
    own = profile("own", "Slot", {"path": "serviceType", "binding": binding})
    slot = {"resourceType": "Slot", "serviceType": [{"coding": [{"system": "urn:colours", "code": "green"}]}]}

    def told(*loaded: Resource) -> Told:
        library = Library(own, *loaded)
        found = VALIDATOR.validate(slot, library, LibraryCodes(library), [own["url"]])
        return [(issue.id, issue.expression[0]) for issue in found]

    assert told() == [("value-set-not-checked", "Slot")]
    assert told(REDDISH) == [("value-set-not-checked", "Slot")]
    assert told(REDDISH, SYSTEM) == [("profile-code", "Slot.serviceType[0]")]
