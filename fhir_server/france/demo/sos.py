"""The association of SOS Médecins of the demonstration: the structure, its places, an agenda for each place.

In the form of the SAS profiles, for the national platform reads them (flow SOS).

Spec: https://hl7.org/fhir/R4/organization.html, https://hl7.org/fhir/R4/location.html,
https://hl7.org/fhir/R4/schedule.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.france.demo.facts import sos, sos_place_id
from fhir_server.france.demo.resources import LOCATION_SYSTEM, national, tagged
from fhir_server.france.demo.structures import address, position
from fhir_server.france.identifiers import add_prefix
from fhir_server.france.sas import profiles
from fhir_server.france.vocabulary import PLACE_IDENTIFIER_TYPES_OLD, Json, concept, idnst, phone, reference


def association() -> Iterator[Json]:
    """The structure, then each place and its agenda."""
    yield _structure()
    for place in sos()["lieux"]:
        yield _place(place)
        yield _schedule(place)


def _structure() -> Json:
    facts = sos()
    return tagged(
        "Organization",
        facts["cle"],
        profiles.SOS_ORGANIZATION,
        identifier=[idnst(add_prefix("SIRET", facts["siret"]), PLACE_IDENTIFIER_TYPES_OLD)],
        active=True,
        type=[national(pair) for pair in facts["types"]],
        name=facts["nom"],
        telecom=[phone(facts["telephone"])],
    )


def _place(place: dict[str, Any]) -> Json:
    id_ = sos_place_id(place)
    kind = concept(PLACE_IDENTIFIER_TYPES_OLD, "INTRN")
    return tagged(
        "Location",
        id_,
        profiles.SOS_LOCATION,
        identifier=[{"type": kind, "system": LOCATION_SYSTEM, "value": id_}],
        status="active",
        name=place["nom"],
        address=address(place["commune"], place["voie"]),
        position=position(place["commune"]),
        managingOrganization=reference("Organization", sos()["cle"]),
    )


def _schedule(place: dict[str, Any]) -> Json:
    id_ = sos_place_id(place)
    actor = [reference("Location", id_)]
    return tagged("Schedule", id_, profiles.SOS_SCHEDULE, active=True, actor=actor)
