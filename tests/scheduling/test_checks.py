"""What a resource alone is refused for: a capacity that is no number, a search parameter that hides bookings."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.scheduling.parameters import check_parameters
from fhir_server.scheduling.slots import CAPACITY, check_capacity, check_times
from tests.scheduling.worlds import appointment, slot


def parameter(**more: Any) -> dict[str, Any]:
    body = {"resourceType": "SearchParameter", "status": "active", "base": ["Appointment"], "code": "slot"}
    return {**body, "expression": "Appointment.supportingInformation", **more}


@pytest.mark.parametrize(
    ("resource", "is_refused"),
    [
        (parameter(), True),
        (parameter(expression=None), True),
        (parameter(base=["Slot", "Appointment"]), True),
        (parameter(base=["DomainResource"], code="start", expression="DomainResource.text"), True),
        (parameter(base=["Slot"], code="end", expression="Slot.start"), True),
        (parameter(expression="Appointment.slot"), False),
        (parameter(status="retired"), False),
        (parameter(code="slots"), False),
        (parameter(base=["AppointmentResponse"]), False),
        (slot("a"), False),
    ],
)
def test_search_parameters_by_which_bookings_are_found(resource: dict[str, Any], is_refused: bool) -> None:
    assert [issue.id for issue in check_parameters(resource)] == ["search-parameter-needed"] * is_refused


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([], []),
        ([{"valuePositiveInt": 1}], []),
        ([{"valueInteger": 12}], []),
        ([{"valueInteger": 0}], [0]),
        ([{"valueInteger": -1}], [0]),
        ([{"valueInteger": True}], [0]),
        ([{"valueString": "3"}], [0]),
        ([{}], [0]),
        ([{"valuePositiveInt": 1}, {"valuePositiveInt": 2}], [1]),
    ],
)
def test_capacity(values: list[dict[str, Any]], places: list[int]) -> None:
    extensions = [{"url": CAPACITY, **value} for value in values]
    found = [issue.expression for issue in check_capacity(slot("a", extension=extensions))]
    assert found == [(f"Slot.extension[{place}]",) for place in places]
    assert not list(check_capacity(appointment("x", "a", extension=extensions)))


@pytest.mark.parametrize(
    ("end", "is_refused"),
    [("2026-01-05T08:59:59Z", True), ("2026-01-05T09:00:00Z", False), ("2026-01-05T09:59:59+01:00", True)],
)
def test_what_ends_before_it_starts_is_refused(end: str, is_refused: bool) -> None:
    times = {"start": "2026-01-05T09:00:00Z", "end": end}
    for one in (slot("a"), appointment("x", "a")):
        found = [issue.id for issue in check_times({**one, **times})]
        assert found == ["booking-times"] * is_refused
    assert not list(check_times({"resourceType": "Encounter", **times}))
    assert not list(check_times({"resourceType": "Appointment", "status": "proposed"}))
