"""What is read to know all that a write concerns: a handful of reads, on a snapshot and again at the head of the log.

    what is written, as it was ── the slots that it names ── who holds them ── what is beside them in their schedules

Spec: https://hl7.org/fhir/R4/slot.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.scheduling.appointments import Appointment, stored_appointment
from fhir_server.scheduling.slots import Slot, stored_slot
from fhir_server.scheduling.state import State, Turn
from fhir_server.search.query import And, Bounds, Equal, Equality, Keys, Node, Page, Query, Spans
from fhir_server.storage.protocol import Snapshot, Stored, View

DAY: Final = 86_400_000_000
REACH: Final = 7 * DAY
"""Microseconds: what began longer ago than this is not looked for, so no slot or appointment should last longer."""

MOST: Final = 50_000
"""So many resources beside those of one write are looked at."""

_TOGETHER: Final = 500
"""So many slots are asked for in one search."""


class Reads(Protocol):
    """Where it is read from."""

    async def current(self, keys: Sequence[Key]) -> Mapping[Key, Stored]:
        """Return the current versions of keys."""
        ...

    async def naming(self, slots: Sequence[Key]) -> Iterable[Stored]:
        """Return the appointments that name one of the slots, whatever their status."""
        ...

    async def matching(self, type_: str, where: Node) -> Sequence[Stored]:
        """Return the current resources of a type that match. Raises ``BadRequest`` beyond ``MOST``."""
        ...


@dataclass(frozen=True, slots=True)
class OnSnapshot:
    """Reads of a snapshot."""

    snapshot: Snapshot

    async def current(self, keys: Sequence[Key]) -> Mapping[Key, Stored]:
        return await self.snapshot.read(keys)

    async def naming(self, slots: Sequence[Key]) -> Iterable[Stored]:
        found: list[Stored] = []
        for start in range(0, len(slots), _TOGETHER):
            named = tuple(map(str, slots[start : start + _TOGETHER]))
            found += await self.matching("Appointment", Equal("slot", named))
        return found

    async def matching(self, type_: str, where: Node) -> Sequence[Stored]:
        found = await self.snapshot.search(Query((type_,), where), Page(MOST))
        return _bounded([match.stored for match in found.matches], is_whole=not found.more)


@dataclass(frozen=True, slots=True)
class AtHead:
    """Reads of the head of the log."""

    view: View

    async def current(self, keys: Sequence[Key]) -> Mapping[Key, Stored]:
        return await self.view.read(keys)

    async def naming(self, slots: Sequence[Key]) -> Iterable[Stored]:
        found = await self.view.holders([("Appointment", Equality("slot", str(key))) for key in slots])
        keys = dict.fromkeys(key for some in found for key in some)
        return (await self.view.read(keys)).values() if keys else ()

    async def matching(self, type_: str, where: Node) -> Sequence[Stored]:
        found = await self.view.matching(type_, where, MOST + 1)
        return _bounded(found, is_whole=len(found) <= MOST)


@dataclass(frozen=True, slots=True)
class Gathering:
    """Takes into a state what is stored. ``bases`` are our service base URLs."""

    reads: Reads
    state: State
    bases: tuple[str, ...]

    async def held(self) -> None:
        """Have the slots that the write names, and who holds them."""
        state = self.state
        written: list[Key] = [*_stored(state.slots), *_stored(state.appointments)]
        await self._current(written)
        await self._current([key for key in dict.fromkeys(state.named()) if key not in state.slots])
        await self._naming([*_stored(state.slots), *(key for key in state.held if key not in state.slots)])

    async def _current(self, keys: Sequence[Key]) -> None:
        if not keys:
            return
        for key, stored in (await self.reads.current(keys)).items():
            if stored.body is None:
                continue
            if key.type == "Slot":
                self.state.was_slot(stored_slot(key, stored.body, self.bases), stored)
            else:
                self.state.was_appointment(stored_appointment(key, stored.body, self.bases))

    async def _naming(self, slots: Sequence[Key]) -> None:
        for stored in await self.reads.naming(slots) if slots else ():
            if stored.body is not None:
                self.state.was_appointment(stored_appointment(stored.key, stored.body, self.bases))

    async def beside(self) -> None:
        """Have the slots that overlap those concerned, and those that overlap the ones that may become free again."""
        near = await self._overlapping(_interest(self.state))
        far = await self._overlapping([slot for slot in near if slot.is_booked])
        self.state.distant.update(slot.key for slot in far)
        await self._naming([slot.key for slot in (*near, *far)])

    async def _overlapping(self, slots: Iterable[Slot]) -> list[Slot]:
        """Take in, and return, what overlaps some slots and is not known yet."""
        by_schedule: defaultdict[str, list[Slot]] = defaultdict(list)
        for slot in slots:
            if slot.schedule is not None and slot.has_time:
                by_schedule[slot.schedule].append(slot)
        new: list[Slot] = []
        for where in _windows(by_schedule):
            for stored in await self.reads.matching("Slot", where):
                if stored.body is None or stored.key in self.state.slots:
                    continue
                slot = stored_slot(stored.key, stored.body, self.bases)
                if any(slot.overlaps(one) for one in by_schedule.get(slot.schedule or "", ())):
                    self.state.was_slot(slot, stored)
                    new.append(slot)
        return new


def _stored(turns: Mapping[Key, Turn[Slot]] | Mapping[Key, Turn[Appointment]]) -> Iterator[Key]:
    """Yield the keys of what may be stored."""
    for key, turn in turns.items():
        if not turn.is_new:
            yield key


def _interest(state: State) -> Iterator[Slot]:
    """Yield the slots of which it matters what else is at their time: held ones, and those that are offered."""
    for key, turn in state.slots.items():
        is_held = bool(state.held[key])
        if turn.after is not None and (is_held or state.is_open(turn)):
            yield turn.after
        if turn.before is not None and (is_held or state.held_before[key]):
            yield turn.before


def _windows(by_schedule: Mapping[str, Sequence[Slot]]) -> Iterator[Node]:
    """Yield what finds all that overlaps some slots, and more: one question for each stretch of time without a day's
    pause."""
    slots = sorted((slot for some in by_schedule.values() for slot in some), key=lambda slot: slot.start)
    while slots:
        end = slots[0].start  # a slot that ends before it starts is refused later
        count = 0
        for slot in slots:
            if slot.start > end + DAY:
                break
            end = max(end, slot.end)
            count += 1
        together, slots = slots[:count], slots[count:]
        schedules = tuple(dict.fromkeys(slot.schedule for slot in together if slot.schedule is not None))
        yield within("schedule", "start", schedules, together[0].start, end)


def within(part: str, span: str, values: tuple[str, ...], start: int, end: int) -> Node:
    """Return what finds the resources that have one of the values and overlap a time: ``end`` is a parameter too."""
    begins = Bounds(low_from=start - REACH, low_below=end)
    return And(
        (
            Spans(f"{part}+{span}", (begins,), Keys((values,)), None, (part, span)),
            Spans("end", (Bounds(low_from=start + 1),)),
        )
    )


def _bounded(found: Sequence[Stored], *, is_whole: bool) -> Sequence[Stored]:
    if is_whole:
        return found
    told = f"the write concerns more than {MOST} slots and appointments; use smaller transactions"
    raise BadRequest(Issue(IssueType.TOO_COSTLY, told, id="booking-too-costly"))
