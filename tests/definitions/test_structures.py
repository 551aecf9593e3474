"""The tables of R4 say what R4 says, and are cut and read as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest
from pydantic import BaseModel

from fhir_server.definitions.elements import OPEN_TYPES, Element, parse_element
from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.definitions.structures import Structures

STRUCTURES = Structures.load()
HL7 = "http://hl7.org/fhir/ValueSet/"
NOT_LISTED = {
    f"{HL7}currencies",
    f"{HL7}detectedissue-status",
    f"{HL7}mimetypes",
    f"{HL7}ucum-units",
    "http://loinc.org/vs/LL379-9",
}
"""Required value sets that are open, or whose codes are not in the tables."""


def elements(type_: str) -> Iterator[Element]:
    """Yield the elements of a type and of its backbones."""
    todo = [type_]
    while todo:
        for element in STRUCTURES.children(todo.pop()).values():
            yield element
            if element.is_backbone and element.content is None:
                todo.append(element.path)


def test_resource_types_are_those_of_r4() -> None:
    codes = STRUCTURES.codes(f"{HL7}resource-types")
    assert codes is not None
    assert set(codes) - {"Resource", "DomainResource"} == STRUCTURES.resource_types
    assert len(STRUCTURES.resource_types) == 146
    assert "SubscriptionStatus" not in STRUCTURES.types


def test_types_are_those_of_r4() -> None:
    codes = STRUCTURES.codes(f"{HL7}defined-types")
    assert codes is not None
    assert STRUCTURES.types == set(codes) - {"SimpleQuantity", "MoneyQuantity"}


@pytest.mark.parametrize("type_", sorted(STRUCTURES.types))
def test_elements_are_whole(type_: str) -> None:
    for element in elements(type_):
        assert element.min <= (element.max or element.min)
        assert set(element.types) <= STRUCTURES.types, element.path
        assert element.targets <= STRUCTURES.resource_types | {"Resource"}, element.path
        assert bool(element.targets) == ("Reference" in element.types), element.path
        assert element.is_choice == (len(element.types) > 1), element.path
        assert STRUCTURES.element(element.path) is element
        if element.value_set is not None:
            assert "|" not in element.value_set
            assert (STRUCTURES.codes(element.value_set) is None) == (element.value_set in NOT_LISTED), element.path
        if element.content is not None:
            assert STRUCTURES.children(element.path) is STRUCTURES.children(element.content)


def test_an_element_says_all_that_the_table_does() -> None:
    status = STRUCTURES.element("Appointment.status")
    assert (status.min, status.max, status.types) == (1, 1, ("code",))
    assert (status.is_summary, status.is_modifier, status.plain) == (True, True, False)
    assert status.value_set == f"{HL7}appointmentstatus"
    actor = STRUCTURES.element("Appointment.participant.actor")
    assert {"Patient", "Practitioner", "HealthcareService"} < actor.targets
    participant = STRUCTURES.element("Appointment.participant")
    assert participant.max is None
    assert participant.is_backbone
    assert STRUCTURES.element("Slot.schedule").targets == {"Schedule"}
    assert STRUCTURES.element("Appointment.supportingInformation").targets == {"Resource"}
    assert STRUCTURES.element("Slot.specialty").value_set is None
    assert STRUCTURES.element("Slot.specialty").binding == f"{HL7}c80-practice-codes"
    assert STRUCTURES.element("Meta.profile").canonical_targets == {"StructureDefinition"}


def test_children_are_in_the_order_of_r4() -> None:
    assert " ".join(STRUCTURES.children("Slot")) == (
        "id meta implicitRules language text contained extension modifierExtension identifier serviceCategory "
        "serviceType specialty appointmentType schedule status start end overbooked comment"
    )
    assert " ".join(STRUCTURES.children("Appointment.participant")) == (
        "id extension modifierExtension type actor required status period"
    )
    assert " ".join(STRUCTURES.children("Age")) == "id extension value comparator unit system code"
    assert list(STRUCTURES.children("code")) == ["id", "extension"]


def test_ids_and_urls_of_extensions_are_plain() -> None:
    plain = {element.path: element.types for type_ in STRUCTURES.types for element in elements(type_) if element.plain}
    assert plain["Slot.id"] == ("id",)
    assert plain["Period.id"] == ("string",)
    assert plain["Extension.url"] == ("uri",)
    assert all(path.endswith(".id") for path in set(plain) - {"Extension.url"})


def test_a_choice_has_a_property_for_each_type() -> None:
    assert STRUCTURES.element("Patient.deceased[x]").json_names() == {
        "deceasedBoolean": "boolean",
        "deceasedDateTime": "dateTime",
    }
    assert STRUCTURES.element("Slot.status").json_names() == {"status": "code"}
    assert len(STRUCTURES.element("Extension.value[x]").json_names()) == len(OPEN_TYPES) == 50


@pytest.mark.parametrize("path", ["Nothing", "Slot.status", "Slot.nothing", "Nothing.a", "", "Slot."])
def test_unknown_paths_are_key_errors(path: str) -> None:
    with pytest.raises(KeyError):
        STRUCTURES.children(path)


@pytest.mark.parametrize(
    ("type_", "ancestor", "expected"),
    [
        ("code", "string", True),
        ("code", "Element", True),
        ("canonical", "uri", True),
        ("url", "string", False),
        ("Age", "Quantity", True),
        ("Slot", "DomainResource", True),
        ("Bundle", "DomainResource", False),
        ("Bundle", "Resource", True),
        ("Appointment.participant", "BackboneElement", True),
        ("Appointment.participant", "Element", True),
        ("Timing.repeat", "BackboneElement", False),
        ("Timing.repeat", "Element", True),
        ("No.Such", "Resource", False),
        ("Nothing", "Resource", False),
    ],
)
def test_types_have_ancestors(type_: str, ancestor: str, expected: bool) -> None:
    assert STRUCTURES.is_a(type_, ancestor) is expected


def test_codes_know_their_systems() -> None:
    codes = STRUCTURES.codes(f"{HL7}slotstatus")
    assert codes is not None
    assert set(codes) == {"busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error"}
    assert codes["free"] == {"http://hl7.org/fhir/slotstatus"}
    assert STRUCTURES.codes(f"{HL7}mimetypes") is None


def test_invariants_are_inherited_by_types_only() -> None:
    def keys(path: str) -> list[str]:
        return [each.key for each in STRUCTURES.invariants(path)]

    assert keys("Period") == ["ele-1", "per-1"]
    assert keys("Extension") == ["ele-1", "ext-1"]
    assert keys("Age") == ["ele-1", "qty-3", "age-1"]
    assert keys("Slot") == ["dom-2", "dom-3", "dom-4", "dom-5", "dom-6"]
    assert keys("Bundle")[0] == "bdl-1"
    assert keys("Appointment.participant") == ["app-1"]
    assert keys("Slot.status") == []
    assert {each.severity for each in STRUCTURES.invariants("Slot")} == {"error", "warning"}


def test_every_invariant_stands_on_a_type_or_element() -> None:
    for context in STRUCTURES.invariant_contexts():
        assert context in STRUCTURES.types or STRUCTURES.element(context)


def test_a_line_without_flags_or_with_a_version_free_binding_is_read() -> None:
    assert parse_element(" a 0..* Reference(Group,Patient)|string", "T") == Element(
        "T.a", "a", 0, None, ("Reference", "string"), frozenset(("Group", "Patient"))
    )
    assert parse_element("  b 1..1 code - required:http://v", "T.a").value_set == "http://v"


DIFFERS = {"Group.member.entity": {"RelatedPerson"}}
"""Where R4B allows targets that R4 does not."""


@pytest.mark.parametrize("type_", sorted(DEFAULT_TYPES))
def test_elements_and_targets_agree_with_an_independent_model(type_: str) -> None:
    model = getattr(import_module(f"fhir.resources.R4B.{type_.lower()}"), type_)
    todo: list[tuple[str, type[BaseModel]]] = [(type_, model)]
    while todo:
        path, model = todo.pop()
        children = STRUCTURES.children(path)
        properties = {name: element for element in children.values() for name in element.json_names()}
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        names = {
            name for name in fields if not name.endswith("__ext") and name not in ("resourceType", "fhir_comments")
        }
        assert {name for name in names if not name.startswith("_")} == set(properties), path
        for name, element in properties.items():
            extra = fields[name].json_schema_extra
            targets = extra.get("enum_reference_types") if isinstance(extra, dict) else None
            if isinstance(targets, list) and element.targets:
                assert set(targets) - DIFFERS.get(element.path, set()) == set(element.targets), element.path
        for element in children.values():
            if element.is_backbone and element.content is None:
                name = model.__name__ + element.name[0].upper() + element.name[1:]
                todo.append((element.path, getattr(import_module(model.__module__), name)))
