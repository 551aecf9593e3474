"""The data of every benchmark: professionals of a CPTS, their places, agendas and slots. The same at each run.

Everyone is fictitious: the national numbers begin with 8997009, as those of the demonstration, and Luhn's digit is
right. A slot has the SAS's profile, is 1.2 kB long and visible to a CPTS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Final
from urllib.parse import quote

from fhir_server.france.demo.resources import LOCATION_SYSTEM, national, tagged
from fhir_server.france.identifiers import IDNPS_SYSTEM, IDNST_SYSTEM, luhn_digit
from fhir_server.france.sas import profiles
from fhir_server.france.vocabulary import (
    ACT_CODE,
    APPOINTMENT_REASON,
    CANONICAL,
    IDENTIFIER_TYPES,
    IDENTIFIER_TYPES_OLD,
    Json,
    coding,
    concept,
    idnps,
    idnst,
    phone,
    reference,
    tre,
)

DAYS: Final = 25
SLOTS_A_DAY: Final = 10
SLOTS_EACH: Final = DAYS * SLOTS_A_DAY
"""Slots of one agenda. Every other one is free."""
PRACTITIONERS: Final = 10_000
"""As many as there are numbers."""

FIRST_DAY: Final = datetime(2026, 1, 5, tzinfo=timezone(timedelta(hours=1)))
"""Winter time in Paris throughout."""
SLOT_SYSTEM: Final = f"{CANONICAL}/sid/benchmark-slot"
SCHEDULE_SYSTEM: Final = f"{CANONICAL}/sid/benchmark-schedule"

SPECIALTIES: Final = ("SM54", "SM54", "SM54", "SM54", "SM54", "SM54", "SM04", "SM15", "SM42", "SM62")
"""Six in ten are general practitioners."""
BESANCON: Final = (47.2378, 6.0241)

_SYLLABLES: Final = ("ba", "cor", "del", "fi", "gra", "hau", "jo", "lan", "mé", "nor", "pel", "quin", "ra", "sol", "ti")
_GIVEN: Final = ("Alice", "Bruno", "Chloé", "Driss", "Élise", "Farid", "Gaëlle", "Hugo", "Inès", "Jules", "Karine")
_MINUTES: Final = 30
_OPENING: Final = timedelta(hours=9)


def national_id(number: int) -> str:
    """Return the IDNPS of a professional: 8 and the RPPS number."""
    rpps = f"997009{number:04d}"
    return f"8{rpps}{luhn_digit(rpps)}"


def site_id(number: int) -> str:
    """Return the IDNST of a place: 3 and a SIRET of the test range."""
    siret = f"99999{number:08d}"
    return f"3{siret}{luhn_digit(siret)}"


def family(number: int) -> str:
    """Return an invented name; 3,375 different ones."""
    size = len(_SYLLABLES)
    return "".join(_SYLLABLES[number // step % size] for step in (1, size, size * size)).capitalize()


def practitioner_id(number: int) -> str:
    return f"medecin-{number:05d}"


def slot_id(number: int, index: int) -> str:
    return f"creneau-{number:05d}-{index:03d}"


def roster(number: int) -> list[Json]:
    """Return one professional and their place: Practitioner, Organization, Location, PractitionerRole and Schedule,
    with ids that refer by them."""
    me = practitioner_id(number)
    specialty = [national(["TRE_R38-SpecialiteOrdinale", SPECIALTIES[number % len(SPECIALTIES)]])]
    return [
        tagged(
            "Practitioner",
            me,
            profiles.PRACTITIONER,
            identifier=[idnps(national_id(number), IDENTIFIER_TYPES_OLD)],
            active=True,
            name=[{"family": family(number), "given": [_GIVEN[number % len(_GIVEN)]], "suffix": ["DR"]}],
            qualification=[{"code": national(["TRE_R09-CategorieProfessionnelle", "C"])}],
        ),
        tagged(
            "Organization",
            me,
            identifier=[idnst(site_id(number), IDENTIFIER_TYPES)],
            active=True,
            name=f"Association {number}",
        ),
        tagged(
            "Location",
            me,
            profiles.LOCATION,
            identifier=[{"system": LOCATION_SYSTEM, "value": me}],
            status="active",
            name=f"Cabinet {number}",
            address={"line": [f"{number % 200 + 1} rue des Essais"], "city": "Besançon", "postalCode": "25000"},
            position=_position(number),
            managingOrganization=reference("Organization", me),
        ),
        tagged(
            "PractitionerRole",
            me,
            profiles.PRACTITIONER_ROLE,
            active=True,
            practitioner=reference("Practitioner", me),
            code=[national(["TRE_R23-ModeExercice", "L"]), national(["TRE_R21-Fonction", "FON-01"])],
            specialty=specialty,
            location=[reference("Location", me)],
            telecom=[phone(f"+3363998{number:04d}")],
        ),
        tagged(
            "Schedule",
            me,
            profiles.SCHEDULE,
            identifier=[{"system": SCHEDULE_SYSTEM, "value": me}],
            active=True,
            specialty=specialty,
            actor=[reference(type_, me) for type_ in ("Practitioner", "PractitionerRole", "Location")],
        ),
    ]


def slots(number: int) -> Iterator[Json]:
    """Yield the slots of one professional's agenda, in the order of time, without ids."""
    for index in range(SLOTS_EACH):
        yield slot(number, index)


