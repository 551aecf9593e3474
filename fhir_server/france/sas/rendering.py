"""Resources as the SAS guide has them: the one profile of a flow, prefixed numbers, the guide's code systems.

What is stored stays as it is; a Slot is never rendered, for its bytes are checked when it is written (``slots``).
Source: https://interop.esante.gouv.fr/ig/fhir/sas/artifacts.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from fhir_server.france.aliases import spelling
from fhir_server.france.identifiers import IDNPS_SYSTEM, IDNST_SYSTEM, KINDS, add_prefix, forms
from fhir_server.france.regulators import ACCOUNTS
from fhir_server.france.sas import profiles
from fhir_server.france.sas.base import Version
from fhir_server.france.vocabulary import (
    IDENTIFIER_TYPES,
    IDENTIFIER_TYPES_OLD,
    PLACE_IDENTIFIER_TYPES_OLD,
    Json,
    concept,
    idnps,
    idnst,
)
from fhir_server.model.formats import Resource

Related: TypeAlias = Mapping[str, Resource]
"""Resources that a rendered one takes elements from, by the text of the reference to them."""

_DIPLOMAS: Final = (
    "TRE_R36 TRE_R47 TRE_R48 TRE_R49 TRE_R50 TRE_R51 TRE_R52 TRE_R53 TRE_R54 TRE_R55 TRE_R56 TRE_R57 TRE_R58 TRE_R226"
)
"""The code systems that the guide's parent lets qualifications have."""


def rendered(resource: Resource, version: Version, related: Related) -> Resource:
    """Return a resource as the guide has it; a type that the guide does not have comes back as it is."""
    render = _RENDERERS.get(str(resource.get("resourceType")))
    return resource if render is None else render(resource, version, related)


def needs(resource: Resource) -> Iterator[str]:
    """Yield the texts of references that have to be followed to render a resource."""
    if resource.get("resourceType") != "PractitionerRole":
        return
    if (organization := resource.get("organization", {}).get("reference")) is not None:
        yield organization
    for place in resource.get("location", ()):
        text = place.get("reference", "#")
        if not text.startswith("#"):
            yield text


def national_number(resource: Resource, system: str) -> str | None:
    """Return the prefixed national number of a professional or a structure, made of another number if need be."""
    spelled = spelling()
    numbers = [(spelled(one.get("system", "")), str(one.get("value", ""))) for one in resource.get("identifier", ())]
    for found, value in numbers:
        if found == system:
            return forms(system, value)[0][1]
    for code in _INSIDE[system]:
        for found, value in numbers:
            if found == KINDS[code].system and KINDS[code].matches(value):
                return add_prefix(code, value)
    return None


_INSIDE: Final = {IDNPS_SYSTEM: ("RPPS", "ADELI"), IDNST_SYSTEM: ("FINEG", "SIRET", "RPPSRG", "ADELIRG")}
"""The numbers that a national number is made of, in the guide's order of choice."""


def _practitioner(one: Resource, _version: Version, _related: Related) -> Resource:
    if ACCOUNTS.has(one):
        return one
    number = national_number(one, IDNPS_SYSTEM)
    told = _started(one, profiles.PRACTITIONER)
    if number is not None:
        told["identifier"] = [idnps(number, IDENTIFIER_TYPES_OLD)]
    told |= _kept(one, "active", "name", "telecom")
    if diplomas := [row for row in one.get("qualification", ()) if _is_diploma(row)]:
        told["qualification"] = diplomas
    return told


def _is_diploma(qualification: Json) -> bool:
    systems = [str(coding.get("system", "")) for coding in qualification.get("code", {}).get("coding", ())]
    return bool(systems) and all(any(f"/{name}-" in system for name in _DIPLOMAS.split()) for system in systems)


