"""Four requests that show what the demonstration is good for."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote

from fhir_server.france.demo.facts import every_cpts, sos
from fhir_server.france.identifiers import IDNPS_SYSTEM, IDNST_SYSTEM, add_prefix
from fhir_server.france.vocabulary import PARIS, own

PRACTITIONERS_ASKED = 5
"""The platform asks for up to 25 in one request; five keep the printed URL readable."""


def requests_worth_trying(base: str, cpts_base: str, sos_base: str, now: datetime) -> list[tuple[str, str]]:
    """Return titles and URLs of GET requests on a server at ``base``, whose SAS base paths are at ``cpts_base`` (flow
    INT_R04) and ``sos_base``.

    ``now`` is an instant with a zone.
    """
    requests = (
        ("The national SAS platform: free slots of the next 48 hours, and who offers them", cpts_base, _cpts(now)),
        ("The same platform: free slots of SOS Médecins, and where they are", sos_base, _sos(now)),
        ("The members of CPTS Avenir Santé", base, _members()),
        ("Which CPTS offers unscheduled care in Audincourt", base, _covering("Audincourt")),
    )
    return [(title, f"{on.rstrip('/')}/{query}") for title, on, query in requests]


def _cpts(now: datetime) -> str:
    """Flow INT_R04: slots by practitioner, with the CPTS that see them."""
    bookable = [member for member in every_cpts()[0].members if member.places][:PRACTITIONERS_ASKED]
    return _query(
        "Slot",
        ("_include", "Slot:schedule"),
        ("_include:iterate", "Schedule:actor"),
        ("_include", "Slot:service-type-reference"),
        ("_include:iterate", "HealthcareService:organization"),
        *(("start", bound) for bound in _window(now)),
        (
            "schedule.actor:Practitioner.identifier",
            ",".join(f"{IDNPS_SYSTEM}|{member.national_id}" for member in bookable),
        ),
        ("status", "free"),
        ("_count", "1000"),  # the platform reads one page
    )


def _sos(now: datetime) -> str:
    """Flow SOS: the agendas of a structure, with the slots that the criteria hold of."""
    return _query(
        "Schedule",
        ("_revinclude", "Slot:schedule"),
        ("_include", "Schedule:actor:Location"),
        ("_include:iterate", "Location:organization"),
        *(("_has:Slot:schedule:start", bound) for bound in _window(now)),
        ("_has:Slot:schedule:status", "free"),
        ("actor:Location.organization.identifier", f"{IDNST_SYSTEM}|{add_prefix('SIRET', sos()['siret'])}"),
    )


def _members() -> str:
    return _query(
        "PractitionerRole",
        ("organization", f"Organization/{every_cpts()[0].id}"),
        ("role", f"{own('cpts-role')}|adherent"),
        ("_include", "PractitionerRole:practitioner"),
    )


def _covering(commune: str) -> str:
    return _query(
        "HealthcareService",
        ("coverage-area.name", commune),
        ("service-category", f"{own('cpts-mission')}|snp"),
        ("_include", "HealthcareService:organization"),
    )


def _window(now: datetime) -> tuple[str, str]:
    return f"ge{_instant(now)}", f"le{_instant(now + timedelta(hours=48))}"


def _instant(moment: datetime) -> str:
    return moment.astimezone(PARIS).isoformat(timespec="milliseconds")


def _query(type_: str, *parameters: tuple[str, str]) -> str:
    return f"{type_}?" + "&".join(f"{name}={quote(value, safe=':,/')}" for name, value in parameters)
