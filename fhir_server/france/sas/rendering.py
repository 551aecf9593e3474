"""Resources as the SAS guide has them: the one profile of a flow, prefixed numbers, the guide's code systems.

What is stored stays as it is; a Slot is never rendered, for its bytes are checked when it is written (``slots``).
Source: https://interop.esante.gouv.fr/ig/fhir/sas/artifacts.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
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

_EXERCISES: Final = "TRE_R21 TRE_R96 TRE_R85 TRE_R22 TRE_R23 TRE_R24 TRE_R32 TRE_G05 TRE_R06"
_SPECIALTIES: Final = "TRE_R38"
"""Those of which one of a role's codes, and of its specialties, has to be."""


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


def actors(agenda: Resource) -> tuple[list[Json], bool]:
    """Return who an agenda is of, as the guide has it, and whether that is places: an agenda of a professional has no
    other actor, even if a place takes part in it."""
    found = [(actor, str(actor.get("reference", ""))) for actor in agenda.get("actor", ())]
    people = [actor for actor, text in found if "Practitioner/" in text or "PractitionerRole/" in text]
    is_place = not people and any("Location/" in text for _, text in found)
    return people or [actor for actor, _ in found], is_place


def national_number(resource: Resource, system: str) -> str | None:
    """Return the prefixed national number of a professional or a structure, made of another number if need be."""
    return next(_national_numbers(resource, system), None)


def _national_numbers(resource: Resource, system: str) -> Iterator[str]:
    """Yield all that it has, those that are stored as such first."""
    spelled = spelling()
    numbers = [(spelled(one.get("system", "")), str(one.get("value", ""))) for one in resource.get("identifier", ())]
    for found, value in numbers:
        if found == system:
            yield forms(system, value)[0][1]
    for code in _INSIDE[system]:
        for found, value in numbers:
            if found == KINDS[code].system and KINDS[code].matches(value):
                yield add_prefix(code, value)


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
    found = list(_known(qualification.get("code", {}), _DIPLOMAS))
    return bool(found) and all(found)


def _known(concept: Json, tables: str) -> Iterator[bool]:
    """Yield of each Coding whether it is of one of some national tables, however their URL ends."""
    systems = (str(coding.get("system", "")) for coding in concept.get("coding", ()))
    return (any(f"/{name}-" in system for name in tables.split()) for system in systems)


def _coded(one: Resource, name: str, tables: str) -> Json:
    """Return an element with those of its concepts that the guide's required value set has; nothing if none is left."""
    concepts = [concept for concept in one.get(name, ()) if any(_known(concept, tables))]
    return {name: concepts} if concepts else {}


def _role(one: Resource, _version: Version, related: Related) -> Resource:
    told = _started(one, profiles.PRACTITIONER_ROLE)
    place = next(_places(one, related), None)
    if place is not None:
        told["contained"] = [_place(place)]
    told |= _kept(one, "active", "period", "practitioner")
    if (number := _structure(one.get("organization", {}), related)) is not None:
        told["organization"] = {"identifier": idnst(number, IDENTIFIER_TYPES_OLD)}
    told |= _coded(one, "code", _EXERCISES) | _coded(one, "specialty", _SPECIALTIES)
    if place is not None:
        told["location"] = [{"reference": f"#{place['id']}"}]
    return told | _kept(one, "telecom")


def _places(one: Resource, related: Related) -> Iterator[Json]:
    """Yield a role's places of consultation, of which the guide has one: it wants a role for each."""
    contained = {f"#{inner.get('id')}": inner for inner in one.get("contained", ())}
    for place in one.get("location", ()):
        text = place.get("reference", "")
        if text in contained:
            yield contained[text]
        elif text in related:
            yield {**related[text], "id": "place"}


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
    return told | _place_number(one) | _kept(one, "name", "telecom", "address", "position")


def _place_number(one: Json) -> Json:
    """Return the first identifier of a place, typed as the guide has it."""
    whole = (row for row in one.get("identifier", ()) if "system" in row and "value" in row)
    types = concept(PLACE_IDENTIFIER_TYPES_OLD, "INTRN")
    found = [{**row, "type": types} for row in islice(whole, 1)]
    return {"identifier": found} if found else {}


def _schedule(one: Resource, _version: Version, _related: Related) -> Resource:
    whose, is_place = actors(one)
    told = _started(one, profiles.SOS_SCHEDULE if is_place else profiles.SCHEDULE)
    told |= _kept(one, "active", "serviceCategory") | _coded(one, "specialty", _SPECIALTIES)
    return told | ({"actor": whose} if whose else {}) | _kept(one, "planningHorizon")


def _service(one: Resource, _version: Version, _related: Related) -> Resource:
    return _started(one, profiles.CPTS_SERVICE) | _kept(one, "active", "providedBy", "name")


def _organization(one: Resource, version: Version, _related: Related) -> Resource:
    numbers = list(_national_numbers(one, IDNST_SYSTEM))
    is_cpts = _is_cpts(one, numbers)
    told = _started(one, profiles.CPTS_ORGANIZATION if is_cpts else profiles.SOS_ORGANIZATION)
    if numbers:
        wanted = _FINESS if is_cpts else _SIRET
        number = next((number for number in numbers if number.startswith(wanted)), numbers[0])
        types = IDENTIFIER_TYPES if is_cpts and version is Version.V1_2 else PLACE_IDENTIFIER_TYPES_OLD
        told["identifier"] = [idnst(number, types)]
    return told | _kept(one, "active", "name", "telecom", "address")


_FINESS, _SIRET = "1", "3"
"""The prefixes of the number that the guide knows a CPTS by, and an association of SOS Médecins."""


def _is_cpts(one: Resource, numbers: Sequence[str]) -> bool:
    """Tell a CPTS from SOS Médecins: by its category, else by its number. The profile that is stored counts for one
    that has both numbers only, since a page of the guide names the wrong one."""
    kinds = (coding for kind in one.get("type", ()) for coding in kind.get("coding", ()))
    if any(kind.get("code") == profiles.CPTS_CATEGORY and "/TRE_R66-" in kind.get("system", "") for kind in kinds):
        return True
    is_told = profiles.SOS_ORGANIZATION in one.get("meta", {}).get("profile", ())
    considered = numbers if is_told else numbers[:1]
    return not any(number.startswith(_SIRET) for number in considered)


def _location(one: Resource, _version: Version, _related: Related) -> Resource:
    told = _started(one, profiles.SOS_LOCATION)
    kept = _kept(one, "status", "name", "telecom", "address", "position", "managingOrganization", "hoursOfOperation")
    return told | _place_number(one) | kept


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
