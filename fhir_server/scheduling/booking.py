"""The rule of bookings: who holds a slot, in the same commit as the appointment that takes or leaves it.

Spec: https://hl7.org/fhir/R4/appointment.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhir_server.interactions.rules import Asked, Ruling
from fhir_server.interactions.writing.conditional import Moved
from fhir_server.model.formats import Resource, parse
from fhir_server.model.reference import Key
from fhir_server.outcome import Issue
from fhir_server.scheduling.actors import Overlap, check_actors
from fhir_server.scheduling.appointments import Appointment
from fhir_server.scheduling.decisions import Decision, Status, decide, warnings
from fhir_server.scheduling.gathering import AtHead, Gathering, OnSnapshot, Reads
from fhir_server.scheduling.slots import Slot, with_status
from fhir_server.scheduling.state import State, Turn, appointments_asked, names_asked, slots_asked
from fhir_server.storage.protocol import Change, Snapshot, Stored, View


@dataclass(frozen=True, slots=True)
class Booking:
    """The rule. ``bases`` are our service base URLs; ``is_parallel``: one schedule may offer slots at the same time."""

    bases: tuple[str, ...]
    is_parallel: bool = False
    overlap: Overlap = Overlap.OFF
    concerns: frozenset[str] = frozenset({"Appointment", "Slot"})
    looks: bool = True

    async def prepare(self, snapshot: Snapshot, asked: Sequence[Asked]) -> Ruling | None:
        """Return what becomes of slots. What is refused is refused at the head: what is invalid comes before it, and
        so does a condition such as ``If-Match``."""

        async def look(within: Snapshot) -> tuple[Write, State, Decision]:
            write = Write.of(self, asked)
            return write, *await write.decided(OnSnapshot(within))

        write, state, decision = await snapshot.together(look)
        settled = {} if decision.issues else decision.slots
        sent = {one.key: one.resource for one in asked if one.key not in decision.kept}
        put = {key: _with(status, sent.get(key), state.stored.get(key)) for key, status in settled.items()}
        versions = {key: state.stored[key].version for key in put if key not in sent}

        async def at_head(view: View, changes: Sequence[Change]) -> Mapping[Key, Sequence[Issue]]:
            return await write.confirm(view, decision)

        return Ruling(put, decision.kept, versions, at_head)


@dataclass(frozen=True, slots=True)
class Write:
    """What one client writes of slots and appointments."""

    rule: Booking
    slots: Sequence[Turn[Slot]]
    appointments: Sequence[Turn[Appointment]]
    names: Mapping[str, str]

    @classmethod
    def of(cls, rule: Booking, asked: Sequence[Asked]) -> Write:
        """Return what of a write concerns the rule."""
        return cls(rule, slots_asked(asked, rule.bases), appointments_asked(asked, rule.bases), names_asked(asked))

    async def decided(self, reads: Reads) -> tuple[State, Decision]:
        """Return what becomes of it, and from what that is told: who is refused anyway costs no search."""
        state = State.of(self.slots, self.appointments, self.names)
        gathering = Gathering(reads, state, self.rule.bases)
        await gathering.held()
        decision = decide(state, is_parallel=True)
        if decision.issues or self.rule.is_parallel:
            return state, decision
        await gathering.beside()
        return state, decide(state)

    async def confirm(self, view: View, prepared: Decision) -> Mapping[Key, Sequence[Issue]]:
        """Return warnings by appointment. Raises the refusal that holds at the head, or ``Moved`` if what is to be done
        there is not what was prepared."""
        state, decision = await self.decided(AtHead(view))
        if decision.refusal is not None:
            raise decision.refusal
        if decision.slots != prepared.slots or decision.kept.keys() != prepared.kept.keys():
            raise Moved
        found = dict(await check_actors(AtHead(view), state, self.rule.overlap, self.rule.bases))
        for key, issues in warnings(state).items():
            found[key] = [*found.get(key, ()), *issues]
        return found


def _with(status: Status, sent: Resource | None, stored: Stored | None) -> Resource:
    """Return a slot as it is sent, else as it is stored, with what it is to have."""
    resource = sent if sent is not None else parse((stored and stored.body) or b"{}")
    return with_status(resource, status.status, is_booked=status.is_booked)
