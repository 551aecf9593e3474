"""What becomes of a write, from all that it concerns: refused, or which slots are turned busy or free.

A pure function: asked once of a snapshot, to prepare, and again at the head of the log, where it must say the same.

Spec: https://hl7.org/fhir/R4/appointment.html, https://hl7.org/fhir/R4/slot.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from fhir_server.interactions.paths import located
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, FhirError, Issue, IssueType, Severity, Unprocessable
from fhir_server.scheduling.appointments import Appointment
from fhir_server.scheduling.slots import BUSY, ENTERED_IN_ERROR, FREE, Slot
from fhir_server.scheduling.state import State, Turn

NAMED: Final = 5
"""How many resources an issue names."""


class Status(NamedTuple):
    """What a slot is to have: its status, and whether bookings have made it so."""

    status: str
    is_booked: bool


@dataclass(slots=True)
class Decision:
    """``slots`` are those to be stored otherwise than they are or were sent; ``kept`` are deletions not done."""

    slots: dict[Key, Status] = field(default_factory=dict)
    kept: dict[Key, Issue] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    @property
    def refusal(self) -> FhirError | None:
        """What the write is refused with, if it is."""
        missing = [issue for issue in self.issues if issue.code is IssueType.NOT_FOUND]
        if missing:
            return Unprocessable(*missing)
        return Conflict(*self.issues) if self.issues else None


def warnings(state: State) -> dict[Key, list[Issue]]:
    """Return, by appointment, that it begins or ends outside of the slots that it holds; only where that is new."""
    found: dict[Key, list[Issue]] = {}
    for key, turn in state.appointments.items():
        before, after = turn.before, turn.after
        if after is None or after.start >= after.end:
            continue
        if before is not None and (before.slots.keys(), before.start, before.end) == (
            after.slots.keys(),
            after.start,
            after.end,
        ):
            continue
        turns = (state.slots.get(one) for one in after.slots)
        slots = [one.after for one in turns if one is not None and one.after is not None and one.after.has_time]
        if not slots:
            continue
        start, end = min(slot.start for slot in slots), max(slot.end for slot in slots)
        spanned = slots[0]._replace(start=start, end=end).times
        for name, is_outside in (("start", not start <= after.start < end), ("end", not start < after.end <= end)):
            if is_outside:
                told = f"the {name} of the appointment is outside of its slots, {spanned}"
                path = (f"Appointment.{name}",)
                issue = Issue(IssueType.BUSINESS_RULE, told, path, Severity.WARNING, id="appointment-outside-slots")
                found.setdefault(key, []).append(issue)
    return found


def decide(state: State, *, is_parallel: bool = False) -> Decision:
    """Return what becomes of a write. ``is_parallel``: slots of one schedule may be offered at the same time."""
    state = replace(state, slots=dict(state.slots))
    decision = Decision()
    for key, turn in list(state.slots.items()):
        if turn.before is not None and turn.after is None and state.held[key]:
            _removed(state, turn, turn.before, decision)
    overlapping = {} if is_parallel else state.overlapping()
    for booking in state.appointments.values():
        decision.issues.extend(_missing(state, booking))
    for key, turn in state.slots.items():
        if turn.after is None:
            continue
        others = overlapping.get(key, [])
        refused = [
            *_refused_changes(state, turn, turn.after, others),
            *_refused_bookings(state, turn, turn.after, others),
        ]
        decision.issues.extend(refused)
        if not refused and key not in state.distant:
            _settle(state, turn, turn.after, others, decision)
    return decision


# --- what is refused -------------------------------------------------------------------------------------------------


def _removed(state: State, turn: Turn[Slot], slot: Slot, decision: Decision) -> None:
    """A held slot stays: who names it is refused, who deletes by criteria is told."""
    assert turn.asked is not None  # noqa: S101 - only a client's deletion takes a slot away
    if turn.asked.by_criteria:
        told = f"{_held(state, slot)}, so it stays"
        decision.kept[slot.key] = Issue(IssueType.BUSINESS_RULE, told, ("http",), Severity.WARNING, "slot-kept")
        state.slots[slot.key] = replace(turn, after=slot, asked=None)
    else:
        told = f"{_held(state, slot)}, so it cannot be deleted; cancel the appointment first"
        decision.issues.append(located(Issue(IssueType.CONFLICT, told, ("http",), id="slot-held"), turn.asked.at))


def _missing(state: State, booking: Turn[Appointment]) -> Iterator[Issue]:
    """Yield which slots that an appointment begins to hold are not there."""
    after, asked = booking.after, booking.asked
    if after is None or asked is None:
        return
    for key, path in after.slots.items():
        turn = state.slots.get(key)
        if (turn is None or (turn.before is None and turn.after is None)) and after.key in state.taking(key):
            told = f"{key} is not there: it was never stored, or is deleted"
            yield located(Issue(IssueType.NOT_FOUND, told, (path,), id="slot-missing"), asked.at)


def _refused_changes(state: State, turn: Turn[Slot], slot: Slot, others: list[Slot]) -> Iterator[Issue]:
    """Yield why a client may not write a slot as it has."""
    if turn.asked is None:
        return
    before, key = turn.before, slot.key
    found: list[Issue] = []
    if before is not None and state.held[key] & state.held_before[key]:
        changes = [(f"Slot.{name}", "moved") for name in _moved(before, slot)]
        if slot.status == ENTERED_IN_ERROR:
            changes.append(("Slot.status", "entered in error"))
        if slot.status == FREE != before.status and state.is_full(slot) and not state.taking(key):
            changes.append(("Slot.status", "free"))
        for path, what in changes:
            told = f"{_held(state, slot)}, so it cannot be {what}"
            found.append(Issue(IssueType.CONFLICT, told, (path,), id="slot-held"))
        if slot.capacity < before.capacity and len(state.held[key]) > slot.capacity:
            told = f"{_held(state, slot)}, so it cannot have a capacity of {slot.capacity}"
            found.append(Issue(IssueType.CONFLICT, told, ("Slot.extension",), id="slot-capacity"))
    if others and not found and slot.status == FREE and not state.taking(key):
        told = (
            f"{_name(state, turn, slot)} would be offered while {_held(state, others[0])} at that time of the same "
            f"schedule ({others[0].times})"
        )
        found.append(Issue(IssueType.CONFLICT, told, ("Slot.status",), id="slot-overlap"))
    yield from (located(issue, turn.asked.at) for issue in found)


def _moved(before: Slot, after: Slot) -> Iterator[str]:
    for name, was, is_now in (
        ("start", before.ends[0], after.ends[0]),
        ("end", before.ends[1], after.ends[1]),
        ("schedule", before.schedule, after.schedule),
    ):
        if was != is_now:
            yield name


def _refused_bookings(state: State, turn: Turn[Slot], slot: Slot, others: list[Slot]) -> Iterator[Issue]:
    """Yield why appointments that begin to hold a slot may not."""
    for holder in sorted(state.taking(slot.key)):
        booking = state.appointments[holder]
        if booking.after is not None and booking.asked is not None:
            path = booking.after.slots[slot.key]
            problem = _problem(state, turn, slot, others, holder, path)
            if problem is not None:
                yield located(problem, booking.asked.at)


def _problem(state: State, turn: Turn[Slot], slot: Slot, others: list[Slot], holder: Key, path: str) -> Issue | None:
    """Return what stands against one booking."""
    name = _name(state, turn, slot)
    if slot.is_walk_in:
        told = f"{name} is for walk-ins, it cannot be booked"
        return Issue(IssueType.CONFLICT, told, (path,), id="slot-walk-in")
    if not slot.has_time:
        told = f"{name} has no time, it cannot be booked: a start and an end are expected"
        return Issue(IssueType.CONFLICT, told, (path,), id="slot-without-time")
    rivals = state.held[slot.key] - {holder}
    if len(rivals) >= slot.capacity:
        places = "place" if slot.capacity == 1 else "places"
        told = f"{name} has {slot.capacity} {places}, held by {_list(state, rivals)}"
        return Issue(IssueType.CONFLICT, told, (path,), id="slot-full")
    if not state.is_open(turn) and not _is_merged(turn, slot):
        told = f"{name} is not free: its status is {slot.status}"
        return Issue(IssueType.CONFLICT, told, (path,), id="slot-not-free")
    for other in others:
        if holders := state.held[other.key] - {holder}:
            told = f"{name} overlaps {state.name(other.key)} ({other.times}), which is held by {_list(state, holders)}"
            return Issue(IssueType.CONFLICT, told, (path,), id="slot-overlap")
    return None


def _is_merged(turn: Turn[Slot], slot: Slot) -> bool:
    """Tell whether a slot was free until this very write made it busy."""
    return turn.asked is not None and slot.status == BUSY and (turn.before is None or turn.before.status == FREE)


# --- what is done ----------------------------------------------------------------------------------------------------


def _settle(state: State, turn: Turn[Slot], slot: Slot, others: list[Slot], decision: Decision) -> None:
    """Note what a slot has to become, if it is not so already."""
    if state.is_open(turn):
        is_taken = bool(others) or state.is_full(slot)
        wanted = Status(BUSY, True) if is_taken else Status(FREE, False)
    else:
        wanted = Status(slot.status, False)
    if wanted != (slot.status, slot.is_booked):
        decision.slots[slot.key] = wanted


# --- words -----------------------------------------------------------------------------------------------------------


def _name(state: State, turn: Turn[Slot], slot: Slot) -> str:
    return f"the slot from {slot.times}" if turn.is_new else state.name(slot.key)


def _held(state: State, slot: Slot) -> str:
    return f"{state.name(slot.key)} is held by {_list(state, state.held[slot.key])}"


def _list(state: State, keys: Iterable[Key]) -> str:
    found = sorted(keys)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(map(state.name, found[:NAMED])) + more
