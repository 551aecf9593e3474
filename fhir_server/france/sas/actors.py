"""What may be asked on a SAS base path: the interactions of the actors that the guide's CapabilityStatements give them.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/artifacts.html (CapabilityStatements)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server import __released__, __version__
from fhir_server.france.sas.base import Actor, SasBase
from fhir_server.model.formats import Resource
from fhir_server.model.interaction import Interaction

_STATEMENTS: Final = "https://interop.esante.gouv.fr/ig/fhir/sas/CapabilityStatement"
_R4: Final = "http://hl7.org/fhir/SearchParameter"
_SAS: Final = "https://interop.esante.gouv.fr/ig/fhir/sas/SearchParameter"

_READING: Final = (Interaction.READ, Interaction.SEARCH_TYPE)
_WRITING: Final = (Interaction.CREATE, Interaction.UPDATE)


@dataclass(frozen=True, slots=True)
class Part:
    """What one actor does with one type. ``parameters``: (code, type, canonical)."""

    type: str
    interactions: tuple[Interaction, ...]
    parameters: tuple[tuple[str, str, str], ...] = ()
    includes: tuple[str, ...] = ()
    revincludes: tuple[str, ...] = ()


_START: Final = ("start", "date", f"{_SAS}/slot-sp-start")
_ACTOR: Final = ("actor", "reference", f"{_R4}/Schedule-actor")
_AGENDA: Final = (
    Part("Slot", _READING, (_START,), ("Slot:schedule", "Schedule:actor")),
    Part("Schedule", _READING, (_ACTOR,)),
    Part("Practitioner", _READING, (("identifier", "token", f"{_R4}/Practitioner-identifier"),)),
)
_VISIBILITY: Final = Part("Slot", _READING, (), ("Slot:service-type-reference", "HealthcareService:organization"))

PARTS: Final[Mapping[Actor, tuple[Part, ...]]] = {
    Actor.PSINDIV: _AGENDA,
    Actor.CPTS: (*_AGENDA, _VISIBILITY),
    Actor.SOS: (
        Part("Schedule", _READING, (_ACTOR,), ("Schedule:actor:Location", "Location:organization"), ("Slot:schedule",)),
        Part("Slot", _READING, (_START,)),
        Part("Location", _READING, (("organization", "reference", f"{_R4}/Location-organization"),)),
        Part("Organization", _READING, (("identifier", "token", f"{_R4}/Organization-identifier"),)),
    ),
    Actor.STRUCTURE: (Part("Practitioner", _WRITING, (("identifier", "token", f"{_R4}/Practitioner-identifier"),)),),
    Actor.RDV: (Part("Appointment", _WRITING, (("identifier", "token", f"{_R4}/Appointment-identifier"),)),),
}

_NAMES: Final[Mapping[Actor, tuple[str, ...]]] = {
    Actor.PSINDIV: ("SAS-GestionnaireAgenda-PsIndiv",),
    Actor.CPTS: ("SAS-GestionnaireAgenda-CPTS",),
    Actor.SOS: ("SAS-GestionnaireAgenda-SOS",),
    Actor.STRUCTURE: ("SAS-GestionnaireStructure",),
    Actor.RDV: ("SAS-GestionnaireAgenda-RDVpsindiv", "SAS-GestionnaireAgenda-RDVSOS"),
}


def is_served(base: SasBase, interaction: Interaction, type_: str | None) -> bool:
    """Tell whether one of the base's actors does this."""
    if interaction is Interaction.CAPABILITIES:
        return True
    return any(part.type == type_ and interaction in part.interactions for part in _parts(base))


def statement(base: SasBase, url: str) -> Resource:
    """Return the CapabilityStatement of one base path, which clients see at ``url``."""
    by_type: dict[str, list[Part]] = {}
    for part in _parts(base):
        by_type.setdefault(part.type, []).append(part)
    return {
        "resourceType": "CapabilityStatement",
        "id": "sas",
        "url": f"{url}/metadata",
        "version": __version__,
        "name": "FhirServerCptsSas",
        "title": f"SAS base path, guide {base.version}",
        "status": "active",
        "date": __released__,
        "kind": "instance",
        "instantiates": [f"{_STATEMENTS}/{name}" for actor in sorted(base.actors) for name in _NAMES[actor]],
        "software": {"name": "fhir-server-cpts", "version": __version__},
        "implementation": {"description": "What the SAS platform asks of an editor's server", "url": url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "resource": [_resource(type_, by_type[type_]) for type_ in sorted(by_type)]}],
    }


def _parts(base: SasBase) -> Iterable[Part]:
    return (part for actor in Actor if actor in base.actors for part in PARTS[actor])


def _resource(type_: str, parts: list[Part]) -> dict[str, Any]:
    interactions = dict.fromkeys(one for part in parts for one in part.interactions)
    told: dict[str, Any] = {"type": type_, "interaction": [{"code": one.value} for one in interactions]}
    if Interaction.UPDATE in interactions:
        told |= {"updateCreate": True, "conditionalUpdate": True}
    for name in ("includes", "revincludes"):
        if values := list(dict.fromkeys(value for part in parts for value in getattr(part, name))):
            told["searchInclude" if name == "includes" else "searchRevInclude"] = values
    parameters = dict.fromkeys(parameter for part in parts for parameter in part.parameters)
    told["searchParam"] = [
        {"name": code, "definition": definition, "type": kind} for code, kind, definition in parameters
    ]
    return told
