"""What becomes of a write: given slots and appointments, a change; the statuses afterwards, or why it is refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from fhir_server.interactions.rules import Asked
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, Unprocessable
from fhir_server.scheduling.appointments import HOLDING
from fhir_server.scheduling.booking import Booking
from fhir_server.scheduling.decisions import warnings
from tests.scheduling.worlds import BASE, World, appointment, delete, put, seen, slot


class Case(NamedTuple):
    """``after`` is the status of each slot by id (``busy*``: because of a booking), or the ids of the issues."""

    name: str
    given: list[Resource]
    asked: list[Asked]
    after: dict[str, str] | list[str]


def taken(id_: str = "a", by: str = "x", **more: Any) -> list[Resource]:
    return [slot(id_, status="busy", booked=True, **more), appointment(by, id_)]


def timeless(id_: str) -> Resource:
    """A slot of which R4 lets an extension say why it has no start."""
    body = slot(id_)
    del body["start"]
    return {**body, "_start": {"extension": [{"url": "https://example.org/why", "valueCode": "unknown"}]}}


CASES = [
    # --- taking
    Case("a booking turns its slot busy", [slot("a")], [put(appointment("x", "a"))], {"a": "busy*"}),
    Case("one appointment takes several slots", [slot("a"), slot("b", "10:00", "10:30")],
         [put(appointment("x", "a", "b"))], {"a": "busy*", "b": "busy*"}),
    Case("a slot listed twice is taken once", [slot("a")], [put(appointment("x", "a", "a"))], {"a": "busy*"}),
    Case("an absolute URL of ours is ours", [slot("a")], [put(appointment("x", f"{BASE}/Slot/a"))], {"a": "busy*"}),
    Case("a versioned reference names the slot", [slot("a")], [put(appointment("x", "Slot/a/_history/1"))],
         {"a": "busy*"}),
    Case("another server's slot is none of ours", [slot("a")],
         [put(appointment("x", "https://agenda.example.org/fhir/Slot/a"))], {"a": "free"}),
    Case("without a slot there is no rule", [], [put(appointment("x"))], {}),
    Case("a full slot", taken(), [put(appointment("y", "a"))], ["slot-full"]),
    Case("two of one transaction want one slot", [slot("a")],
         [put(appointment("x", "a")), put(appointment("y", "a"))], ["slot-full", "slot-full"]),
    Case("a slot without a time", [timeless("a")], [put(appointment("x", "a"))], ["slot-without-time"]),
    Case("a slot without a time overlaps nothing", [timeless("b"), slot("a")], [put(appointment("x", "a"))],
         {"a": "busy*", "b": "free"}),
    Case("a slot that is not there", [], [put(appointment("x", "a"))], ["slot-missing"]),
    Case("a slot that goes in the same transaction", [slot("a")],
         [delete("Slot/a"), put(appointment("x", "a"))], ["slot-held"]),
    Case("a slot that goes by criteria is kept for its booking", [slot("a")],
         [delete("Slot/a", by_criteria=True), put(appointment("x", "a"))], {"a": "busy*"}),
    Case("walk-in", [slot("a", walk_in=True)], [put(appointment("x", "a"))], ["slot-walk-in"]),
    *(Case(f"a slot that is {status}", [slot("a", status=status)], [put(appointment("x", "a"))], ["slot-not-free"])
      for status in ("busy", "busy-unavailable", "busy-tentative", "entered-in-error")),
    # --- the client's own status of the slot
    Case("the client's own busy is the booking's", [slot("a")],
         [put(slot("a", status="busy")), put(appointment("x", "a"))], {"a": "busy*"}),
    Case("a slot made busy together with its booking", [],
         [put(slot("a", status="busy"), is_new=True), put(appointment("x", "a"))], {"a": "busy*"}),
    Case("a slot made free together with its booking", [],
         [put(slot("a"), is_new=True), put(appointment("x", "a"))], {"a": "busy*"}),
    Case("a busy of the editor is not merged", [slot("a", status="busy")],
         [put(slot("a", status="busy")), put(appointment("x", "a"))], ["slot-not-free"]),
    Case("who frees a slot may book it", [slot("a", status="busy")],
         [put(slot("a")), put(appointment("x", "a"))], {"a": "busy*"}),
    Case("the client's own busy-unavailable", [slot("a")],
         [put(slot("a", status="busy-unavailable")), put(appointment("x", "a"))], ["slot-not-free"]),
    Case("the client's own busy of a session closes it", [slot("a", capacity=3)],
         [put(slot("a", status="busy", capacity=3)), put(appointment("x", "a"))], {"a": "busy"}),
    # --- leaving
    *(Case(f"{status} frees the slot", taken(), [put(appointment("x", "a", status=status))], {"a": "free"})
      for status in ("cancelled", "noshow", "entered-in-error", "waitlist")),
    *(Case(f"{status} holds the slot", taken(), [put(appointment("x", "a", status=status))], {"a": "busy*"})
      for status in sorted(HOLDING)),
    Case("a deleted appointment frees its slot", taken(), [delete("Appointment/x")], {"a": "free"}),
    Case("an appointment deleted by criteria too", taken(), [delete("Appointment/x", by_criteria=True)],
         {"a": "free"}),
    Case("rescheduling frees and takes", [*taken(), slot("b", "10:00", "10:30")], [put(appointment("x", "b"))],
         {"a": "free", "b": "busy*"}),
    Case("two appointments change places", [*taken(), *taken("b", "y", start="10:00", end="10:30")],
         [put(appointment("x", "b")), put(appointment("y", "a"))], {"a": "busy*", "b": "busy*"}),
    Case("one goes, another comes", taken(),
         [put(appointment("x", "a", status="cancelled")), put(appointment("y", "a"))], {"a": "busy*"}),
    Case("a busy of the editor stays", [slot("a", status="busy"), appointment("x", "a")],
         [put(appointment("x", "a", status="cancelled"))], {"a": "busy"}),
    Case("an update that changes nothing", taken(), [put(appointment("x", "a"))], {"a": "busy*"}),
    Case("what was cancelled comes back", [slot("a"), appointment("x", "a", status="cancelled")],
         [put(appointment("x", "a"))], {"a": "busy*"}),
    Case("what was cancelled comes too late", [*taken(by="y"), appointment("x", "a", status="cancelled")],
         [put(appointment("x", "a"))], ["slot-full"]),
    Case("an appointment whose slot is gone can be changed", [appointment("x", "a")],
         [put(appointment("x", "a", status="arrived"))], {}),
    # --- writing a held slot
    Case("freed", taken(), [put(slot("a"))], ["slot-held"]),
    Case("freed, with the mark as it was read", taken(), [put(slot("a", booked=True))], ["slot-held"]),
    Case("deleted", taken(), [delete("Slot/a")], ["slot-held"]),
    Case("deleted by criteria", taken(), [delete("Slot/a", by_criteria=True)], {"a": "busy*"}),
    Case("deleted with its appointment", taken(), [delete("Slot/a"), delete("Appointment/x")], {}),
    Case("freed with its cancellation", taken(),
         [put(slot("a")), put(appointment("x", "a", status="cancelled"))], {"a": "free"}),
    Case("moved", taken(), [put(slot("a", "09:05", status="busy"))], ["slot-held"]),
    Case("shortened", taken(), [put(slot("a", end="09:20", status="busy"))], ["slot-held"]),
    Case("given to another schedule", taken(), [put(slot("a", status="busy", schedule="t"))], ["slot-held"]),
    Case("without its start", taken(), [put(timeless("a") | {"status": "busy"})], ["slot-held"]),
    Case("moved in two ways", taken(), [put(slot("a", "09:05", "09:35", "busy"))], ["slot-held", "slot-held"]),
    Case("the same instant in another zone is no move", taken(),
         [put(slot("a", "2030-01-15T08:00:00Z", "2030-01-15T08:30:00Z", "busy"))], {"a": "busy*"}),
    Case("entered in error", taken(), [put(slot("a", status="entered-in-error"))], ["slot-held"]),
    Case("sent again as busy", taken(), [put(slot("a", status="busy", comment="cabinet"))], {"a": "busy*"}),
    Case("closed by the editor", taken(), [put(slot("a", status="busy-unavailable", booked=True))],
         {"a": "busy-unavailable"}),
    Case("a free slot moves at will", [slot("a")], [put(slot("a", "10:00", "10:30"))], {"a": "free"}),
    Case("a mark that no booking has made", [], [put(slot("a", status="busy", booked=True))], {"a": "free"}),
    Case("the slot of a cancelled appointment is free to go",
         [slot("a"), appointment("x", "a", status="cancelled")], [delete("Slot/a")], {}),
    # --- sessions
    Case("a session has places left", [slot("a", capacity=2)], [put(appointment("x", "a"))], {"a": "free"}),
    Case("a session is full", [slot("a", capacity=2), appointment("x", "a")], [put(appointment("y", "a"))],
         {"a": "busy*"}),
    Case("a full session", [*taken(capacity=2), appointment("y", "a")], [put(appointment("z", "a"))], ["slot-full"]),
    Case("a place is free again", [*taken(capacity=2), appointment("y", "a")], [delete("Appointment/y")],
         {"a": "free"}),
    Case("too many of one transaction", [slot("a", capacity=2)], [put(appointment(one, "a")) for one in "xyz"],
         ["slot-full"] * 3),
    Case("a capacity below the holders", [slot("a", capacity=3), appointment("x", "a"), appointment("y", "a")],
         [put(slot("a", capacity=1))], ["slot-capacity"]),
    Case("a capacity that is reached", [slot("a", capacity=3), appointment("x", "a"), appointment("y", "a")],
         [put(slot("a", status="busy", capacity=2))], {"a": "busy"}),
    Case("a capacity raised", taken(), [put(slot("a", status="busy", capacity=2))], {"a": "free"}),
    Case("a capacity raised, sent as free", taken(), [put(slot("a", capacity=2))], {"a": "free"}),
    Case("a session closed by its editor", [slot("a", capacity=3), appointment("x", "a")],
         [put(slot("a", status="busy", capacity=3))], {"a": "busy"}),
    Case("a session closed by its editor takes nobody",
         [slot("a", status="busy", capacity=3), appointment("x", "a")], [put(appointment("y", "a"))],
         ["slot-not-free"]),
    Case("a session opened again", [slot("a", status="busy", capacity=3), appointment("x", "a")],
         [put(slot("a", capacity=3))], {"a": "free"}),
    Case("a partly filled session stays", [slot("a", capacity=3), appointment("x", "a")],
         [delete("Slot/a", by_criteria=True)], {"a": "free"}),
    # --- the same time of one schedule
    Case("a free slot beside a held one", taken(), [put(slot("b", "09:15", "09:45"), is_new=True)], ["slot-overlap"]),
    Case("a free slot beside a partly filled session", [slot("a", capacity=3), appointment("x", "a")],
         [put(slot("b"), is_new=True)], ["slot-overlap"]),
    Case("a free slot after a held one", taken(), [put(slot("b", "09:30", "10:00"), is_new=True)],
         {"a": "busy*", "b": "free"}),
    Case("a free slot of another schedule", taken(), [put(slot("b", schedule="t"), is_new=True)],
         {"a": "busy*", "b": "free"}),
    Case("a busy slot beside a held one", taken(), [put(slot("b", status="busy-unavailable"), is_new=True)],
         {"a": "busy*", "b": "busy-unavailable"}),
    Case("free slots may overlap each other", [slot("a")], [put(slot("b"), is_new=True)], {"a": "free", "b": "free"}),
    Case("a booking closes what is offered at its time", [slot("a"), slot("b", "09:15", "09:45")],
         [put(appointment("x", "a"))], {"a": "busy*", "b": "busy*"}),
    Case("a slot closed by another's booking",
         [*taken(), slot("b", "09:15", "09:45", "busy", booked=True)], [put(appointment("y", "b"))], ["slot-overlap"]),
    Case("a slot closed by another's booking is not opened",
         [*taken(), slot("b", "09:15", "09:45", "busy", booked=True)], [put(slot("b", "09:15", "09:45"))],
         ["slot-overlap"]),
    Case("it is free again with it", [*taken(), slot("b", "09:15", "09:45", "busy", booked=True)],
         [delete("Appointment/x")], {"a": "free", "b": "free"}),
    Case("it is not as long as another one holds the time",
         [*taken(), slot("b", "09:15", "09:45", "busy", booked=True), *taken("c", "y", start="09:40", end="10:00")],
         [delete("Appointment/x")], {"a": "free", "b": "busy*", "c": "busy*"}),
    Case("rescheduling into what one's own booking has closed",
         [*taken(), slot("b", "09:15", "09:45", "busy", booked=True)], [put(appointment("x", "b"))],
         {"a": "busy*", "b": "busy*"}),
    Case("one appointment may hold two at once", [slot("a"), slot("b", "09:15", "09:45")],
         [put(appointment("x", "a", "b"))], {"a": "busy*", "b": "busy*"}),
    Case("two appointments may not", [slot("a"), slot("b", "09:15", "09:45")],
         [put(appointment("x", "a")), put(appointment("y", "b"))], ["slot-overlap", "slot-overlap"]),
    Case("a window is published around a booking", [*taken(), slot("b", "10:00", "10:30")],
         [delete("Slot/a", by_criteria=True), delete("Slot/b", by_criteria=True),
          put(slot("c", "09:30", "10:00"), is_new=True), put(slot("d", "10:00", "10:30"), is_new=True)],
         {"a": "busy*", "c": "free", "d": "free"}),
    Case("a window is published over a booking", taken(),
         [delete("Slot/a", by_criteria=True), put(slot("c"), is_new=True)], ["slot-overlap"]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_what_becomes_of_a_write(case: Case) -> None:
    world = World().has(*case.given)
    decision = await world.write(*case.asked)
    if isinstance(case.after, list):
        assert [issue.id for issue in decision.issues] == case.after, decision.issues
        assert isinstance(decision.refusal, Unprocessable if "slot-missing" in case.after else Conflict)
        return
    assert not decision.issues
    found = {key.id: seen(resource) for key, resource in world.resources.items() if key.type == "Slot"}
    assert found == case.after


async def test_parallel_slots_are_a_setting() -> None:
    world = World(Booking((BASE,), is_parallel=True)).has(*taken(), slot("b", "09:15", "09:45"))
    await world.write(put(slot("c"), is_new=True), put(appointment("y", "b")))
    assert {key.id: seen(one) for key, one in world.resources.items() if key.type == "Slot"} == {
        "a": "busy*",
        "b": "busy*",
        "c": "free",
    }


TEXTS = [
    (taken(), put(appointment("y", "a")), "Slot/a has 1 place, held by Appointment/x", "Appointment.slot[0].reference"),
    (taken(), put(slot("a")), "Slot/a is held by Appointment/x, so it cannot be free", "Slot.status"),
    (taken(), delete("Slot/a"),
     "Slot/a is held by Appointment/x, so it cannot be deleted; cancel the appointment first", "http"),
    ([slot("a", walk_in=True)], put(appointment("x", "b", "a")),
     "Slot/b is not there: it was never stored, or is deleted", "Appointment.slot[0].reference"),
    (taken(), put(slot("n", "09:20", "09:50"), is_new=True),
     "the slot from 2030-01-15T08:20Z to 2030-01-15T08:50Z would be offered while Slot/a is held by Appointment/x at "
     "that time of the same schedule (2030-01-15T08:00Z to 2030-01-15T08:30Z)", "Slot.status"),
    ([*(appointment(f"x{n}", "a") for n in range(8)), slot("a", status="busy", booked=True, capacity=8)],
     put(appointment("y", "a")),
     "Slot/a has 8 places, held by Appointment/x0, Appointment/x1, Appointment/x2, Appointment/x3, Appointment/x4 and "
     "3 more", "Appointment.slot[0].reference"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "asked", "told", "path"), TEXTS)
async def test_a_refusal_names_the_conflict(given: list[Resource], asked: Asked, told: str, path: str) -> None:
    refusal = (await World().has(*given).write(asked)).refusal
    assert refusal is not None
    assert [(issue.diagnostics, issue.expression) for issue in refusal.issues] == [(told, (path,))]


def entry(place: int, resource: Resource, **more: bool) -> Asked:
    return put(resource, at=f"Bundle.entry[{place}]", **more)


TOGETHER = [
    ([entry(0, appointment("x", "a"), is_new=True), entry(1, appointment("y", "a"), is_new=True)],
     ["Slot/a has 1 place, held by the Appointment of Bundle.entry[1]",
      "Slot/a has 1 place, held by the Appointment of Bundle.entry[0]"]),
    ([entry(0, appointment("x", "a"), by_criteria=True), entry(1, appointment("y", "a"))],
     ["Slot/a has 1 place, held by Appointment/y", "Slot/a has 1 place, held by the Appointment of Bundle.entry[0]"]),
    ([entry(0, slot("n", "10:00", "10:30"), is_new=True), entry(1, appointment("x", "n"), is_new=True),
      entry(2, slot("m", "10:15", "10:45"), is_new=True)],
     ["the slot from 2030-01-15T09:15Z to 2030-01-15T09:45Z would be offered while the Slot of Bundle.entry[0] is held "
      "by the Appointment of Bundle.entry[1] at that time of the same schedule (2030-01-15T09:00Z to 2030-01-15T09:30Z)"
      ]),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "told"), TOGETHER)
async def test_entries_of_one_bundle_are_told_of_by_what_their_client_knows(
    asked: list[Asked], told: list[str]
) -> None:
    refusal = (await World().has(slot("a")).write(*asked)).refusal
    assert refusal is not None
    assert [issue.diagnostics for issue in refusal.issues] == told


async def test_what_is_kept_is_told() -> None:
    decision = await World().has(*taken()).write(delete("Slot/a", by_criteria=True))
    assert decision.kept[Key("Slot", "a")].diagnostics == "Slot/a is held by Appointment/x, so it stays"


MALFORMED: list[object] = [None, 1, "x", [], [1], {}, {"reference": 1}, [{"reference": None}], {"coding": 3}, True]


@pytest.mark.parametrize("value", MALFORMED, ids=repr)
@pytest.mark.parametrize(
    "name", ["schedule", "status", "start", "end", "extension", "appointmentType", "slot", "participant"]
)
async def test_what_is_not_valid_yet_is_looked_at_without_harm(name: str, value: object) -> None:
    broken = [{**slot("a"), name: value}, {**appointment("x", "a"), name: value}]
    await World().has(slot("b")).decided(*map(put, broken))


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ({"start": "09:00", "end": "09:30"}, []),
        ({"start": "09:05", "end": "10:00"}, []),
        ({"start": "08:50", "end": "09:30"}, ["Appointment.start"]),
        ({"start": "09:40", "end": "10:10"}, ["Appointment.end"]),
        ({"start": "15:00", "end": "15:30"}, ["Appointment.start", "Appointment.end"]),
    ],
)
async def test_appointment_outside_of_its_slots_is_warned_of(times: dict[str, str], told: list[str]) -> None:
    world = World().has(slot("a"), slot("b", "09:30", "10:00"))
    asked = put(appointment("x", "a", "b", **times))
    state, decision = await world.decided(asked)
    assert decision.refusal is None
    found = warnings(state).get(asked.key, [])
    assert [issue.expression for issue in found] == [(path,) for path in told]
    assert not any(issue.is_error for issue in found)
    await world.write(asked)
    assert not warnings((await world.decided(asked))[0]), "it was told already"
