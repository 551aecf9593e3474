"""The platform's side of INT_R03: appointments that editors tell, kept apart from those of this server's own agendas.

What is received carries a tag; of the same store, what does not is neither found nor changed here. An identifier is
that of one received appointment, which goes from booked to one other state: confirmed at the head of the log.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R03)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from fhir_server.france.aliases import spelling
from fhir_server.france.identifiers import forms
from fhir_server.france.sas.appointments import STATES, check
from fhir_server.france.sas.base import Version
from fhir_server.interactions.rules import Asked, Ruling
from fhir_server.model.formats import Resource, parse
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, Issue, IssueType, Unprocessable
from fhir_server.search.query import UNIT_SEPARATOR as US
from fhir_server.search.query import Equality
from fhir_server.storage.protocol import Change, Snapshot, Stored, View

TAG: Final = {"system": "https://cpts.example.org/fhir/CodeSystem/sas-flow", "code": "INT_R03"}
"""What tells a received appointment from one of our own."""


def is_received(appointment: Resource) -> bool:
    """Tell whether an Appointment, which need not be valid, was told to this server as to the platform."""
    meta = appointment.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    return any(
        isinstance(tag, dict) and all(tag.get(name) == value for name, value in TAG.items())
        for tag in (tags if isinstance(tags, list) else ())
    )


def meant(matches: Sequence[Stored]) -> Sequence[Key]:
    """Return which of the appointments that criteria match a conditional update means: those received."""
    return [stored.key for stored in matches if stored.body is not None and is_received(parse(stored.body))]


@dataclass(frozen=True, slots=True)
class ReceivedAppointments:
    """The rule of a SAS base path on which appointments are received, under a version of the guide."""

    version: Version
    concerns: frozenset[str] = frozenset({"Appointment"})
    looks: bool = False

    async def prepare(self, _snapshot: Snapshot, asked: Sequence[Asked]) -> Ruling | None:
        """Return what is stored, with the tag. What is refused is refused at the head: what is invalid R4, and a
        condition such as ``If-Match``, come before it."""
        written = [(one, one.resource) for one in asked if one.key.type == "Appointment" and one.resource is not None]

        async def at_head(view: View, changes: Sequence[Change]) -> Mapping[Key, Sequence[Issue]]:
            for one, resource in written:
                if issues := list(check(resource, self.version)):
                    raise Unprocessable(*issues)
                await _confirm(view, one, resource)
            return {}

        return Ruling({one.key: _tagged(resource) for one, resource in written}, at_head=at_head)


async def _confirm(view: View, asked: Asked, appointment: Resource) -> None:
    """Raise ``Conflict`` for another appointment of the identifier, or a state that does not follow the stored one."""
    before = (await view.read([asked.key])).get(asked.key)
    if before is not None and before.body is not None:
        _follow(parse(before.body), appointment)
    for other in await _others(view, asked.key, appointment):
        told = f"there is an appointment with this identifier already, {other}"
        if asked.interaction is Interaction.CREATE:
            told += "; update it: PUT Appointment?identifier=<system>|<value>"
        raise Conflict(Issue(IssueType.DUPLICATE, told, ("Appointment.identifier",), id="sas-appointment-exists"))


def _follow(before: Resource, after: Resource) -> None:
    if not is_received(before):
        told = "this appointment is one of the server's own agendas; it is not changed here"
        raise Conflict(Issue(IssueType.CONFLICT, told, ("Appointment",), id="sas-appointment-own"))
    was, becomes = before.get("status"), after.get("status")
    if becomes != was and was != STATES[0]:
        told = f"the appointment is {was}, which is its end; it cannot become {becomes}"
        raise Conflict(Issue(IssueType.BUSINESS_RULE, told, ("Appointment.status",), id="sas-appointment-status"))


async def _others(view: View, key: Key, appointment: Resource) -> Sequence[Key]:
    """Return the other received appointments that have the identifier."""
    lookups = [("Appointment", Equality("identifier", text)) for text in _indexed(appointment)]
    found = chain.from_iterable(await view.holders(lookups))
    others = [other for other in dict.fromkeys(found) if other != key]
    return meant(list((await view.read(others)).values())) if others else ()


def _indexed(appointment: Resource) -> Iterator[str]:
    for one in appointment.get("identifier", ()):
        system, value = min(forms(spelling()(one["system"]), one["value"]))
        yield f"{value}{US}{system}"


def _tagged(appointment: Resource) -> Resource:
    """Return an Appointment with the tag; one whose meta cannot be is left to validation."""
    meta = appointment.get("meta", {})
    tags = meta.get("tag", []) if isinstance(meta, dict) else None
    if not isinstance(tags, list) or is_received(appointment):
        return appointment
    return {**appointment, "meta": {**meta, "tag": [*tags, TAG]}}
