"""All that a write concerns, as it was and as it will be: slots, and the appointments that hold them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from fhir_server.interactions.rules import Asked
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.scheduling.appointments import Appointment, appointment_of
from fhir_server.scheduling.slots import BUSY, FREE, Slot, slot_of
from fhir_server.storage.protocol import Stored

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn(Generic[T]):
    """What a resource was and will be; None: it is not there. ``asked`` is the client's write of it, if any."""

    before: T | None
    after: T | None
    asked: Asked | None = None

    @property
    def is_new(self) -> bool:
        """Whether the server has just given it its id: nothing stored can refer to it."""
        return self.asked is not None and self.asked.interaction is Interaction.CREATE


@dataclass(slots=True)
class State:
    """``held_before`` and ``held`` are the appointments that hold a slot, by slot."""

    slots: dict[Key, Turn[Slot]] = field(default_factory=dict)
    appointments: dict[Key, Turn[Appointment]] = field(default_factory=dict)
    """Those that are written."""
    held_before: defaultdict[Key, set[Key]] = field(default_factory=lambda: defaultdict(set))
    held: defaultdict[Key, set[Key]] = field(default_factory=lambda: defaultdict(set))
    stored: dict[Key, Stored] = field(default_factory=dict)
    """The slots as they are in the store."""
    distant: set[Key] = field(default_factory=set)
    """Slots of which it is not known what else overlaps them: they are looked at, and stay as they are."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What a client calls the resources of which it does not know the id, by the reference to them."""

    @classmethod
    def of(
        cls, slots: Iterable[Turn[Slot]], appointments: Iterable[Turn[Appointment]], names: Mapping[str, str]
    ) -> State:
        """Return the state of what a client writes, with nothing known yet of what is stored."""
        state = cls({_key(turn): turn for turn in slots}, {_key(turn): turn for turn in appointments}, names=names)
        for key, turn in state.appointments.items():
            for slot_key in turn.after.slots if turn.after is not None else ():
                state.held[slot_key].add(key)
        return state

    def was_slot(self, slot: Slot, stored: Stored) -> None:
        """Take in a slot that is stored."""
        self.stored[slot.key] = stored
        turn = self.slots.get(slot.key)
        self.slots[slot.key] = Turn(slot, slot) if turn is None else replace(turn, before=slot)

    def was_appointment(self, appointment: Appointment) -> None:
        """Take in an appointment that is stored."""
        turn = self.appointments.get(appointment.key)
        if turn is not None:
            self.appointments[appointment.key] = replace(turn, before=appointment)
        for key in appointment.slots:
            self.held_before[key].add(appointment.key)
            if turn is None:
                self.held[key].add(appointment.key)

    def named(self) -> Iterator[Key]:
        """Yield the slots that appointments which are written hold or have held."""
        for turn in self.appointments.values():
            for one in (turn.before, turn.after):
                yield from one.slots if one is not None else ()

    def name(self, resource: Key | str) -> str:
        """Return what to call a resource, or what a reference names, so that the client understands it."""
        return self.names.get(str(resource), str(resource))

    def taking(self, key: Key) -> set[Key]:
        """Return the appointments that begin to hold a slot."""
        return self.held[key] - self.held_before[key]

    def is_full(self, slot: Slot) -> bool:
        """Tell whether a slot has no place left."""
        return len(self.held[slot.key]) >= slot.capacity

    def is_open(self, turn: Turn[Slot]) -> bool:
        """Tell whether a slot's status is ours to set: it is free, or busy because of bookings.

        A client that books may set the busy itself; for a session that still has places it is the editor's word.
        """
        before, after = turn.before, turn.after
        if after is None or after.status not in (FREE, BUSY):
            return False
        if after.status == FREE or after.is_booked or (before is not None and before.is_booked):
            return True
        was_free = turn.asked is not None and (before is None or before.status == FREE)
        return was_free and bool(self.taking(after.key)) and self.is_full(after)

    def overlapping(self) -> dict[Key, list[Slot]]:
        """Return, for each slot, the held ones of its schedule that overlap it."""
        by_schedule: defaultdict[str, list[Slot]] = defaultdict(list)
        for turn in self.slots.values():
            if turn.after is not None and turn.after.schedule is not None:
                by_schedule[turn.after.schedule].append(turn.after)
        found: dict[Key, list[Slot]] = {}
        for slots in by_schedule.values():
            held = [slot for slot in slots if self.held[slot.key]]
            for slot, other in _overlaps(held, slots):
                found.setdefault(other.key, []).append(slot)
        return found


def names_asked(asked: Sequence[Asked]) -> dict[str, str]:
    """Return how to tell of what a Bundle writes without naming it: by its entry, for the id that it is given will
    never be seen if the write is refused."""
    return {
        str(one.key): f"the {one.key.type} of {one.at}"
        for one in asked
        if one.at and one.resource is not None and (one.interaction is Interaction.CREATE or one.by_criteria)
    }


def slots_asked(asked: Sequence[Asked], bases: Sequence[str]) -> list[Turn[Slot]]:
    """Return what a client writes of slots."""
    found = ((one, one.resource) for one in asked if one.key.type == "Slot")
    return [Turn(None, None if it is None else slot_of(one.key, it, bases), one) for one, it in found]


def appointments_asked(asked: Sequence[Asked], bases: Sequence[str]) -> list[Turn[Appointment]]:
    """Return what a client writes of appointments."""
    found = ((one, one.resource) for one in asked if one.key.type == "Appointment")
    return [Turn(None, None if it is None else appointment_of(one.key, it, bases), one) for one, it in found]


def _key(turn: Turn[T]) -> Key:
    assert turn.asked is not None  # noqa: S101 - it is what a client writes
    return turn.asked.key


def _overlaps(held: Iterable[Slot], slots: list[Slot]) -> Iterator[tuple[Slot, Slot]]:
    """Yield each held slot with each other slot that overlaps it; all are of one schedule."""
    slots.sort(key=lambda slot: slot.start)
    starts = [slot.start for slot in slots]
    longest = max((slot.end - slot.start for slot in slots), default=0)
    for one in held:
        for place in range(bisect_left(starts, one.start - longest), bisect_left(starts, one.end)):
            if slots[place].key != one.key and slots[place].overlaps(one):
                yield one, slots[place]
