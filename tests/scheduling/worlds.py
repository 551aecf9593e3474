"""A server in memory that knows bookings only: the rule's own reads and decisions over plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.interactions.rules import Asked
from fhir_server.model.formats import Resource, parse, serialize
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key, references
from fhir_server.scheduling.booking import Booking, Write
from fhir_server.scheduling.decisions import Decision
from fhir_server.scheduling.slots import BOOKED, CAPACITY, with_status
from fhir_server.scheduling.state import State
from fhir_server.search.query import And, Keys, Node, Spans
from fhir_server.storage.protocol import Address, Stored

BASE = "http://127.0.0.1:8080/fhir"
DAY = "2030-01-15"


def slot(id_: str, start: str = "09:00", end: str = "09:30", status: str = "free", **more: Any) -> Resource:
    """Return a Slot; ``booked=True``, ``capacity=3``, ``walk_in=True`` and ``schedule="s"`` are short for elements."""
    extension = []
    if capacity := more.pop("capacity", None):
        extension.append({"url": CAPACITY, "valuePositiveInt": capacity})
    if more.pop("booked", False):
        extension.append({"url": BOOKED, "valueBoolean": True})
    if more.pop("walk_in", False):
        coding = {"system": "http://terminology.hl7.org/CodeSystem/v2-0276", "code": "WALKIN"}
        more["appointmentType"] = {"coding": [coding]}
    body = {
        "resourceType": "Slot",
        "id": id_,
        "schedule": {"reference": f"Schedule/{more.pop('schedule', 's')}"},
        "status": status,
        "start": _instant(start),
        "end": _instant(end),
        **more,
    }
    return {**body, "extension": extension} if extension else body


def appointment(id_: str, *slots: str, status: str = "booked", **more: Any) -> Resource:
    """Return an Appointment; ``slots`` are ids, or whole references."""
    start, end = more.pop("start", "09:00"), more.pop("end", "09:30")
    times = {} if status in {"cancelled", "waitlist"} else {"start": _instant(start), "end": _instant(end)}
    body = {
        "resourceType": "Appointment",
        "id": id_,
        "status": status,
        **times,
        "participant": more.pop("participant", [{"actor": {"reference": "Practitioner/p"}, "status": "accepted"}]),
        **more,
    }
    named = [{"reference": one if "/" in one or ":" in one else f"Slot/{one}"} for one in slots]
    return {**body, "slot": named} if named else body


def _instant(text: str) -> str:
    return text if "T" in text else f"{DAY}T{text}:00.000+01:00"


def put(resource: Resource, *, is_new: bool = False, at: str = "", by_criteria: bool = False) -> Asked:
    key = Key(resource["resourceType"], resource["id"])
    return Asked(key, resource, Interaction.CREATE if is_new else Interaction.UPDATE, at, by_criteria)


def delete(url: str, *, by_criteria: bool = False) -> Asked:
    type_, _, id_ = url.partition("/")
    return Asked(Key(type_, id_), None, Interaction.DELETE, "", by_criteria)


@dataclass
class World:
    """Resources by key."""

    rule: Booking = field(default_factory=lambda: Booking((BASE,)))
    resources: dict[Key, Resource] = field(default_factory=dict)

    def has(self, *resources: Resource) -> World:
        """Add resources, whatever the rule would say of them."""
        self.resources.update((Key(one["resourceType"], one["id"]), one) for one in resources)
        return self

    async def decided(self, *asked: Asked) -> tuple[State, Decision]:
        write = Write.of(self.rule, asked)
        return await write.decided(self)

    async def write(self, *asked: Asked) -> Decision:
        """Do what is asked, as far as the rule lets it."""
        _, decision = await self.decided(*asked)
        if decision.refusal is not None:
            return decision
        for one in asked:
            if one.key in decision.kept:
                continue
            if one.resource is None:
                self.resources.pop(one.key, None)
            else:
                self.resources[one.key] = one.resource
        for key, status in decision.slots.items():
            self.resources[key] = with_status(self.resources[key], status.status, is_booked=status.is_booked)
        return decision

    # --- what the rule reads -----------------------------------------------------------------------------------------

    async def current(self, keys: Sequence[Key]) -> Mapping[Key, Stored]:
        return {key: self._stored(key) for key in keys if key in self.resources}

    async def naming(self, slots: Sequence[Key]) -> Iterable[Stored]:
        wanted = {f"{base}{key}" for key in slots for base in ("", f"{BASE}/")}
        return [
            self._stored(key)
            for key, resource in self.resources.items()
            if key.type == "Appointment"
            and any(one["reference"].partition("/_history")[0] in wanted for one in references(resource))
        ]

    async def matching(self, type_: str, where: Node) -> Sequence[Stored]:
        assert isinstance(where, And)
        compound = where.nodes[0]
        assert isinstance(compound, Spans) and isinstance(compound.keys, Keys)
        (wanted,) = compound.keys.parts
        assert isinstance(wanted, tuple)
        return [
            self._stored(key)
            for key, resource in self.resources.items()
            if key.type == type_ and any(one["reference"] in wanted for one in references(resource))
        ]

    def _stored(self, key: Key) -> Stored:
        return Stored(key, 1, 0, Interaction.UPDATE, serialize(self.resources[key]), Address(1, 0))


def seen(resource: Resource) -> str:
    """Return a slot's status for people: ``busy*`` is the busy of a booking."""
    booked = any(one["url"] == BOOKED for one in resource.get("extension", ()))
    return f"{resource['status']}{'*' * booked}"


def copied(resource: Resource) -> Resource:
    again: Resource = parse(serialize(resource))
    return again
