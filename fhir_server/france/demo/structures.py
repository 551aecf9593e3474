"""The structures of the demonstration: organisations, who belongs to what, territories, missions as services.

Spec: https://hl7.org/fhir/R4/organization.html, https://hl7.org/fhir/R4/organizationaffiliation.html,
https://hl7.org/fhir/R4/healthcareservice.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.france.demo.facts import Cpts, common
from fhir_server.france.demo.resources import national, tagged
from fhir_server.france.identifiers import COMMUNE_SYSTEM, FINESS_SYSTEM, add_prefix
from fhir_server.france.sas import profiles
from fhir_server.france.vocabulary import (
    IDENTIFIER_TYPES,
    ORGANIZATION_PERIOD,
    ORGANIZATION_ROLE,
    PHYSICAL_TYPE,
    PLACE_IDENTIFIER_TYPES_OLD,
    TERRITORIAL_DIVISION,
    Json,
    concept,
    email,
    idnst,
    insee_code,
    own,
    phone,
    profile,
    reference,
    tre,
)


def shared_structures() -> Iterator[Json]:
    """The organisations that both CPTS know: authorities, insurers, the other CPTS of a network."""
    yield from map(_structure, common()["structures"])


def networks() -> Iterator[Json]:
    """Which CPTS cover the territory of a network; refers to organisations of every CPTS."""
    for network in common()["reseaux"]:
        for cpts in network["cpts"]:
            yield _affiliation(network["structure"], cpts, ["territoire"], None)


def structures(cpts: Cpts) -> Iterator[Json]:
    """One CPTS, its territory, its missions, its member structures and signatories."""
    yield from map(_structure, cpts.facts["structures"])
    yield _cpts(cpts)
    yield from _territory(cpts)
    yield from _services(cpts)
    for row in cpts.facts["adhesions"]:
        yield _affiliation(cpts.id, row["structure"], row["liens"], row.get("depuis"))


def population(cpts: Cpts) -> Json:
    """The inhabitants of the territory, as a descriptive group."""
    return tagged(
        "Group",
        f"{cpts.key}-population",
        type="person",
        actual=False,
        active=True,
        name=f"Population de la {cpts.facts['nom']}",
        quantity=cpts.facts["territoire"]["habitants"],
        managingEntity=reference("Organization", cpts.id),
    )


def _structure(row: dict[str, Any]) -> Json:
    return tagged(
        "Organization",
        row["id"],
        identifier=_finess_identifiers(row.get("finess")),
        active=True,
        type=[national(pair) for pair in row["types"]],
        name=row["nom"],
        alias=row.get("alias"),
    )


def _finess_identifiers(finess: str | None) -> list[Json]:
    if finess is None:
        return []
    site = {"type": concept(IDENTIFIER_TYPES, "FINEG"), "system": FINESS_SYSTEM, "value": finess}
    return [{"use": "official", **idnst(add_prefix("FINEG", finess), IDENTIFIER_TYPES)}, site]


def _cpts(cpts: Cpts) -> Json:
    """The organisation in the SAS form: one identifier, whose type both versions of that guide accept."""
    return tagged(
        "Organization",
        cpts.id,
        profiles.CPTS_ORGANIZATION,
        extension=[
            {"url": ORGANIZATION_PERIOD, "valuePeriod": {"start": cpts.facts["signature"]}},
            *(_division(commune["insee"]) for commune in cpts.communes),
        ],
        identifier=[idnst(add_prefix("FINEG", cpts.facts["finess"]), IDENTIFIER_TYPES, PLACE_IDENTIFIER_TYPES_OLD)],
        active=True,
        type=[
            concept(tre("TRE_R66-CategorieEtablissement"), "604"),
            concept(tre("TRE_R02-SecteurActivite"), "SA63"),
        ],
        name=cpts.facts["nom"],
        alias=cpts.facts["alias"],
        telecom=[phone(cpts.facts["telephone"]), email(f"contact@{cpts.key}.example.org")],
    )


def _division(insee: str) -> Json:
    kind = concept(tre("TRE_R201-TypeDivisionTerritoriale"), "3")
    commune = concept(COMMUNE_SYSTEM, insee)
    return {
        "url": TERRITORIAL_DIVISION,
        "extension": [
            {"url": "typeTerritorialDivision", "valueCodeableConcept": kind},
            {"url": "codeTerritorialDivision", "valueCodeableConcept": commune},
        ],
    }


def _territory(cpts: Cpts) -> Iterator[Json]:
    """The territory, then its communes: areas that the services of the CPTS cover."""
    territory, whole = cpts.facts["territoire"], f"{cpts.key}-territoire"
    area = concept(PHYSICAL_TYPE, "area")
    yield tagged(
        "Location",
        whole,
        status="active",
        name=territory["nom"],
        description=territory["description"],
        mode="instance",
        physicalType=area,
    )
    for commune in cpts.communes:
        yield tagged(
            "Location",
            f"commune-{commune['insee']}",
            status="active",
            name=commune["nom"],
            mode="instance",
            address=address(commune),
            position=position(commune),
            physicalType=area,
            partOf=reference("Location", whole),
        )


def address(commune: Json, *lines: str) -> Json:
    """Return an address in a commune, with its INSEE code."""
    where: Json = {"city": commune["nom"], "postalCode": commune["code-postal"]}
    return {"extension": [insee_code(commune["insee"])], **({"line": list(lines)} if lines else {}), **where}


def position(commune: Json) -> Json:
    """Return where a commune is: about its centre, in WGS84."""
    latitude, longitude = commune["position"]
    return {"longitude": longitude, "latitude": latitude}


def _services(cpts: Cpts) -> Iterator[Json]:
    """One service per mission; the slots of the SAS refer to that of unscheduled care, which has the SAS profile."""
    covered = [f"{cpts.key}-territoire", *(f"commune-{commune['insee']}" for commune in cpts.communes)]
    for mission in cpts.facts["missions"]:
        yield tagged(
            "HealthcareService",
            cpts.service_id(mission["code"]),
            profiles.CPTS_SERVICE if mission["code"] == "snp" else None,
            active=True,
            providedBy=reference("Organization", cpts.id),
            category=[concept(own("cpts-mission"), mission["code"])],
            name=mission["nom"],
            comment=mission.get("precision"),
            coverageArea=[reference("Location", id_) for id_ in covered],
        )


def _affiliation(organization: str, member: str, links: list[str], since: str | None) -> Json:
    """What links a structure to a CPTS or a network: HL7's code where there is one, else ours."""
    standard = {"member", "payer"}
    return tagged(
        "OrganizationAffiliation",
        f"{organization.removeprefix('cpts-')}-{member}",
        profile("cpts-affiliation"),
        active=True,
        period={"start": since} if since else None,
        organization=reference("Organization", organization),
        participatingOrganization=reference("Organization", member),
        code=[concept(ORGANIZATION_ROLE if link in standard else own("cpts-affiliation"), link) for link in links],
    )
