"""A CPTS description as resources: each key of the YAML file has its place in FHIR, so ``describing`` can read it back.

The keys are explained in ``docs/imports.md`` and completed by ``mappings/cpts/cpts.schema.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fhir_server.france.identifiers import COMMUNE_SYSTEM, add_prefix
from fhir_server.france.importing import elements
from fhir_server.france.importing.vocabulary import words
from fhir_server.france.vocabulary import (
    ORGANIZATION_PERIOD,
    TERRITORIAL_DIVISION,
    Json,
    concept,
    insee_code,
    reference,
    tre,
)

Data = Mapping[str, Any]

MISSION, ACTION, PATHWAY, SERVICE = "mission", "action", "parcours", "service"
ANOTHER_CPTS: Final = ("604", "SA63")
"""Category and sector of a CPTS."""


def resources(data: Data) -> Iterator[Json]:
    """Yield all resources of a description, each after those that it refers to."""
    yield _organization(data)
    yield from map(_structure, data.get("structures", ()))
    for network in data.get("reseaux", ()):
        yield _network(network)
    yield from _territory(data)
    yield from _services(data)
    for member in data.get("membres", ()):
        yield from _member(data, member)
    yield from _affiliations(data)
    yield from _teams(data)
    yield from _groups(data)
    yield from _agendas(data)


def others(data: Data) -> Iterator[Json]:
    """Yield the other CPTS of a network, of which the description knows no more than the name."""
    for network in data.get("reseaux", ()):
        for other in network.get("cpts", ()):
            types = elements.structure_types(*ANOTHER_CPTS)
            yield elements.made("Organization", other["id"], active=True, type=types, name=other["nom"])


def organization_id(data: Data) -> str:
    """The id of the CPTS."""
    return f"cpts-{data['cle']}"


# --- structures ------------------------------------------------------------------------------------------------------


def _organization(data: Data) -> Json:
    return elements.made(
        "Organization",
        organization_id(data),
        extension=[*_agreement(data), *_territory_extension(data), *_population(data), *_context(data)],
        identifier=[
            *elements.structure_identifiers(finess=data.get("finess"), siret=data.get("siret")),
            {"system": elements.DESCRIBED, "value": data["cle"]},
        ],
        active=True,
        type=elements.structure_types(*ANOTHER_CPTS),
        name=data["nom"],
        alias=data.get("autres-noms"),
        telecom=[
            *elements.phone(data.get("telephone")),
            *elements.email(data.get("courriel")),
            *elements.secure_email(data.get("messagerie-securisee")),
        ],
    )


def _agreement(data: Data) -> Iterator[Json]:
    """When the agreement was signed: the CPTS exists since then."""
    if "signature" in data:
        yield from (
            {"url": url, "valuePeriod": {"start": data["signature"]}} for url in (ORGANIZATION_PERIOD, elements.ACI)
        )


def _population(data: Data) -> Iterator[Json]:
    if "population" in data:
        yield {"url": elements.POPULATION, "valuePositiveInt": data["population"]["habitants"]}


def _context(data: Data) -> Iterator[Json]:
    if "contexte" in data:
        yield {"url": elements.DESCRIPTION, "valueMarkdown": "\n".join(data["contexte"])}


def _territory_extension(data: Data) -> Iterator[Json]:
    """The territory as the CPTS says it, then each commune it names, as the ROR guide writes territorial divisions."""
    territory = data.get("territoire")
    if territory is None:
        return
    parts: list[Json] = [{"url": "label", "valueString": territory["libelle"]}]
    if "nombre-communes" in territory:
        parts.append({"url": "communes", "valueUnsignedInt": territory["nombre-communes"]})
    yield {"url": elements.TERRITORY, "extension": parts}
    for commune in territory.get("communes", ()):
        kind = concept(tre("TRE_R201-TypeDivisionTerritoriale"), "3")
        code = concept(COMMUNE_SYSTEM, commune["insee"])
        yield {
            "url": TERRITORIAL_DIVISION,
            "extension": [
                {"url": "typeTerritorialDivision", "valueCodeableConcept": kind},
                {"url": "codeTerritorialDivision", "valueCodeableConcept": code},
            ],
        }


def _structure(row: Data) -> Json:
    return elements.made(
        "Organization",
        row["id"],
        identifier=elements.structure_identifiers(finess=row.get("finess"), siret=row.get("siret")),
        active=True,
        type=elements.structure_types(row.get("categorie"), row.get("secteur")),
        name=row["nom"],
        alias=row.get("autres-noms"),
    )


def _network(row: Data) -> Json:
    return elements.made(
        "Organization",
        row["id"],
        active=True,
        type=elements.structure_types(None, row.get("secteur")),
        name=row["nom"],
        alias=row.get("autres-noms"),
    )


def _affiliations(data: Data) -> Iterator[Json]:
    for row in data.get("structures", ()):
        when = elements.period(row.get("depuis"), row.get("jusqu-a"))
        yield _affiliation(f"{data['cle']}-{row['id']}", organization_id(data), row["id"], row["liens"], when)
    for network in data.get("reseaux", ()):
        for member in (organization_id(data), *(other["id"] for other in network.get("cpts", ()))):
            yield _affiliation(f"{network['id']}-{member}", network["id"], member, ["territoire"], None)


def _affiliation(id_: str, organization: str, member: str, links: Sequence[str], when: Json | None) -> Json:
    return elements.made(
        "OrganizationAffiliation",
        id_,
        active=True,
        period=when,
        organization=reference("Organization", organization),
        participatingOrganization=reference("Organization", member),
        code=[words("liens")[link].concept for link in links],
    )


# --- territory and services ------------------------------------------------------------------------------------------


def _territory(data: Data) -> Iterator[Json]:
    """The territory and its communes as areas, which the missions cover."""
    territory = data.get("territoire")
    if territory is None:
        return
    common: Json = {"status": "active", "mode": "instance", "physicalType": elements.AREA}
    yield elements.made("Location", f"{data['cle']}-territoire", name=territory["libelle"], **common)
    for commune in territory.get("communes", ()):
        address = {"extension": [insee_code(commune["insee"])], "city": commune["nom"]}
        if "code-postal" in commune:
            address["postalCode"] = commune["code-postal"]
        yield elements.made("Location", f"commune-{commune['insee']}", name=commune["nom"], address=address, **common)


def _services(data: Data) -> Iterator[Json]:
    key, covered = data["cle"], _covered(data)
    for mission in data.get("missions", ()):
        code = mission["code"]
        yield _service(data, f"{key}-{code}", MISSION, code, mission, coverageArea=covered)
        for action in mission.get("actions", ()):
            yield _service(data, f"{key}-action-{action['id']}", ACTION, code, action)
    for pathway in data.get("parcours", ()):
        program = [words("parcours")[pathway["code"]].concept]
        yield _service(data, f"{key}-parcours-{pathway['code']}", PATHWAY, "parcours", pathway, program=program)
    for service in data.get("services", ()):
        open_ = [_opening(row) for row in service.get("ouvertures", ())]
        yield _service(data, service_id(data, service), SERVICE, service["mission"], service, availableTime=open_)


def service_id(data: Data, service: Data) -> str:
    """The id of a service, and of its agenda."""
    return f"{data['cle']}-service-{service['id']}"


def _covered(data: Data) -> list[Json]:
    if "territoire" not in data:
        return []
    ids = [f"commune-{commune['insee']}" for commune in data["territoire"].get("communes", ())]
    return [reference("Location", id_) for id_ in (f"{data['cle']}-territoire", *ids)]


def _service(data: Data, id_: str, kind: str, mission: str, row: Data, **more: Any) -> Json:
    return elements.made(
        "HealthcareService",
        id_,
        active=True,
        providedBy=reference("Organization", organization_id(data)),
        category=[words("missions")[mission].concept],
        type=[words("services")[kind].concept],
        name=row["nom"],
        comment=row.get("precision"),
        extraDetails=row.get("constat"),
        telecom=elements.phone(row.get("telephone")),
        eligibility=[{"code": words("publics")[name].concept} for name in row.get("publics", ())],
        **more,
    )


def _opening(row: Data) -> Json:
    return {
        "daysOfWeek": [words("jours")[day].code for day in row["jours"]],
        "availableStartTime": f"{row['de']}:00",
        "availableEndTime": f"{row['a']}:00",
    }


def _agendas(data: Data) -> Iterator[Json]:
    """The agenda of each service that opens: slots are put into it."""
    for service in data.get("services", ()):
        if "ouvertures" in service:
            id_ = service_id(data, service)
            actor = [reference("HealthcareService", id_)]
            yield elements.made("Schedule", id_, active=True, actor=actor, comment=service["nom"])


# --- people and teams ------------------------------------------------------------------------------------------------


def _member(data: Data, row: Data) -> Iterator[Json]:
    word = words("professions")[row["profession"]] if "profession" in row else None
    national = add_prefix("RPPS", row["rpps"]) if "rpps" in row else None
    person = f"{data['cle']}-{row['id']}"
    if national:
        person = elements.practitioner_id(national, word.code if word else None)
    yield elements.member_practitioner(person, national, row.get("rpps"), (row["nom"], row["prenom"]), word)
    more = {
        "period": elements.period(row.get("depuis"), row.get("jusqu-a")),
        "telecom": [*elements.phone(row.get("telephone")), *elements.email(row.get("courriel"))],
    }
    roles = row.get("roles", ["adherent"])
    id_, cpts = f"{data['cle']}-{row['id']}", organization_id(data)
    yield elements.membership(id_, person, cpts, roles, word, more, row.get("fonction"))


def _teams(data: Data) -> Iterator[Json]:
    for row in data.get("parcours", ()):
        if "membres" in row:
            yield _team(data, f"parcours-{row['code']}", "parcours", row, row["code"])
    for row in data.get("colleges", ()):
        yield _team(data, row["id"], "college", row)
    for row in data.get("equipes", ()):
        yield _team(data, row["id"], row["categorie"], row)


def _team(data: Data, short: str, kind: str, row: Data, pathway: str | None = None) -> Json:
    is_told_elsewhere = pathway is not None  # what a pathway is stands in its service
    return elements.made(
        "CareTeam",
        f"{data['cle']}-{short}",
        identifier=[{"system": elements.TEAMS, "value": f"{data['cle']}/{short}"}],
        status="active",
        category=elements.team_categories(kind, pathway),
        name=row["nom"],
        period=elements.period(data.get("signature"), None),
        participant=[_participant(data, member) for member in row.get("membres", ())],
        managingOrganization=[reference("Organization", organization_id(data))],
        note=[{"text": row["precision"]}] if "precision" in row and not is_told_elsewhere else None,
    )


def _participant(data: Data, row: Data) -> Json:
    if "personne" in row:
        member = reference("PractitionerRole", f"{data['cle']}-{row['personne']}")
    else:
        member = reference("Organization", row["structure"])
    when = elements.period(row.get("depuis"), row.get("jusqu-a"))
    return {"role": [words("roles")[row["role"]].concept], "member": member, **({"period": when} if when else {})}


def _groups(data: Data) -> Iterator[Json]:
    """How many inhabitants, how many professionals and which: groups that are counted, not listed."""
    common: Json = {
        "active": True,
        "actual": False,
        "managingEntity": reference("Organization", organization_id(data)),
    }
    if population := data.get("population"):
        yield elements.made(
            "Group",
            f"{data['cle']}-population",
            type="person",
            name=population.get("libelle"),
            quantity=population["habitants"],
            **common,
        )
    if members := data.get("adherents"):
        yield elements.made(
            "Group",
            f"{data['cle']}-adherents",
            type="practitioner",
            name=members.get("libelle"),
            quantity=members["nombre"],
            characteristic=[_characteristic(name) for name in members.get("professions", ())],
            **common,
        )


def _characteristic(name: str) -> Json:
    word = words("professions")[name]
    codings = [*word.concept["coding"], *(coding for concept in word.specialties for coding in concept["coding"])]
    return {"code": elements.PROFESSION, "valueCodeableConcept": {"coding": codings}, "exclude": False}
