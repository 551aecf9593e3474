"""The code systems, profiles and extensions that French resources name, the small elements they fill, and their time.

National code systems: https://mos.esante.gouv.fr/NOS/
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from fhir_server.definitions.canonical import OURS
from fhir_server.france.identifiers import COMMUNE_SYSTEM, IDNPS_SYSTEM, IDNST_SYSTEM

Json: TypeAlias = dict[str, Any]

PARIS: Final = ZoneInfo("Europe/Paris")
"""The time zone of agendas, whatever that of the server."""

CANONICAL: Final = OURS.rstrip("/")
"""The base of the code systems and identifier systems that are ours."""

ORGANIZATION_PERIOD: Final = "http://hl7.org/fhir/StructureDefinition/organization-period"
TERRITORIAL_DIVISION: Final = "https://interop.esante.gouv.fr/ig/fhir/ror/StructureDefinition/ror-territorial-division"
INSEE_CODE: Final = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code"

IDENTIFIER_TYPES: Final = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203"
IDENTIFIER_TYPES_OLD: Final = "http://interopsante.org/fhir/CodeSystem/fr-v2-0203"
PLACE_IDENTIFIER_TYPES_OLD: Final = "http://interopsante.org/fhir/CodeSystem/fr-location-identifier-type"
"""Code systems of identifier types: FR Core 2, FR Core 1, and FR Core 1's of places."""

ORGANIZATION_TYPES: Final = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-3307"

ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
APPOINTMENT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v2-0276"
PHYSICAL_TYPE: Final = "http://terminology.hl7.org/CodeSystem/location-physical-type"
ORGANIZATION_ROLE: Final = "http://hl7.org/fhir/organization-role"
LOINC: Final = "http://loinc.org"


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


def reference(type_: str, id_: str) -> Json:
    """Return a Reference to a resource of this server."""
    return {"reference": f"{type_}/{id_}"}


def idnps(value: str, types: str) -> Json:
    """Return a professional's national identifier, its type taken from one of the two generations of FR Core."""
    return {"type": concept(types, "IDNPS"), "system": IDNPS_SYSTEM, "value": value}


def idnst(value: str, *types: str) -> Json:
    """Return a structure's national identifier, typed in each of the code systems given."""
    return {"type": {"coding": [coding(system, "IDNST") for system in types]}, "system": IDNST_SYSTEM, "value": value}


def insee_code(commune: str) -> Json:
    """Return the extension of an Address with INSEE's code of its commune."""
    return {"url": INSEE_CODE, "valueCoding": coding(COMMUNE_SYSTEM, commune)}


def phone(value: str) -> Json:
    """Return the ContactPoint of a telephone."""
    return {"system": "phone", "value": value}


def email(value: str) -> Json:
    """Return the ContactPoint of an e-mail address."""
    return {"system": "email", "value": value}
