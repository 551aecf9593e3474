"""The searches of the platform as data: the flow, what is asked, and in which spelling.

Source: the flow pages of https://interop.esante.gouv.fr/ig/fhir/sas/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from fhir_server.france.identifiers import IDNPS_SYSTEM, IDNST_SYSTEM
from fhir_server.france.sas import profiles
from fhir_server.france.vocabulary import PARIS


@dataclass(frozen=True, slots=True)
class Flow:
    """One search of the platform. ``profiles``: of each type that an answer holds, the profiles that it may have."""

    name: str
    match: str
    before: tuple[str, ...]
    """Parameters that ask for what rides along."""
    start: str
    """The parameter that bounds the start of slots."""
    status: str
    who: str
    system: str
    profiles: Mapping[str, frozenset[str]]


def _sole(**of_type: str) -> dict[str, frozenset[str]]:
    return {type_: frozenset({profile}) for type_, profile in of_type.items()}


_SLOTS: Final = {
    **_sole(
        Schedule=profiles.SCHEDULE,
        Practitioner=profiles.PRACTITIONER,
        PractitionerRole=profiles.PRACTITIONER_ROLE,
    ),
    "Slot": frozenset({profiles.PLAIN_SLOT, profiles.CPTS_SLOT}),
}

INT_R01: Final = Flow(
    "INT_R01",
    "Slot",
    ("_include=Slot:schedule", "_include:iterate=Schedule:actor"),
    "start",
    "status=free",
    "schedule.actor:Practitioner.identifier",
    IDNPS_SYSTEM,
    _SLOTS,
)
INT_R04: Final = replace(
    INT_R01,
    name="INT_R04",
    before=(
        *INT_R01.before,
        "_include=Slot:service-type-reference",
        "_include:iterate=HealthcareService:organization",
    ),
    profiles={
        **_SLOTS,
        **_sole(HealthcareService=profiles.CPTS_SERVICE, Organization=profiles.CPTS_ORGANIZATION),
    },
)
SOS: Final = Flow(
    "SOS",
    "Schedule",
    ("_revinclude=Slot:schedule", "_include=Schedule:actor:Location", "_include:iterate=Location:organization"),
    "_has:Slot:schedule:start",
    "_has:Slot:schedule:status=free",
    "actor:Location.organization.identifier",
    IDNST_SYSTEM,
    _sole(
        Schedule=profiles.SOS_SCHEDULE,
        Slot=profiles.SOS_SLOT,
        Location=profiles.SOS_LOCATION,
        Organization=profiles.SOS_ORGANIZATION,
    ),
)


@dataclass(frozen=True, slots=True)
class Window:
    """From one instant to another, both in Paris time, both inside."""

    start: datetime
    end: datetime

    @classmethod
    def from_now(cls, now: datetime) -> Window:
        """Return what the platform asks for: from now to the end of the third day."""
        start = now.astimezone(PARIS).replace(microsecond=0)
        return cls(start, datetime.combine(start.date() + timedelta(days=2), time(23, 59, 59), PARIS))


class Dates(StrEnum):
    """How a bound may be written."""

    OFFSET = "offset"
    NO_OFFSET = "no offset"
    ZERO = "zero offset"


@dataclass(frozen=True, slots=True)
class Search:
    """A search of a flow for the slots of ``numbers`` (national, prefixed) in a window, and how it is spelled."""

    flow: Flow
    window: Window
    numbers: tuple[str, ...]
    bar: str = "%7C"
    plus: str = "%2B"
    dates: Dates = Dates.OFFSET
    more: tuple[str, ...] = field(default=())

    @property
    def query(self) -> str:
        """The query string, as it stands in the request line."""
        who = ",".join(f"{self.flow.system}{self.bar}{number}" for number in self.numbers)
        parts = (
            *self.flow.before,
            f"{self.flow.start}=ge{self._bound(self.window.start)}",
            f"{self.flow.start}=le{self._bound(self.window.end)}",
            *((f"{self.flow.who}={who}",) if who else ()),
            self.flow.status,
            *self.more,
        )
        return "&".join(parts)

    @property
    def path(self) -> str:
        """The search below the base."""
        return f"{self.flow.match}?{self.query}"

    def _bound(self, moment: datetime) -> str:
        if self.dates is Dates.NO_OFFSET:
            moment = moment.replace(tzinfo=None)
        elif self.dates is Dates.ZERO:
            moment = moment.astimezone(UTC)
        return moment.isoformat(timespec="milliseconds").replace("+", self.plus)
