"""Random bookings, cancellations, moves and publications: whatever is let through, no time is promised twice."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.interactions.rules import Asked
from fhir_server.model.reference import Key
from fhir_server.scheduling.appointments import appointment_of
from fhir_server.scheduling.booking import Booking
from fhir_server.scheduling.slots import Slot, slot_of
from tests.rounds import FULL
from tests.scheduling.worlds import BASE, World, appointment, delete, put, slot

SLOTS = ("a", "b", "c", "d")
APPOINTMENTS = ("x", "y", "z")
TIMES = [(f"09:{start:02}", f"{9 + (start + 20) // 60:02}:{(start + 20) % 60:02}") for start in (0, 10, 20, 40)]

slots = st.builds(
    lambda id_, time, status, schedule, capacity, booked: put(
        slot(id_, time[0], time[1], status, schedule=schedule, capacity=capacity, booked=booked)
    ),
    st.sampled_from(SLOTS),
    st.sampled_from(TIMES),
    st.sampled_from(("free", "free", "free", "busy", "busy-unavailable")),
    st.sampled_from("sst"),
    st.sampled_from((None, None, 2)),
    st.booleans(),
)
appointments = st.builds(
    lambda id_, named, status: put(appointment(id_, *named, status=status)),
    st.sampled_from(APPOINTMENTS),
    st.lists(st.sampled_from(SLOTS), min_size=1, max_size=2),
    st.sampled_from(("booked", "booked", "booked", "proposed", "cancelled", "waitlist")),
)
deletions = st.builds(
    lambda url, by_criteria: delete(url, by_criteria=by_criteria),
    st.sampled_from([*(f"Slot/{id_}" for id_ in SLOTS), *(f"Appointment/{id_}" for id_ in APPOINTMENTS)]),
    st.booleans(),
)
transactions = st.lists(
    st.one_of(slots, appointments, appointments, deletions), min_size=1, max_size=4, unique_by=lambda one: one.key
)


@pytest.mark.torture
@given(writes=st.lists(transactions, min_size=1, max_size=14))
@settings(max_examples=1_000 if FULL else 100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_time_is_promised_twice(writes: list[list[Asked]]) -> None:
    world = World()
    for asked in writes:
        before = dict(world.resources)
        decision = await world.write(*asked)
        if decision.refusal is not None:
            assert world.resources == before
        problems = list(_problems(world, is_parallel=False))
        assert not problems, (asked, problems)


@pytest.mark.torture
@given(writes=st.lists(transactions, min_size=1, max_size=10))
@settings(max_examples=300 if FULL else 30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_slot_has_more_holders_than_places_where_slots_are_parallel(writes: list[list[Asked]]) -> None:
    world = World(Booking((BASE,), is_parallel=True))
    for asked in writes:
        await world.write(*asked)
        assert not list(_problems(world, is_parallel=True))


def _problems(world: World, *, is_parallel: bool) -> list[str]:
    """Return what is not as it has to be: a naive look at all there is."""
    there = {key: slot_of(key, one, (BASE,)) for key, one in world.resources.items() if key.type == "Slot"}
    held: defaultdict[Key, set[Key]] = defaultdict(set)
    for key, one in world.resources.items():
        for named in appointment_of(key, one, (BASE,)).slots if key.type == "Appointment" else ():
            held[named].add(key)
    found = [f"{key} is held and not there" for key in held if key not in there]
    for key, slot_ in there.items():
        is_full = len(held[key]) >= slot_.capacity
        others = [other for other in there.values() if _overlap(slot_, other) and held[other.key] and not is_parallel]
        if len(held[key]) > slot_.capacity:
            found.append(f"{key} has too many holders")
        if slot_.status == "free" and (is_full or others):
            found.append(f"{key} is offered, and taken")
        if slot_.is_booked and not (is_full or others):
            found.append(f"{key} is busy for a booking that is not there")
        if slot_.is_booked and slot_.status != "busy":
            found.append(f"{key} is marked, and not busy")
        if any(held[key] - held[other.key] and held[other.key] - held[key] for other in others):
            found.append(f"{key} and another slot of that time have different holders")
    return found


def _overlap(one: Slot, other: Slot) -> bool:
    return one.key != other.key and one.overlaps(other)
