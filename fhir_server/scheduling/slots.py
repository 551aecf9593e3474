"""What the booking rules look at in a Slot, and a Slot that a booking has turned busy.

The busy that a booking has made is told from the busy that an editor has set by an extension, so that it can be taken
back. Nothing else of the resource changes. Nothing here raises: rules see resources before they are validated.

Spec: https://hl7.org/fhir/R4/slot.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fhir_server.definitions.canonical import OURS
from fhir_server.model.formats import Resource, parse
from fhir_server.model.primitives import interval, moment
from fhir_server.model.reference import Key, local
from fhir_server.outcome import Issue, IssueType

CAPACITY: Final = f"{OURS}StructureDefinition/slot-capacity"
"""The extension of a Slot that says how many appointments may hold it: a collective session. Without it, one."""

BOOKED: Final = f"{OURS}StructureDefinition/slot-booked"
"""The extension (valueBoolean) of a Slot that is busy because of bookings, and that is free again without them."""

FREE: Final = "free"
BUSY: Final = "busy"
ENTERED_IN_ERROR: Final = "entered-in-error"

_REASONS: Final = (None, "http://terminology.hl7.org/CodeSystem/v2-0276")
_LARGEST: Final = 2**31 - 1
_NUMBERS: Final = ("valuePositiveInt", "valueInteger")


class Slot(NamedTuple):
    """One version of a Slot. ``start`` and ``end`` are microseconds since the epoch; both 0: it has no time."""

    key: Key
    schedule: str | None
    """``Schedule/id``, None where it is none of ours."""
    start: int
    end: int
    status: str
    is_booked: bool
    """Whether it has the extension ``BOOKED``."""
    capacity: int
    is_walk_in: bool
    ends: tuple[int | None, int | None]
    """Its start and its end as written, each for itself: one may have a value where the other has none."""

    @property
    def has_time(self) -> bool:
        """Whether its start and its end have values: R4 lets an extension stand in their place."""
        return self.end != 0

    def overlaps(self, other: Slot) -> bool:
        """Tell whether two slots of one schedule have some time in common."""
        return self.schedule == other.schedule and self.start < other.end and other.start < self.end

    @property
    def times(self) -> str:
        """When it is, for people."""
        if not self.has_time:
            return "an unknown time"
        return f"{moment(self.start):%Y-%m-%dT%H:%M}Z to {moment(self.end):%Y-%m-%dT%H:%M}Z"


def slot_of(key: Key, resource: Resource, bases: Sequence[str]) -> Slot:
    """Return what counts of a Slot; ``bases`` are our service base URLs."""
    schedule = resource.get("schedule")
    text = schedule.get("reference") if isinstance(schedule, dict) else None
    found = local(text, bases) if isinstance(text, str) else None
    start, end = ends = time_of(resource.get("start")), time_of(resource.get("end"))
    if start is None or end is None:
        start = end = 0
    status = resource.get("status")
    return Slot(
        key,
        str(found.key) if found is not None and found.key.type == "Schedule" else None,
        start,
        end,
        status if isinstance(status, str) else "",
        any(map(_is_booked, _dicts(resource.get("extension")))),
        next((number for number in map(_number, _capacities(resource)) if number is not None), 1),
        any(map(_is_walk_in, _dicts(_dict(resource.get("appointmentType")).get("coding")))),
        ends,
    )


@lru_cache(maxsize=8_192)
def stored_slot(key: Key, body: bytes, bases: tuple[str, ...]) -> Slot:
    """Return what counts of a stored Slot: it is asked for on a snapshot, and soon again at the head."""
    return slot_of(key, parse(body), bases)


def time_of(value: object) -> int | None:
    """Return an instant as microseconds since the epoch, None if it is none."""
    try:
        return interval(value, UTC)[0] if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def with_status(resource: Resource, status: str, *, is_booked: bool) -> Resource:
    """Return a Slot with a status, and with or without the extension ``BOOKED``; all else as it is."""
    changed = {**resource, "status": status}
    given = changed.get("extension")
    extensions = [one for one in given if not _is_booked(one)] if isinstance(given, list) else []
    if is_booked:
        extensions.append({"url": BOOKED, "valueBoolean": True})
    if extensions:
        changed["extension"] = extensions
    else:
        changed.pop("extension", None)
    return changed


def check_capacity(resource: Resource) -> Iterable[Issue]:
    """Yield what is wrong with the capacity of a Slot: a check of the guide."""
    if resource.get("resourceType") != "Slot":
        return
    found = [
        (place, one)
        for place, one in enumerate(resource.get("extension") or ())
        if isinstance(one, dict) and one.get("url") == CAPACITY
    ]
    for count, (place, one) in enumerate(found):
        if count or _number(one) is None:
            told = "the capacity of a slot is one whole number from 1 on, as valuePositiveInt"
            yield Issue(IssueType.BUSINESS_RULE, told, (f"Slot.extension[{place}]",), id="slot-capacity-value")


def check_times(resource: Resource) -> Iterable[Issue]:
    """Yield that a Slot or an Appointment ends before it starts: it would overlap nothing. A check of the guide."""
    type_ = resource.get("resourceType")
    if type_ in {"Slot", "Appointment"}:
        start, end = time_of(resource.get("start")), time_of(resource.get("end"))
        if start is not None and end is not None and end < start:
            told = f"it ends before it starts: the end is {resource['end']}, the start {resource['start']}"
            yield Issue(IssueType.BUSINESS_RULE, told, (f"{type_}.end",), id="booking-times")


def _capacities(resource: Resource) -> Iterable[dict[str, Any]]:
    return (one for one in _dicts(resource.get("extension")) if one.get("url") == CAPACITY)


def _number(extension: dict[str, Any]) -> int | None:
    value: Any = next((extension[name] for name in _NUMBERS if name in extension), None)
    is_whole = value.__class__ is int  # true is no number
    return value if is_whole and 1 <= value <= _LARGEST else None


def _is_booked(extension: object) -> bool:
    return isinstance(extension, dict) and extension.get("url") == BOOKED and extension.get("valueBoolean") is not False


def _is_walk_in(coding: dict[str, Any]) -> bool:
    return coding.get("code") == "WALKIN" and coding.get("system") in _REASONS


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> Iterable[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()