def _role(one: Resource, _version: Version, related: Related) -> Resource:
    told = _started(one, profiles.PRACTITIONER_ROLE)
    places = [dict(inner) for inner in one.get("contained", ()) if inner.get("resourceType") == "Location"]
    references: list[Json] = []
    for place in one.get("location", ()):
        text = place.get("reference", "")
        found = related.get(text)
        if text.startswith("#"):
            references.append({"reference": text})
        elif found is not None:
            places.append({**found, "id": f"place-{len(places) + 1}"})
            references.append({"reference": f"#place-{len(places)}"})
    if places:
        told["contained"] = [_place(place) for place in places]
    told |= _kept(one, "active", "period", "practitioner")
    if (number := _structure(one.get("organization", {}), related)) is not None:
        told["organization"] = {"identifier": idnst(number, IDENTIFIER_TYPES_OLD)}
    told |= _kept(one, "code", "specialty")
    if references:
        told["location"] = references[:1]
    return told | _kept(one, "telecom")


def _structure(reference: Json, related: Related) -> str | None:
    """Return the national number of a role's structure: of the reference itself, or of what it leads to."""
    number = (
        national_number({"identifier": [reference["identifier"]]}, IDNST_SYSTEM) if "identifier" in reference else None
    )
    found = related.get(reference.get("reference", ""))
    return number if number is not None or found is None else national_number(found, IDNST_SYSTEM)


def _place(one: Json) -> Json:
    """Return a contained place of consultation. Contained resources have neither version nor narrative."""
    told = {"resourceType": "Location", "id": one["id"], "meta": {"profile": [profiles.LOCATION]}}
    return told | _kept(one, "identifier", "name", "telecom", "address", "position")


def _schedule(one: Resource, _version: Version, _related: Related) -> Resource:
    actors = [actor.get("reference", "") for actor in one.get("actor", ())]
    is_place = any("Location/" in text for text in actors)
    told = _started(one, profiles.SOS_SCHEDULE if is_place else profiles.SCHEDULE)
    return told | _kept(one, "active", "serviceCategory", "specialty", "actor", "planningHorizon")


def _service(one: Resource, _version: Version, _related: Related) -> Resource:
    return _started(one, profiles.CPTS_SERVICE) | _kept(one, "active", "providedBy", "name")


def _organization(one: Resource, version: Version, _related: Related) -> Resource:
    number = national_number(one, IDNST_SYSTEM)
    is_cpts = number is None or not number.startswith("3")
    told = _started(one, profiles.CPTS_ORGANIZATION if is_cpts else profiles.SOS_ORGANIZATION)
    if number is not None:
        types = IDENTIFIER_TYPES if is_cpts and version is Version.V1_2 else PLACE_IDENTIFIER_TYPES_OLD
        told["identifier"] = [idnst(number, types)]
    return told | _kept(one, "active", "name", "telecom", "address")


def _location(one: Resource, _version: Version, _related: Related) -> Resource:
    told = _started(one, profiles.SOS_LOCATION)
    kept = _kept(one, "status", "name", "telecom", "address", "position", "managingOrganization", "hoursOfOperation")
    if identifiers := one.get("identifier"):
        types = concept(PLACE_IDENTIFIER_TYPES_OLD, "INTRN")
        told["identifier"] = [{**identifier, "type": types} for identifier in identifiers[:1]]
    return told | kept


_RENDERERS: Final[Mapping[str, Callable[[Resource, Version, Related], Resource]]] = {
    "Practitioner": _practitioner,
    "PractitionerRole": _role,
    "Schedule": _schedule,
    "HealthcareService": _service,
    "Organization": _organization,
    "Location": _location,
}


def _started(one: Resource, profile: str) -> Json:
    """Return the beginning of a resource: its type, id, and a meta with the sole profile."""
    meta = {
        name: value for name, value in one.get("meta", {}).items() if name in {"versionId", "lastUpdated", "security"}
    }
    return {"resourceType": one["resourceType"], "id": one["id"], "meta": {**meta, "profile": [profile]}}


def _kept(one: Resource, *names: str) -> Json:
    """Return elements as they are stored, with what primitive extensions they have; none that is missing."""
    both = (key for name in names for key in (name, f"_{name}"))
    return {key: one[key] for key in both if key in one}
