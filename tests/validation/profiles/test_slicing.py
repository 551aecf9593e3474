"""Slicing: each kind of discriminator, with items that fit and items that do not; rules, order, slices of slices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.profiles.defining import BASE, Told, issues, profile, sparse, told

RED = {"coding": [{"system": "urn:colour", "code": "red"}]}
SALT = {"coding": [{"system": "urn:taste", "code": "salt"}], "text": "salty"}


def slot(*types: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Slot",
        "serviceType": list(types),
        "schedule": {"reference": "Schedule/1"},
        "status": "free",
        "start": "2024-06-12T16:40:00Z",
        "end": "2024-06-12T17:00:00Z",
        **more,
    }


def by(type_: str, path: str, **rules: Any) -> dict[str, Any]:
    return {"discriminator": [{"type": type_, "path": path}], "rules": "open", **rules}


def taste(slicing: dict[str, Any], least: int = 1, **rules: Any) -> list[dict[str, Any]]:
    """A slice of service types with a system of tastes, which must have a text."""
    return [
        {"path": "serviceType", "slicing": slicing},
        {"path": "serviceType", "sliceName": "taste", "min": least, **rules},
        {"path": "serviceType.coding.system", "fixedUri": "urn:taste"},
        {"path": "serviceType.text", "min": 1},
    ]


BLAND = {"coding": SALT["coding"]}

VALUES: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]], Told]] = [
    ("value", taste(by("value", "coding.system")), [RED, SALT], []),
    ("value, missing", taste(by("value", "coding.system")), [RED], [("profile-min", "Slot.serviceType")]),
    ("value, wrong", taste(by("value", "coding.system")), [RED, BLAND], [("profile-min", "Slot.serviceType[1].text")]),
    (
        "value, too many",
        taste(by("value", "coding.system"), max="1"),
        [SALT, SALT],
        [("profile-max", "Slot.serviceType")],
    ),
    ("value below $this", taste(by("value", "$this")), [RED, BLAND], [("profile-min", "Slot.serviceType[1].text")]),
    ("value in an element", taste(by("value", "coding")), [BLAND], [("profile-min", "Slot.serviceType[0].text")]),
    ("pattern below $this", taste(by("pattern", "$this")), [RED, SALT], []),
    ("closed", taste(by("value", "coding.system", rules="closed")), [SALT], []),
    (
        "closed, another",
        taste(by("value", "coding.system", rules="closed")),
        [SALT, RED],
        [("profile-slice-closed", "Slot.serviceType[1]")],
    ),
    ("open at the end", taste(by("value", "coding.system", rules="openAtEnd")), [SALT, RED], []),
    (
        "open at the end, before",
        taste(by("value", "coding.system", rules="openAtEnd")),
        [RED, SALT],
        [("profile-slice-order", "Slot.serviceType[0]")],
    ),
    (
        "value set",
        [
            {"path": "serviceType", "slicing": by("value", "$this")},
            {
                "path": "serviceType",
                "sliceName": "coloured",
                "max": "1",
                "binding": {"strength": "required", "valueSet": BASE + "colours"},
            },
        ],
        [RED, SALT, RED],
        [("profile-max", "Slot.serviceType"), ("profile-slice-none", "Slot.serviceType[1]")],
    ),
    (
        "a fixed code, although a value set binds it",
        [
            {"path": "serviceType", "slicing": by("value", "id")},
            {"path": "serviceType", "sliceName": "red", "max": "1"},
            {
                "path": "serviceType.id",
                "fixedString": "r",
                "binding": {"strength": "required", "valueSet": BASE + "colours"},
            },
        ],
        [SALT],
        [],
    ),
    (
        "value set that is not loaded",
        [
            {"path": "serviceType", "slicing": by("value", "$this", rules="closed")},
            {
                "path": "serviceType",
                "sliceName": "coloured",
                "min": 1,
                "binding": {"strength": "required", "valueSet": "urn:vs"},
            },
        ],
        [RED],
        [("value-set-not-checked", "Slot"), ("slicing-not-checked", "Slot")],
    ),
    (
        "pattern of the item",
        [
            {"path": "serviceType", "slicing": by("pattern", "$this", ordered=True)},
            {"path": "serviceType", "sliceName": "red", "patternCodeableConcept": RED},
            {"path": "serviceType", "sliceName": "salt", "patternCodeableConcept": BLAND},
        ],
        [SALT, {"text": "a"}, RED],
        [("profile-slice-order", "Slot.serviceType[2]")],
    ),
    (
        "exists",
        [
            {"path": "serviceType", "slicing": by("exists", "text")},
            {"path": "serviceType", "sliceName": "told", "max": "1"},
            {"path": "serviceType.text", "min": 1},
            {"path": "serviceType", "sliceName": "untold", "max": "0"},
            {"path": "serviceType.text", "max": "0"},
        ],
        [SALT, RED],
        [("profile-max", "Slot.serviceType")],
    ),
    (
        "two discriminators",
        [
            {
                "path": "serviceType",
                "slicing": {
                    "discriminator": [{"type": "value", "path": "coding.system"}, {"type": "exists", "path": "text"}],
                    "rules": "open",
                },
            },
            {"path": "serviceType", "sliceName": "both", "min": 1},
            {"path": "serviceType.coding.system", "patternUri": "urn:taste"},
            {"path": "serviceType.text", "min": 1},
        ],
        [RED, BLAND],
        [("profile-min", "Slot.serviceType")],
    ),
    (
        "slice of a slice",
        [
            {"path": "serviceType", "slicing": by("value", "coding.system")},
            {"path": "serviceType", "sliceName": "taste", "slicing": by("value", "coding.code", rules="closed")},
            {"path": "serviceType.coding.system", "fixedUri": "urn:taste"},
            {"path": "serviceType", "sliceName": "taste/salt", "max": "1"},
            {"path": "serviceType.coding.code", "fixedCode": "salt"},
        ],
        [RED, SALT, {"coding": [{"system": "urn:taste", "code": "sweet"}]}, SALT],
        [("profile-slice-closed", "Slot.serviceType[2]"), ("profile-max", "Slot.serviceType")],
    ),
    (
        "slice told by a slice inside of it",
        [
            {"path": "serviceType", "slicing": by("value", "coding.code")},
            {"path": "serviceType", "sliceName": "salt", "min": 1},
            {"path": "serviceType.coding", "slicing": by("value", "system")},
            {"path": "serviceType.coding", "sliceName": "taste", "min": 1},
            {"path": "serviceType.coding.system", "fixedUri": "urn:taste"},
            {"path": "serviceType.coding.code", "fixedCode": "salt"},
        ],
        [RED],
        [("profile-min", "Slot.serviceType")],
    ),
    (
        "nothing to tell a slice by",
        [
            {"path": "serviceType", "slicing": by("value", "text", rules="closed")},
            {"path": "serviceType", "sliceName": "a", "max": "1"},
        ],
        [SALT, SALT],
        [("slicing-not-checked", "Slot")],
    ),
    (
        "discriminator of no kind",
        [
            {"path": "serviceType", "slicing": by("position", "$this")},
            {"path": "serviceType", "sliceName": "a", "max": "1"},
        ],
        [SALT, SALT],
        [("slicing-not-checked", "Slot")],
    ),
]


@pytest.mark.parametrize(("elements", "types", "expected"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_slices_of_values(elements: list[dict[str, Any]], types: list[dict[str, Any]], expected: Told) -> None:
    assert told(slot(*types), profile("own", "Slot", *elements)) == expected
    assert told(slot(*types), sparse("own", "Slot", *elements)) == expected


def test_slices_of_extensions_are_told_by_their_url_also_if_they_are_not_loaded() -> None:
    own = sparse(
        "own",
        "Slot",
        {"path": "extension", "sliceName": "a", "min": 1, "type": [{"code": "Extension", "profile": ["urn:x:a|1.0"]}]},
    )
    assert told(slot(extension=[{"url": "urn:x:b"}]), own) == [("profile-min", "Slot.extension")]
    assert told(slot(extension=[{"url": "urn:x:a"}]), own) == [("profile-not-checked", "Slot")]


def test_slices_of_a_choice_are_told_by_their_type() -> None:
    own = profile(
        "own",
        "Observation",
        {"path": "value[x]", "slicing": by("type", "$this", rules="closed")},
        {"path": "value[x]", "sliceName": "valueString", "type": [{"code": "string"}], "maxLength": 1},
    )
    assert told({"resourceType": "Observation", "valueString": "ab"}, own) == [
        ("profile-length", "Observation.value.ofType(string)")
    ]
    assert told({"resourceType": "Observation", "valueBoolean": True}, own) == [
        ("profile-slice-closed", "Observation.value.ofType(boolean)")
    ]


APPOINTMENT = {
    "resourceType": "Appointment",
    "contained": [{"resourceType": "Location", "id": "l"}, {"resourceType": "Practitioner", "id": "p"}],
    "status": "booked",
    "participant": [{"actor": {"reference": "#p"}}, {"actor": {"reference": "#l"}}],
}


def test_slices_are_told_by_the_type_that_a_reference_resolves_to() -> None:
    target = [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Location"]}]
    own = profile(
        "own",
        "Appointment",
        {"path": "participant", "slicing": by("type", "actor.resolve()")},
        {"path": "participant", "sliceName": "place", "max": "1"},
        {"path": "participant.actor", "type": target},
        {"path": "participant.required", "min": 1},
    )
    assert told(APPOINTMENT, own) == [("profile-min", "Appointment.participant[1].required")]
    three = {
        **APPOINTMENT,
        "participant": [{"actor": {"reference": f"Location/{id_}"}, "required": "optional"} for id_ in "ab"],
    }
    assert told(three, own) == [("profile-max", "Appointment.participant")]


def test_slices_are_told_by_the_profile_of_what_a_reference_resolves_to() -> None:
    named = profile("named", "Location", {"path": "name", "min": 1})
    own = profile(
        "own",
        "Appointment",
        {"path": "participant", "slicing": by("profile", "actor.resolve()")},
        {"path": "participant", "sliceName": "place", "min": 1},
        {"path": "participant.actor", "type": [{"code": "Reference", "targetProfile": [named["url"]]}]},
    )
    contained = [{"resourceType": "Location", "id": "l", "name": "a"}]
    assert (
        told({**APPOINTMENT, "contained": contained, "participant": APPOINTMENT["participant"][1:]}, own, named) == []
    )
    assert told(APPOINTMENT, own, named) == [
        ("profile-min", "Appointment.participant"),
        ("profile-slice-none", "Appointment.participant[0]"),
        ("profile-slice-none", "Appointment.participant[1]"),
    ]


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


FREE = profile("free", "Slot", {"path": "status", "patternCode": "free"})


def of_free_slots(kind: str, **rules: Any) -> dict[str, Any]:
    return profile(
        "own",
        "Bundle",
        {"path": "entry", "slicing": by(kind, "resource", **rules)},
        {"path": "entry", "sliceName": "free", "min": 1, "max": "2"},
        {"path": "entry.resource", "type": [{"code": "Slot", "profile": [FREE["url"]]}]},
    )


def test_entries_of_a_bundle_are_sliced_by_profile() -> None:
    own = of_free_slots("profile")
    assert told(bundle(slot()), own, FREE) == []
    found = issues(bundle(slot(status="busy")), own, FREE)
    assert [(one.id, one.severity) for one in found] == [
        ("profile-min", "error"),
        ("profile-slice-none", "information"),
    ]
    assert told(bundle(slot(), slot(), slot()), own, FREE) == [("profile-max", "Bundle.entry")]


def test_entries_of_a_bundle_are_sliced_by_type() -> None:
    own = of_free_slots("type", rules="closed")
    assert told(bundle(slot(status="busy")), own, FREE) == [("profile-pattern", "Bundle.entry[0].resource.status")]
    assert told(bundle(slot(), {"resourceType": "Patient"}), own, FREE) == [("profile-slice-closed", "Bundle.entry[1]")]


def test_slice_by_a_profile_that_is_not_loaded_is_not_counted() -> None:
    assert sorted(told(bundle(slot()), of_free_slots("profile", rules="closed"))) == [
        ("profile-not-checked", "Bundle"),
        ("slicing-not-checked", "Bundle"),
    ]


def test_slices_are_told_through_an_extension() -> None:
    def with_(code: str) -> dict[str, Any]:
        return {**RED, "extension": [{"url": "urn:x:kind", "valueCode": code}]}

    own = profile(
        "own",
        "Slot",
        {"path": "serviceType", "slicing": by("value", "extension('urn:x:kind').value")},
        {"path": "serviceType", "sliceName": "kind", "max": "1"},
        {"path": "serviceType.extension", "slicing": by("value", "url")},
        {"path": "serviceType.extension", "sliceName": "kind", "min": 1, "type": [{"code": "Extension"}]},
        {"path": "serviceType.extension.url", "fixedUri": "urn:x:kind"},
        {"path": "serviceType.extension.value[x]", "fixedCode": "a"},
    )
    assert told(slot(with_("a"), with_("b"), with_("b")), own) == []
    assert told(slot(with_("a"), with_("a")), own) == [("profile-max", "Slot.serviceType")]


def test_slices_are_told_by_what_the_profile_of_their_type_fixes() -> None:
    tasty = profile("tasty", "CodeableConcept", {"path": "coding"}, {"path": "coding.system", "fixedUri": "urn:taste"})
    own = profile(
        "own",
        "Slot",
        {"path": "serviceType", "slicing": by("value", "coding.system")},
        {
            "path": "serviceType",
            "sliceName": "tasty",
            "max": "1",
            "type": [{"code": "CodeableConcept", "profile": [tasty["url"]]}],
        },
    )
    assert told(slot(SALT, RED, RED), own, tasty) == []
    assert told(slot(SALT, RED, SALT), own, tasty) == [("profile-max", "Slot.serviceType")]


def test_slices_of_the_base_take_what_a_differential_adds() -> None:
    base = profile("base", "Slot", *taste(by("value", "coding.system"), 0))
    own = sparse(
        "own",
        "Slot",
        {"path": "serviceType", "sliceName": "taste", "min": 1},
        {"path": "serviceType.coding.display", "min": 1},
        baseDefinition=base["url"],
    )
    assert told(slot(RED), own, base) == [("profile-min", "Slot.serviceType")]
    assert told(slot(BLAND), own, base) == [
        ("profile-min", "Slot.serviceType[0].coding[0].display"),
        ("profile-min", "Slot.serviceType[0].text"),
    ]


@pytest.mark.parametrize("kind", ["type", "profile"])
def test_contained_resources_are_sliced_and_checked_against_the_profile_of_their_slice(kind: str) -> None:
    named = profile("named", "Location", {"path": "name", "min": 1}, {"path": "status", "max": "0"})
    own = profile(
        "own",
        "Appointment",
        {"path": "contained", "slicing": by(kind, "$this")},
        {
            "path": "contained",
            "sliceName": "place",
            "min": 1,
            "max": "1",
            "type": [{"code": "Location", "profile": [named["url"]]}],
        },
    )

    def with_(**more: Any) -> dict[str, Any]:
        location = {"resourceType": "Location", "id": "l", "name": "a", **more}
        return {**APPOINTMENT, "contained": [{"resourceType": "Patient", "id": "p"}, location]}

    found = [one for one in told(with_(), own, named) if one[0] != "profile-slice-none"]
    assert found == []
    broken = [one for one in told(with_(status="active"), own, named) if one[0] != "profile-slice-none"]
    expected = "Appointment.contained[1].status" if kind == "type" else "Appointment.contained"
    assert broken == [("profile-max" if kind == "type" else "profile-min", expected)]
