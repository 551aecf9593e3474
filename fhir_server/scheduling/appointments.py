"""What the booking rules look at in an Appointment. Nothing here raises: rules see resources before they are validated.

Spec: https://hl7.org/fhir/R4/appointment.html
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fhir_server.model.formats import Resource, parse
from fhir_server.model.reference import Key, local
from fhir_server.scheduling.slots import time_of

HOLDING: Final = frozenset({"proposed", "pending", "booked", "arrived", "checked-in", "fulfilled"})
"""In these states an Appointment holds its slots. Not so: cancelled, noshow, entered-in-error, waitlist."""

_ONCE: Final = frozenset({"Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Device"})
"""Who cannot be in two appointments at once; a Location or a HealthcareService can."""


class Appointment(NamedTuple):
    """One version of an Appointment. ``start`` and ``end`` are microseconds since the epoch; both 0: it has none."""

    key: Key
    slots: dict[Key, str]
    """The slots of ours that it holds, each with the path that names it: ``Appointment.slot[0].reference``."""
    actors: frozenset[str]
    """``Type/id`` of those who take part, if it holds its time."""
    start: int
    end: int


def appointment_of(key: Key, resource: Resource, bases: Sequence[str]) -> Appointment:
    """Return what counts of an Appointment; ``bases`` are our service base URLs."""
    status = resource.get("status")
    if not isinstance(status, str) or status not in HOLDING:
        return Appointment(key, {}, frozenset(), 0, 0)
    slots: dict[Key, str] = {}
    for place, one in enumerate(_listed(resource.get("slot"))):
        slot = _local(one, bases)
        if slot is not None and slot.type == "Slot":
            slots.setdefault(slot, f"Appointment.slot[{place}].reference")
    present = (one for one in _listed(resource.get("participant")) if _get(one, "status") != "declined")
    actors = (_local(_get(one, "actor"), bases) for one in present)
    start, end = time_of(resource.get("start")), time_of(resource.get("end"))
    if start is None or end is None:
        start = end = 0
    named = frozenset(str(actor) for actor in actors if actor is not None and actor.type in _ONCE)
    return Appointment(key, slots, named, start, end)


@lru_cache(maxsize=8_192)
def stored_appointment(key: Key, body: bytes, bases: tuple[str, ...]) -> Appointment:
    """Return what counts of a stored Appointment: it is asked for on a snapshot, and soon again at the head."""
    return appointment_of(key, parse(body), bases)


def _local(reference: object, bases: Sequence[str]) -> Key | None:
    text = _get(reference, "reference")
    found = local(text, bases) if isinstance(text, str) else None
    return None if found is None else found.key


def _get(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
