"""Definitions that are wrong, endless or far too large: they are told, and end in time."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.definitions.structures import Structures
from fhir_server.validation.faults import MAX_ISSUES
from fhir_server.validation.profiles.snapshot import MAX_DEPTH, MAX_ELEMENTS
from fhir_server.validation.profiles.validator import ProfileValidator
from tests.validation.profiles.defining import BASE, COLOURS, VALIDATOR, Library, issues, profile, sparse, told

SLOT: dict[str, Any] = {"resourceType": "Slot", "status": "free", "identifier": [{"value": "1"}] * 5}
UNUSABLE: list[tuple[str, dict[str, Any]]] = [
    ("no StructureDefinition", {"resourceType": "ValueSet", "url": BASE + "own"}),
    ("no type", {"resourceType": "StructureDefinition", "url": BASE + "own"}),
    ("type that R4 does not have", profile("own", "Slot") | {"type": "Agenda"}),
    ("type that is no text", profile("own", "Slot") | {"type": ["Slot"]}),
    ("path of another type", profile("own", "Slot") | {"snapshot": {"element": [{"path": "Patient.name"}]}}),
    ("element without path", profile("own", "Slot") | {"snapshot": {"element": [{"min": 1}]}}),
    ("element that is none", profile("own", "Slot") | {"snapshot": {"element": ["Slot"]}}),
    ("too many elements", profile("own", "Slot", *[{"path": "comment"}] * MAX_ELEMENTS)),
    ("too deep", profile("own", "Slot", {"path": ".".join(["extension"] * (MAX_DEPTH + 1))})),
    ("slices too deep", profile("own", "Slot", {"path": "extension", "sliceName": "a/" * (MAX_DEPTH + 1)})),
    ("its own base", sparse("own", "Slot", baseDefinition=BASE + "own")),
]


@pytest.mark.parametrize("definition", [row[1] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE])
def test_definition_that_is_of_no_use_is_told_once(definition: dict[str, Any]) -> None:
    assert told(SLOT, definition) == [("profile-not-checked", "Slot")]


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"path": "comment", "min": 1}, []),
        ({"path": "colour", "min": 1}, ["element-not-checked"]),
        ({"path": "comment", "constraint": [{"key": "own-1", "expression": "length() > 3"}]}, []),
        ({"path": "comment", "constraint": [{"key": "own-1", "expression": "today() > 3"}]}, ["invariant-not-checked"]),
        ({"path": "", "constraint": [{"key": "own-1", "expression": "colour = 'red'"}]}, ["invariant-not-checked"]),
        ({"path": "identifier", "constraint": [{"key": "own-1", "expression": "start"}]}, ["invariant-not-checked"]),
    ],
)
def test_profile_that_is_validated_itself_is_told_what_of_it_cannot_be_checked(
    element: dict[str, Any], expected: list[str]
) -> None:
    own = profile("own", "Slot", element)
    assert [issue.id for issue in VALIDATOR.validate(own, Library(), COLOURS)] == expected
    broken = {**own, "type": "Agenda"}
    assert [issue.id for issue in VALIDATOR.validate(broken, Library(), COLOURS)] == ["profile-not-checked"]


@pytest.mark.parametrize("value", [None, 1, "a", ["a"], {"a": 1}, [None], [{"a": [1]}], [[]], -1, True])
@pytest.mark.parametrize(
    "name",
    [
        "min",
        "max",
        "type",
        "slicing",
        "fixedCode",
        "constraint",
        "binding",
        "contentReference",
        "sliceName",
        "id",
        "maxLength",
    ],
)
def test_nonsense_in_a_definition_raises_nothing(name: str, value: Any) -> None:
    issues(SLOT, profile("own", "Slot", {"path": "identifier", name: value}, {"path": "identifier.value"}))
    issues(SLOT, profile("own", "Slot", {"path": "identifier", "sliceName": "a", name: value}))


@pytest.mark.parametrize("value", [None, 1, "a", [], ["a"], {"a": 1}, [None], [[{}]], {"reference": 1}, True])
@pytest.mark.parametrize(
    "name",
    [
        "meta",
        "extension",
        "_status",
        "contained",
        "identifier",
        "schedule",
        "status",
        "serviceType",
        "start",
        "resourceType",
    ],
)
def test_nonsense_in_a_resource_raises_nothing(name: str, value: Any) -> None:
    own = profile(
        "own",
        "Slot",
        {"path": "identifier", "slicing": {"discriminator": [{"type": "value", "path": "system"}], "rules": "closed"}},
        {"path": "identifier", "sliceName": "a", "patternIdentifier": {"system": "urn:a"}},
        {"path": "schedule", "type": [{"code": "Reference", "targetProfile": [BASE + "own"]}]},
        {"path": "status", "fixedCode": "free", "maxLength": 2},
        {"path": "start", "minValueInstant": "2024-01-01T00:00:00Z"},
        {"path": "serviceType.coding", "binding": {"strength": "required", "valueSet": BASE + "colours"}},
    )
    issues({**SLOT, name: value}, own)


def test_types_that_profile_each_other_end_with_the_data() -> None:
    def of(name: str, other: str) -> dict[str, Any]:
        return profile(
            name, "Extension", {"path": "extension", "type": [{"code": "Extension", "profile": [BASE + other]}]}
        )

    value: dict[str, Any] = {"url": "urn:x"}
    for _ in range(20):
        value = {"url": "urn:x", "extension": [value]}
    own = profile("own", "Slot", {"path": "extension", "type": [{"code": "Extension", "profile": [BASE + "a"]}]})
    assert told({**SLOT, "extension": [value]}, own, of("a", "b"), of("b", "a")) == []


@pytest.mark.parametrize("target", ["#Questionnaire.item", "#Questionnaire.item.item", "#nothing", "#"])
def test_content_that_refers_to_itself_ends(target: str) -> None:
    own = profile(
        "own",
        "Questionnaire",
        {"path": "item", "contentReference": "#Questionnaire.item"},
        {"path": "item.item", "contentReference": target},
        {"path": "item.text", "min": 1},
    )
    found = told({"resourceType": "Questionnaire", "item": [{"item": [{}]}]}, own)
    assert found
    assert len(found) <= MAX_ISSUES + 1


def test_absurd_slicing_is_cut_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_server.validation.profiles.run.MAX_STEPS", 5_000)
    slices = [
        part
        for number in range(900)
        for part in (
            {"path": "identifier", "sliceName": f"s{number}"},
            {"path": "identifier.system", "fixedUri": f"urn:{number}", "min": 1},
        )
    ]
    slicing = {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}
    own = profile("own", "Slot", {"path": "identifier", "slicing": slicing}, *slices)
    many = {**SLOT, "identifier": [{"system": "urn:x"}] * 10}
    assert "validation-cut" in {id_ for id_, _ in told(many, own)}


DEEP = "%resource.descendants()"
COSTLY = [
    ("regular expression", "comment.matches('^(a+)+$')", []),
    ("regular expression that RE2 does not have", "comment.matches('(?=a)b')", ["invariant-not-checked"]),
    ("items that double", "identifier" + ".select($this.combine($this))" * 30, ["invariant-not-checked"]),
    ("texts that double", "comment" + ".select($this & $this)" * 40, ["invariant-not-checked"]),
    ("texts that grow", "comment" + ".replaceMatches('.', 'aaaaaaaaaa')" * 20, ["invariant-not-checked"]),
    ("walks in walks", f"identifier.select({DEEP}).select({DEEP})", ["invariant-not-checked"]),
    ("too long", "comment = '" + "a" * 5_000 + "'", ["invariant-not-checked"]),
]


@pytest.mark.parametrize(("expression", "expected"), [row[1:] for row in COSTLY], ids=[row[0] for row in COSTLY])
def test_invariant_that_costs_too_much_is_told(
    expression: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.validation.profiles.run.MAX_ITEMS", 10_000)
    rule = {"key": "own-1", "severity": "error", "human": "a", "expression": f"({expression}).exists().not() or true"}
    own = profile("own", "Slot", {"path": "", "constraint": [rule]})
    found = [id_ for id_, _ in told({**SLOT, "comment": "a" * 60 + "!", "identifier": [{"value": "1"}] * 50}, own)]
    assert found == expected


@pytest.mark.parametrize("brackets", [1, 15])
def test_invariants_that_call_their_own_profile_end(brackets: int) -> None:
    expression = "(" * brackets + f"conformsTo('{BASE}text')" + ") and true" * brackets
    text = profile("text", "string", {"path": "", "constraint": [{"key": "own-1", "expression": expression}]})
    own = profile("own", "Slot", {"path": "comment", "type": [{"code": "string", "profile": [BASE + "text"]}]})
    assert told({**SLOT, "comment": "a"}, own, text) == [("validation-cut", "Slot")]


def test_many_issues_are_counted() -> None:
    own = profile("own", "Slot", {"path": "identifier.use", "min": 1})
    found = issues({**SLOT, "identifier": [{"value": "1"}] * 1000}, own)
    assert len(found) == MAX_ISSUES + 1
    assert found[-1].id == "issues-cut"


def test_compiled_profiles_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_server.validation.profiles.loaded.MAX_KEPT", 3)
    validator = ProfileValidator(Structures.load())
    for number in [*range(8), *range(8)]:
        own = profile(f"own{number}", "Slot", {"path": "comment", "min": 1})
        assert told(SLOT, own, validator=validator) == [("profile-min", "Slot.comment")]
