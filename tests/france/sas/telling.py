"""Appointments as the platform is told of them, with numbers that belong to nobody."""

from __future__ import annotations

from typing import Any

from fhir_server.france import vocabulary
from fhir_server.france.sas import profiles

Json = dict[str, Any]

IDNPS = "urn:oid:1.2.250.1.71.4.2.1"
ACCOUNTS = "urn:oid:1.2.250.1.213.3.6"
EDITOR = "https://agenda.example.org/rendez-vous"
DOCTOR = "899700990015"
REGULATOR = "3999999014/4242"


def identifier(value: str = DOCTOR, code: str = "IDNPS", system: str = IDNPS) -> Json:
    types = {"coding": [{"system": vocabulary.IDENTIFIER_TYPES_OLD, "code": code}]}
    return {"type": types, "system": system, "value": value}


def operator(url: str = profiles.OPERATOR, **reference: Any) -> Json:
    return {"url": url, "valueReference": reference or {"identifier": identifier(REGULATOR)}}


def orientation(code: str = "001") -> Json:
    return {"url": profiles.ORIENTATION, "valueCodeableConcept": {"coding": [{"code": code}]}}


def participant(status: str = "accepted", **actor: Any) -> Json:
    return {"actor": actor or {"identifier": identifier()}, "status": status}


def told(status: str = "booked", value: str = "rdv-1", **more: Any) -> Json:
    """Return an Appointment as the platform wants it; an element given as None is left out."""
    body = {
        "resourceType": "Appointment",
        "meta": {"profile": [profiles.APPOINTMENT]},
        "extension": [operator()],
        "identifier": [{"system": EDITOR, "value": value}],
        "status": status,
        "start": "2026-01-06T14:00:00+01:00",
        "end": "2026-01-06T14:15:00+01:00",
        "participant": [participant()],
        **more,
    }
    return {name: one for name, one in body.items() if one is not None}


SOS = {"profile": [profiles.SOS_APPOINTMENT]}
CENTRE = participant(identifier={"system": "https://sos.example.org/lieux", "value": "centre"})
