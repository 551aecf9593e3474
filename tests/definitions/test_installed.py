"""What stored SearchParameter resources add up to, and what the registry makes of it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.definitions.installed import Installed, Ledger
from fhir_server.definitions.parameters import SearchParameter, SearchParameterType
from fhir_server.definitions.registry import Registry

REGISTRY = Registry.load()


def resource(code: str = "colour", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "url": f"https://example.org/SearchParameter/{code}",
        "status": "active",
        "code": code,
        "base": ["Slot"],
        "type": "string",
        "expression": "Slot.comment",
        **more,
    }


def ledger(*versions: tuple[str, int, dict[str, Any] | None]) -> Ledger:
    made = Ledger(lambda parameter: REGISTRY.builtin(parameter.base, parameter.code) is None)
    for version in versions:
        made.add(*version)
    return made


def codes(installed: Installed) -> list[tuple[str, str, str]]:
    return [(one.id, one.base, one.code) for one in installed.parameters]


def test_an_active_definition_is_one_parameter_for_each_base() -> None:
    installed = ledger(("a", 3, resource(base=["Slot", "Schedule"]))).installed(9)
    assert codes(installed) == [("a", "Slot", "colour"), ("a", "Schedule", "colour")]
    assert installed.generation == 9
    assert installed.changed == {("Slot", "colour"): 3, ("Schedule", "colour"): 3}


@pytest.mark.parametrize("status", ["draft", "retired", "unknown"])
def test_only_active_definitions_count(status: str) -> None:
    assert ledger(("a", 3, resource(status=status))).installed(3) == Installed(3)
    ended = ledger(("a", 3, resource()), ("a", 5, resource(status=status))).installed(5)
    assert ended == Installed(5, (), {("Slot", "colour"): 5})


def test_a_deleted_definition_counts_no_more_and_what_it_indexed_has_changed() -> None:
    assert ledger(("a", 3, resource()), ("a", 4, None)).installed(4) == Installed(4, (), {("Slot", "colour"): 4})


def test_what_is_indexed_changes_with_type_expression_base_and_code_only() -> None:
    changes: list[dict[str, Any]] = [
        {"description": "said better"},
        {"url": "https://example.org/other"},
        {"target": ["Patient"]},
        {"type": "token"},
        {"expression": "Slot.id"},
    ]
    made = ledger(("a", 1, resource()))
    seen = []
    for number, change in enumerate(changes, 2):
        made.add("a", number, resource(**change))
        seen.append(made.installed(number).changed["Slot", "colour"])
    assert seen == [1, 1, 1, 5, 6]
    made.add("a", 7, resource("color", base=["Schedule"]))
    assert made.installed(7).changed == {("Slot", "colour"): 7, ("Schedule", "color"): 7}


def test_what_describes_a_parameter_that_is_there_anyway_changes_nothing() -> None:
    assert ledger(("a", 3, resource("status"))).installed(3) == Installed(3)


@pytest.mark.parametrize("missing", ["base", "code", "type", "expression", "url"])
def test_what_cannot_be_searched_by_counts_for_nothing(missing: str) -> None:
    found = resource()
    del found[missing]
    assert ledger(("a", 3, found)).installed(3) == Installed(3)


def test_the_sum_can_be_sent_to_another_process() -> None:
    installed = ledger(("a", 3, resource())).installed(3)
    assert pickle.loads(pickle.dumps(installed)) == installed  # noqa: S301 our own


# --- in the registry -------------------------------------------------------------------------------------------------


def test_a_stored_parameter_is_one_of_its_type() -> None:
    registry = REGISTRY.with_installed(ledger(("a", 3, resource())).installed(4))
    assert registry.generation == 4
    assert registry.parameters("Slot")["colour"].id == "a"
    assert "colour" not in registry.parameters("Schedule")
    assert "colour" not in REGISTRY.parameters("Slot")
    assert "colour" not in registry.with_installed(Installed(5)).parameters("Slot")


def test_a_stored_parameter_of_all_resources_is_one_of_each_type() -> None:
    registry = REGISTRY.with_installed(ledger(("a", 3, resource(base=["Resource"], expression="id"))).installed(3))
    assert registry.parameters("Slot")["colour"].base == "Resource"
    assert registry.changed_for("Slot") == registry.changed_for("Bundle") == registry.changed == 3


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"url": "http://c/d", "expression": "schedule", "targets": frozenset()}, True),
        ({"targets": frozenset(("Location",))}, False),
        ({"expression": "Slot.identifier.assigner"}, False),
        ({"type": SearchParameterType.TOKEN}, False),
        ({"code": "calendar"}, False),
    ],
)
def test_a_stored_parameter_that_finds_what_a_guides_does_changes_nothing(
    change: dict[str, Any], is_same: bool
) -> None:
    kind, targets = SearchParameterType.REFERENCE, frozenset(("Schedule",))
    guides = SearchParameter("agenda", kind, "Slot", "Slot.schedule", "http://a/b", targets)
    assert REGISTRY.with_parameters([guides], 0).is_of_guide(replace(guides, id="x", **change)) is is_same


def test_a_stored_parameter_goes_before_that_of_a_guide_which_comes_back_with_its_end() -> None:
    guides = SearchParameter("colour", SearchParameterType.STRING, "Slot", "Slot.comment", "http://a/b")
    registry = REGISTRY.with_parameters([guides], 0)
    made = ledger(("a", 3, resource()))
    assert registry.with_installed(made.installed(3)).parameters("Slot")["colour"].id == "a"
    made.add("a", 4, None)
    assert registry.with_installed(made.installed(4)).parameters("Slot")["colour"] is guides


def test_the_first_of_two_of_one_code_counts() -> None:
    registry = REGISTRY.with_installed(ledger(("a", 3, resource()), ("b", 4, resource())).installed(4))
    assert registry.parameters("Slot")["colour"].id == "a"


def test_a_parameter_waits_for_the_resources_of_its_type_and_of_those_on_the_way() -> None:
    made = ledger(("a", 3, resource()), ("b", 6, resource("later")))
    registry = REGISTRY.with_installed(made.installed(6), {"Slot": 4, "Appointment": 0})
    assert not registry.is_waiting(["Slot"], "colour")
    assert registry.is_waiting(["Slot"], "later")
    assert not registry.is_waiting(["Slot"], "status")
    assert registry.is_waiting(["Appointment", "Slot"], "colour")
    assert not registry.is_waiting(["Appointment"], "status")
    assert not REGISTRY.with_installed(made.installed(6)).is_waiting(["Slot"], "later")
    assert (registry.changed, registry.changed_for("Slot"), registry.changed_for("Patient")) == (6, 6, 0)


def test_what_r4_and_this_project_have_is_built_in() -> None:
    status, of_all, ours = (REGISTRY.builtin("Slot", code) for code in ("status", "_id", "end"))
    assert status is not None
    assert status.url == "http://hl7.org/fhir/SearchParameter/Slot-status"
    assert of_all is not None
    assert of_all.base == "Resource"
    assert ours is not None
    assert ours.is_ours
    assert REGISTRY.builtin("Slot", "_text") is not None
    assert REGISTRY.builtin("Slot", "colour") is None
