"""Whether somebody has two appointments at once: a setting says if that is looked at, warned of or refused.

Two appointments that hold the same slot are one session. Who has declined does not take part.

Spec: https://hl7.org/fhir/R4/appointment-definitions.html#Appointment.participant
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from fhir_server.interactions.paths import located
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, Issue, IssueType, Severity
from fhir_server.scheduling.appointments import Appointment, stored_appointment
from fhir_server.scheduling.gathering import Reads, within
from fhir_server.scheduling.state import State, Turn


class Overlap(StrEnum):
    """What becomes of an appointment at whose time one of its actors has another."""

    OFF = "off"
    WARN = "warn"
    REFUSE = "refuse"


async def check_actors(
    reads: Reads, state: State, overlap: Overlap, bases: tuple[str, ...]
) -> Mapping[Key, Sequence[Issue]]:
    """Return warnings by appointment. Raises ``Conflict`` where overlaps are refused."""
    if overlap is Overlap.OFF:
        return {}
    found: dict[Key, Sequence[Issue]] = {}
    for key, turn in state.appointments.items():
        after = turn.after
        if after is None or not _is_claim(turn.before, after):
            continue
        others = [one for one in await _beside(reads, after, bases) if one.key not in state.appointments]
        others += [one.after for other, one in state.appointments.items() if one.after is not None and other != key]
        if issues := list(_issues(state, turn, after, others, overlap)):
            found[key] = issues
    if overlap is Overlap.REFUSE and found:
        raise Conflict(*(issue for issues in found.values() for issue in issues))
    return found


def _is_claim(before: Appointment | None, after: Appointment) -> bool:
    """Tell whether an appointment claims time of somebody that it did not have."""
    if after.start >= after.end or not after.actors:
        return False
    return before is None or before[2:] != after[2:]


async def _beside(reads: Reads, one: Appointment, bases: tuple[str, ...]) -> Iterator[Appointment]:
    where = within("actor", "date", tuple(sorted(one.actors)), one.start, one.end)
    found = await reads.matching("Appointment", where)
    return (stored_appointment(stored.key, stored.body, bases) for stored in found if stored.body is not None)


def _issues(
    state: State, turn: Turn[Appointment], one: Appointment, others: Sequence[Appointment], overlap: Overlap
) -> Iterator[Issue]:
    severity = Severity.ERROR if overlap is Overlap.REFUSE else Severity.WARNING
    for other in sorted(others, key=lambda other: other.key):
        shared = one.actors & other.actors
        if shared and one.start < other.end and other.start < one.end and one.slots.keys().isdisjoint(other.slots):
            told = f"{state.name(min(shared))} has another appointment at that time: {state.name(other.key)}"
            issue = Issue(IssueType.CONFLICT, told, ("Appointment.participant",), severity, "actor-overlap")
            # A warning is located where it is told; a refusal is told here.
            yield located(issue, turn.asked.at) if turn.asked and overlap is Overlap.REFUSE else issue