def slot(number: int, index: int) -> Json:
    """Return one slot: half an hour of one of 25 days; those of even number are free."""
    day, turn = divmod(index, SLOTS_A_DAY)
    start = FIRST_DAY + timedelta(days=day, minutes=_MINUTES * turn) + _OPENING
    service = {
        "extension": [{"url": profiles.R5_SERVICE_TYPE, "valueReference": reference("HealthcareService", "cpts-snp")}],
        **national(["TRE_R66-CategorieEtablissement", "604"]),
    }
    return tagged(
        "Slot",
        None,
        profiles.CPTS_SLOT,
        [coding(tre("TRE_R314-TypeCreneau"), code) for code in ("SNP", "CPTS")],
        identifier=[{"system": SLOT_SYSTEM, "value": slot_id(number, index)}],
        serviceType=[concept(ACT_CODE, "AMB"), service, {"text": "Consultation de médecine générale"}],
        specialty=[national(["TRE_R38-SpecialiteOrdinale", SPECIALTIES[number % len(SPECIALTIES)]])],
        appointmentType=concept(APPOINTMENT_REASON, "ROUTINE"),
        schedule=reference("Schedule", practitioner_id(number)),
        status="busy" if index % 2 else "free",
        start=start.isoformat(timespec="milliseconds"),
        end=(start + timedelta(minutes=_MINUTES)).isoformat(timespec="milliseconds"),
        comment=f"https://agenda.example.org/{practitioner_id(number)}",
    )


# --- as they are written ---------------------------------------------------------------------------------------------


def entry_with_id(resource: Json) -> Json:
    """Return a transaction entry that writes a resource under its own id."""
    return {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}


def slots_with_ids(numbers: Iterable[int]) -> Iterator[Json]:
    """Yield the slots of several agendas, ids included."""
    for number in numbers:
        for index, each in enumerate(slots(number)):
            yield {"resourceType": "Slot", "id": slot_id(number, index), **each}


def new_roster(number: int) -> list[Json]:
    """Return the transaction entries that create one professional as a practice's software would: the server chooses
    the ids, the entries refer to each other by ``urn:uuid``."""
    urns = {each: f"urn:uuid:{kind:08d}-0000-4000-8000-{number:012d}" for kind, each in enumerate(_KINDS)}
    entries = []
    for resource in roster(number):
        text = dumps({name: value for name, value in resource.items() if name != "id"})
        for kind, urn in urns.items():
            text = text.replace(f'"{kind}/{practitioner_id(number)}"', f'"{urn}"')
        kind = resource["resourceType"]
        entries.append(
            {"fullUrl": urns[kind], "resource": json.loads(text), "request": {"method": "POST", "url": kind}}
        )
    return entries


