"""The agendas of the demonstration: the slots of chosen days, one transaction Bundle a day.

A slot is created on the condition that its identifier is not there yet: a slot that was booked, moved or closed is
never overwritten, and a day can be sent again. Free slots have the SAS profiles, which allow no other status.

Spec: https://hl7.org/fhir/R4/slot.html, https://hl7.org/fhir/R4/http.html#ccreate
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any
from urllib.parse import quote
from zlib import crc32

from fhir_server.france.demo.facts import Cpts, common, every_cpts, service_id, sos, sos_place_id
from fhir_server.france.demo.resources import SLOT_SYSTEM, national, tagged
from fhir_server.france.sas import profiles
from fhir_server.france.vocabulary import ACT_CODE, APPOINTMENT_REASON, Json, coding, concept, reference, tre

AGENDA_DAYS = 7
"""How many days from today the demonstration keeps open: whatever the day, one week-end is among them."""

DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")

AUDIENCES: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ("PUBLIC",),
    ("PUBLIC",),
    ("PRO",),
    ("SNP",),
    ("SNP", "CPTS"),
    ("SNP", "CPTS"),
    ("SNP", "CPTS"),
    ("SNP", "CPTS"),
)
"""A die with ten faces: to whom a slot is open. Where it is open to nobody, it is taken."""

SOS_AUDIENCES: tuple[tuple[str, ...], ...] = ((), (), *[("PUBLIC", "SNP")] * 4, *[("SNP",)] * 4)
"""The same for the agendas of SOS Médecins, which no CPTS sees."""


@dataclass(frozen=True, slots=True)
class Agenda:
    """One schedule, its opening hours, and what its slots say."""

    id: str
    openings: tuple[dict[str, Any], ...]
    minutes: int
    reason: str
    modes: tuple[str, ...] = ()
    specialty: list[str] | None = None
    visible_to: tuple[str, ...] = ()
    link: str = ""
    audiences: tuple[tuple[str, ...], ...] = AUDIENCES
    profile: str = profiles.PLAIN_SLOT
    """Of a slot that no CPTS sees."""


def agenda_bundles(days: Sequence[date], zone: tzinfo) -> Iterator[Json]:
    """Yield one transaction for each day, in which every slot is a conditional create.

    ``zone`` is that of the opening hours: Europe/Paris. Bundles may be sent again at will.
    """
    for day in days:
        entries = [_entry(slot) for agenda in _agendas() for slot in _slots(agenda, day, zone)]
        yield {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def agenda_marker(day: date) -> str:
    """Return the search for the first slot of a day: a match means that the day, one transaction, was loaded.

    With it a start-up skips days in one request each; without it, it may send every day again.
    """
    agenda, opening = next(
        (agenda, opening)
        for agenda in _agendas()
        for opening in agenda.openings
        if DAYS[day.weekday()] in opening["jours"]
    )
    return "Slot?" + _criterion(_key(agenda, datetime.combine(day, time.fromisoformat(opening["de"]))))


def session_schedules(cpts: Cpts) -> Iterator[Json]:
    """The schedules of the collective sessions of a CPTS: their actor is a service, not a person."""
    for row in cpts.facts["seances"]:
        service = reference("HealthcareService", cpts.service_id(row["mission"]))
        yield tagged("Schedule", _session_id(cpts, row), active=True, actor=[service], comment=row["nom"])


def _session_id(cpts: Cpts, row: dict[str, Any]) -> str:
    return f"{cpts.key}-seance-{row['id']}"


def _agendas() -> Iterator[Agenda]:
    yield from _sos_agendas()
    openings = common()["ouvertures"]
    for cpts in every_cpts():
        for member in cpts.members:
            for place, names in enumerate(member.places, start=1):
                yield Agenda(
                    id=member.practice_id(place),
                    openings=tuple(openings[name] for name in names),
                    minutes=member.trade["duree"],
                    reason=member.trade["motif"],
                    modes=tuple(member.trade["modes"]),
                    specialty=member.specialty,
                    visible_to=member.visible_to,
                    link=f"https://agenda.example.org/{member.id}",
                )
        for row in cpts.facts["seances"]:
            hours = {"jours": [row["jour"]], "de": row["de"], "a": row["a"]}
            yield Agenda(_session_id(cpts, row), (hours,), 60, row["nom"])


def _sos_agendas() -> Iterator[Agenda]:
    facts = sos()
    for place in facts["lieux"]:
        id_ = sos_place_id(place)
        yield Agenda(
            id=id_,
            openings=tuple(facts["ouvertures"]),
            minutes=facts["duree"],
            reason=facts["motif"],
            modes=tuple(facts["modes"]),
            specialty=facts["specialite"],
            link=f"https://agenda.example.org/{id_}",
            audiences=SOS_AUDIENCES,
            profile=profiles.SOS_SLOT,
        )


def _slots(agenda: Agenda, day: date, zone: tzinfo) -> Iterator[Json]:
    for opening in agenda.openings:
        if DAYS[day.weekday()] not in opening["jours"]:
            continue
        start = datetime.combine(day, time.fromisoformat(opening["de"]), zone)
        last = datetime.combine(day, time.fromisoformat(opening["a"]), zone)
        while (end := start + timedelta(minutes=agenda.minutes)) <= last:
            yield _slot(agenda, start, end) if agenda.modes else _session(agenda, start, end)
            start = end


def _slot(agenda: Agenda, start: datetime, end: datetime) -> Json:
    """One appointment. A checksum of its identifier is the die: the same slots at each start."""
    key = _key(agenda, start)
    die = crc32(key.encode())
    audience = agenda.audiences[die % 10]
    mode = agenda.modes[die // 10 % len(agenda.modes)]
    shared = agenda.visible_to if "CPTS" in audience else ()
    profile = profiles.CPTS_SLOT if shared else agenda.profile
    return tagged(
        "Slot",
        None,
        profile if audience else None,
        [coding(tre("TRE_R314-TypeCreneau"), code) for code in audience],
        identifier=[{"system": SLOT_SYSTEM, "value": key}],
        serviceType=[concept(ACT_CODE, mode), *map(_visibility, shared), {"text": agenda.reason}],
        specialty=[national(agenda.specialty)] if agenda.specialty else None,
        appointmentType=concept(APPOINTMENT_REASON, "WALKIN" if die // 100 % 8 == 0 else "ROUTINE"),
        schedule=reference("Schedule", agenda.id),
        status="free" if audience else "busy",
        start=_instant(start),
        end=_instant(end),
        comment=agenda.link,
    )


def _visibility(cpts_id: str) -> Json:
    """Say that a CPTS sees the slot: R5's reference to its service of unscheduled care."""
    service = reference("HealthcareService", service_id(cpts_id, "snp"))
    extension = {"url": profiles.R5_SERVICE_TYPE, "valueReference": service}
    return {"extension": [extension], **concept(tre("TRE_R66-CategorieEtablissement"), "604")}


def _session(agenda: Agenda, start: datetime, end: datetime) -> Json:
    """One collective session: no professional's agenda, so no SAS profile."""
    return tagged(
        "Slot",
        None,
        identifier=[{"system": SLOT_SYSTEM, "value": _key(agenda, start)}],
        serviceType=[{"text": agenda.reason}],
        schedule=reference("Schedule", agenda.id),
        status="free",
        start=_instant(start),
        end=_instant(end),
    )


def _key(agenda: Agenda, start: datetime) -> str:
    return f"{agenda.id}-{start:%Y%m%d-%H%M}"


def _instant(moment: datetime) -> str:
    """Write an instant as the SAS wants it: milliseconds, and an offset in figures."""
    return moment.isoformat(timespec="milliseconds")


def _criterion(key: str) -> str:
    return "identifier=" + quote(f"{SLOT_SYSTEM}|{key}", safe=":/")


def _entry(slot: Json) -> Json:
    criterion = _criterion(slot["identifier"][0]["value"])
    return {"resource": slot, "request": {"method": "POST", "url": "Slot", "ifNoneExist": criterion}}
