"""The code systems, profiles and extensions that the demonstration data name, and the small elements they fill.

National code systems: https://mos.esante.gouv.fr/NOS/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.definitions.canonical import OURS
from fhir_server.france.identifiers import IDNPS_SYSTEM, IDNST_SYSTEM

Json = dict[str, Any]

CANONICAL = OURS.rstrip("/")
"""The base of the code systems and identifier systems that are ours."""

TAG = {"system": f"{CANONICAL}/CodeSystem/demo", "code": "demo", "display": "Donnée de démonstration"}
SLOT_SYSTEM = f"{CANONICAL}/sid/demo-slot"
LOCATION_SYSTEM = f"{CANONICAL}/sid/demo-location"
REQUEST_SYSTEM = f"{CANONICAL}/sid/demo-request"

ORGANIZATION_PERIOD = "http://hl7.org/fhir/StructureDefinition/organization-period"
TERRITORIAL_DIVISION = "https://interop.esante.gouv.fr/ig/fhir/ror/StructureDefinition/ror-territorial-division"
INSEE_CODE = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code"

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
APPOINTMENT_REASON = "http://terminology.hl7.org/CodeSystem/v2-0276"
PHYSICAL_TYPE = "http://terminology.hl7.org/CodeSystem/location-physical-type"
ORGANIZATION_ROLE = "http://hl7.org/fhir/organization-role"
LOINC = "http://loinc.org"


def tre(name: str) -> str:
    """Return the URL of a national code system: the folder keeps its underscore, the leaf has a hyphen."""
    return f"https://mos.esante.gouv.fr/NOS/{name}/FHIR/{name.replace('TRE_', 'TRE-', 1)}"


def own(name: str) -> str:
    """Return the URL of one of our code systems: ``cpts-role``, ``cpts-team``, ``cpts-mission`` …"""
    return f"{CANONICAL}/CodeSystem/{name}"


def profile(name: str) -> str:
    """Return the URL of one of our profiles: ``cpts-affiliation``, ``cpts-patient-circle`` …"""
    return f"{CANONICAL}/StructureDefinition/{name}"


def coding(system: str, code: str) -> Json:
    """Return a Coding."""
    return {"system": system, "code": code}


def concept(system: str, code: str) -> Json:
    """Return a CodeableConcept of one Coding."""
    return {"coding": [coding(system, code)]}


def national(pair: list[str]) -> Json:
    """Return the concept of a pair of the facts: the name of a national code system, and a code."""
    return concept(tre(pair[0]), pair[1])


def reference(type_: str, id_: str) -> Json:
    """Return a Reference to a resource of this server."""
    return {"reference": f"{type_}/{id_}"}


def resource(
    type_: str, id_: str | None, profile: str | None = None, security: Sequence[Json] = (), **elements: Any
) -> Json:
    """Return a resource tagged as demonstration, with at most one profile.

    Elements that are None or empty are left out; ``for_`` writes ``for``, which Python keeps for itself.
    """
    meta: Json = {"profile": [profile]} if profile else {}
    if security:
        meta["security"] = list(security)
    found: Json = {"resourceType": type_}
    if id_ is not None:
        found["id"] = id_
    found["meta"] = {**meta, "tag": [TAG]}
    found |= {name.rstrip("_"): value for name, value in elements.items() if value not in (None, [], "")}
    return found


def idnps(value: str, types: str) -> Json:
    """Return a professional's national identifier, its type taken from one of the two generations of FR Core."""
    return {"type": concept(types, "IDNPS"), "system": IDNPS_SYSTEM, "value": value}


def idnst(value: str, *types: str) -> Json:
    """Return a structure's national identifier, typed in each of the code systems given."""
    return {"type": {"coding": [coding(system, "IDNST") for system in types]}, "system": IDNST_SYSTEM, "value": value}


def phone(value: str) -> Json:
    """Return the ContactPoint of a telephone."""
    return {"system": "phone", "value": value}


def email(value: str) -> Json:
    """Return the ContactPoint of an e-mail address."""
    return {"system": "email", "value": value}