_KINDS: Final = ("Practitioner", "Organization", "Location", "PractitionerRole", "Schedule")


def new_slot(number: int, index: int, *, conditional: bool) -> Json:
    """Return the transaction entry that creates a slot; its agenda is named by what the software knows of it, an
    identifier. ``conditional``: only if no slot has the slot's own identifier."""
    resource = slot(number, index)
    resource["schedule"] = {"reference": f"Schedule?identifier={token(SCHEDULE_SYSTEM, practitioner_id(number))}"}
    request = {"method": "POST", "url": "Slot"}
    if conditional:
        request["ifNoneExist"] = f"identifier={token(SLOT_SYSTEM, slot_id(number, index))}"
    return {"resource": resource, "request": request}


def transaction(entries: Iterable[Json]) -> bytes:
    return dumps({"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}).encode()


def dumps(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def token(system: str, value: str) -> str:
    """Return ``system|value`` as a query string has it."""
    return quote(f"{system}|{value}", safe=":/")


# --- the SAS platform's query ----------------------------------------------------------------------------------------

ASKED: Final = 25
"""Professionals of one query, the most the platform asks for."""
SITES: Final = 3
"""Places of one query for places."""
ASKED_DAYS: Final = 3
FREE_IN_WINDOW: Final = ASKED * ASKED_DAYS * (SLOTS_A_DAY // 2)
INCLUDED: Final = ASKED * 4
"""Of each professional the Schedule, the Practitioner, the PractitionerRole and the Location."""


def sas_query(turn: int, practitioners: int, *, count: int | None = None) -> str:
    """Return the path of flow INT_R01, relative to the FHIR base: free slots of 25 professionals in 72 hours, with
    agendas and actors. Each ``turn`` asks for others, on other days."""
    start, end = _window(turn)
    who = ",".join(token(IDNPS_SYSTEM, national_id(number)) for number in asked(turn, practitioners))
    path = (
        "Slot?_include=Slot:schedule&_include:iterate=Schedule:actor"
        f"&start=ge{start}&start=le{end}"
        f"&schedule.actor:Practitioner.identifier={who}&status=free"
    )
    return path if count is None else f"{path}&_count={count}"


def sos_query(turn: int, practitioners: int, sites: int = SITES) -> str:
    """Return the platform's query for places, as plain FHIR reads it: the agendas of some places that have a slot after
    one instant, one before another, and a free one; with all of their slots."""
    start, end = _window(turn)
    who = ",".join(token(IDNST_SYSTEM, site_id(number)) for number in asked(turn, practitioners)[:sites])
    return (
        "Schedule?_revinclude=Slot:schedule&_include=Schedule:actor:Location&_include:iterate=Location:organization"
        f"&_has:Slot:schedule:start=ge{start}&_has:Slot:schedule:start=le{end}&_has:Slot:schedule:status=free"
        f"&actor:Location.organization.identifier={who}"
    )


def asked(turn: int, practitioners: int) -> list[int]:
    """Return whom a query asks for."""
    return [(turn * ASKED + place) % practitioners for place in range(ASKED)]


def _window(turn: int) -> tuple[str, str]:
    """Return the first and the last instant of a query's days."""
    start = FIRST_DAY + timedelta(days=turn * 7 % (DAYS - ASKED_DAYS))
    return _offset_encoded(start), _offset_encoded(start + timedelta(days=ASKED_DAYS, seconds=-1))


def _offset_encoded(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+", "%2B")


def _position(number: int) -> Json:
    """Spread the places over a square of about 70 km around Besançon."""
    latitude, longitude = BESANCON
    return {
        "latitude": round(latitude + (number * 37 % 601 - 300) / 1_000, 4),
        "longitude": round(longitude + (number * 53 % 901 - 450) / 1_000, 4),
    }
