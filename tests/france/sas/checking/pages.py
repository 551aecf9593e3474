"""Answers as the guide wants them, to be spoiled one rule at a time: fictitious people and places."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime
from typing import Any

from fhir_server.france import vocabulary
from fhir_server.france.sas import profiles
from fhir_server.france.sas.asked import spoken
from fhir_server.france.sas.checking.answer import Answer
from fhir_server.france.sas.checking.asked import INT_R04, SOS, Flow, Search, Window
from fhir_server.france.vocabulary import PARIS

Json = dict[str, Any]

BASE = "https://sas.example.org/sas"
IDNPS, IDNST = "urn:oid:1.2.250.1.71.4.2.1", "urn:oid:1.2.250.1.71.4.2.2"
ACCOUNTS = "urn:oid:1.2.250.1.213.3.6"
NUMBER, SIRET = "899700990015", "399999901400015"
LABELS = "https://mos.esante.gouv.fr/NOS/TRE_R314-TypeCreneau/FHIR/TRE-R314-TypeCreneau"
CATEGORIES = "https://mos.esante.gouv.fr/NOS/TRE_R66-CategorieEtablissement/FHIR/TRE-R66-CategorieEtablissement"
SPECIALTIES = "https://mos.esante.gouv.fr/NOS/TRE_R38-SpecialiteOrdinale/FHIR/TRE-R38-SpecialiteOrdinale"
ACT, REASON = "http://terminology.hl7.org/CodeSystem/v3-ActCode", "http://terminology.hl7.org/CodeSystem/v2-0276"
NOW = datetime(2026, 1, 5, 8, tzinfo=PARIS)
WINDOW = Window.from_now(NOW)


def search(flow: Flow = INT_R04, *numbers: str) -> Search:
    return Search(flow, WINDOW, numbers or ((SIRET,) if flow is SOS else (NUMBER,)))


def answer(
    page: Any, status: int = 200, kind: str = "application/fhir+json;charset=utf-8", seconds: float = 0.1
) -> Answer:
    return Answer(status, {"content-type": kind}, json.dumps(page).encode(), seconds)


def searchset(asked: Search, *resources: Json) -> Json:
    """Return the searchset that answers a search with resources."""
    match = asked.flow.match
    entries = [
        {
            "fullUrl": f"{BASE}/{one['resourceType']}/{one['id']}",
            "resource": one,
            "search": {"mode": "match" if one["resourceType"] == match else "include"},
        }
        for one in resources
    ]
    page: Json = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": sum(one["resourceType"] == match for one in resources),
        "link": [{"relation": "self", "url": f"{BASE}/{match}?{spoken(asked.query)}"}],
    }
    return deepcopy({**page, "entry": entries} if entries else page)


def resource(type_: str, id_: str, profile: str, **elements: Any) -> Json:
    return {"resourceType": type_, "id": id_, "meta": {"profile": [profile]}, **elements}


def typed(system: str, value: str, types: str, code: str) -> Json:
    return {"type": {"coding": [{"system": types, "code": code}]}, "system": system, "value": value}


def ref(text: str) -> Json:
    return {"reference": text}


def slot(id_: str, agenda: str, profile: str, start: str = "2026-01-05T09:00", *services: Json, **more: Any) -> Json:
    made = resource(
        "Slot",
        id_,
        profile,
        serviceType=[{"coding": [{"system": ACT, "code": "AMB"}]}, *services, {"text": "Consultation"}],
        specialty=[{"coding": [{"system": SPECIALTIES, "code": "SM54"}]}],
        appointmentType={"coding": [{"system": REASON, "code": "ROUTINE"}]},
        schedule=ref(f"Schedule/{agenda}"),
        status="free",
        start=f"{start}:00.000+01:00",
        end=f"{start[:-2]}59:00.000+01:00",
        comment="https://agenda.example.org/a",
        **more,
    )
    made["meta"]["security"] = [{"system": LABELS, "code": "SNP"}]
    return made


SEEN = {
    "coding": [{"system": CATEGORIES, "code": "604"}],
    "extension": [{"url": profiles.R5_SERVICE_TYPE, "valueReference": ref("HealthcareService/snp")}],
}
ADDRESS = {"line": ["1 rue de l'Exemple"], "city": "Besançon", "postalCode": "25000"}


def practitioner() -> Json:
    return resource(
        "Practitioner",
        "alice",
        profiles.PRACTITIONER,
        identifier=[typed(IDNPS, NUMBER, vocabulary.IDENTIFIER_TYPES_OLD, "IDNPS")],
        active=True,
        name=[{"family": "Fictive", "given": ["Alice"]}],
    )


def role(id_: str) -> Json:
    place = {"resourceType": "Location", "id": "lieu", "meta": {"profile": [profiles.LOCATION]}, "address": ADDRESS}
    return resource(
        "PractitionerRole",
        id_,
        profiles.PRACTITIONER_ROLE,
        contained=[place],
        practitioner=ref("Practitioner/alice"),
        organization={"identifier": typed(IDNST, "1259999068", vocabulary.IDENTIFIER_TYPES_OLD, "IDNST")},
        location=[ref("#lieu")],
        telecom=[{"system": "phone", "value": "+33399990000"}],
    )


def agenda(id_: str) -> Json:
    actors = [ref("Practitioner/alice"), ref(f"PractitionerRole/{id_}")]
    return resource("Schedule", id_, profiles.SCHEDULE, actor=actors)


def slots_page() -> Json:
    """INT_R04: two places, one plain slot and one that a CPTS sees."""
    number = typed(IDNST, "1259999068", vocabulary.IDENTIFIER_TYPES, "IDNST")
    return searchset(
        search(),
        slot("plain", "one", profiles.PLAIN_SLOT),
        slot("shared", "two", profiles.CPTS_SLOT, "2026-01-06T09:00", SEEN),
        agenda("one"),
        agenda("two"),
        practitioner(),
        role("one"),
        role("two"),
        resource("HealthcareService", "snp", profiles.CPTS_SERVICE, providedBy=ref("Organization/cpts")),
        resource("Organization", "cpts", profiles.CPTS_ORGANIZATION, identifier=[number], name="CPTS fictive"),
    )


def sos_resources() -> list[Json]:
    """SOS: an agenda of a place, with its one slot."""
    place = typed("urn:oid:1.2.3", "centre", vocabulary.PLACE_IDENTIFIER_TYPES_OLD, "INTRN")
    number = typed(IDNST, SIRET, vocabulary.PLACE_IDENTIFIER_TYPES_OLD, "IDNST")
    return [
        resource("Schedule", "sos", profiles.SOS_SCHEDULE, actor=[ref("Location/centre")]),
        slot("fits", "sos", profiles.SOS_SLOT),
        resource(
            "Location",
            "centre",
            profiles.SOS_LOCATION,
            identifier=[place],
            name="Centre fictif",
            address=ADDRESS,
            managingOrganization=ref("Organization/sos"),
        ),
        resource("Organization", "sos", profiles.SOS_ORGANIZATION, identifier=[number], name="SOS fictif"),
    ]


def sos_page() -> Json:
    return searchset(search(SOS), *sos_resources())
