"""A CPTS in the store as the YAML description that would make it: ``description`` read backwards.

Written in the canonical form: keys in the order of the schema, lists of things with an id in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.france.identifiers import KINDS
from fhir_server.france.importing import elements
from fhir_server.france.importing.described import Described, read_described
from fhir_server.france.importing.description import ACTION, MISSION, PATHWAY, SERVICE
from fhir_server.france.importing.vocabulary import words
from fhir_server.france.importing.yaml_text import written
from fhir_server.france.vocabulary import TERRITORIAL_DIVISION, Json, reference
from fhir_server.service import Service


async def describe(service: Service, key: str) -> str:
    """Return the description of a CPTS that was imported from one. Raises ``CommandFailed`` if there is none."""
    return written(described(await read_described(service, key.removeprefix("cpts-"))))


def described(cpts: Described) -> Json:
    """Return the description as JSON."""
    organization = cpts.at(reference("Organization", f"cpts-{cpts.key}"))
    numbers = _numbers(organization)
    extensions = organization.get("extension", ())
    return _told(
        {
            "cle": cpts.key,
            "nom": organization["name"],
            "autres-noms": organization.get("alias"),
            "finess": numbers.get("FINEG"),
            "siret": numbers.get("SIRET"),
            **_telecom(organization),
            "signature": next((one["valuePeriod"]["start"] for one in _of(extensions, elements.ACI)), None),
            "contexte": [
                line for one in _of(extensions, elements.DESCRIPTION) for line in one["valueMarkdown"].split("\n")
            ],
            "territoire": _territory(cpts, extensions),
            "population": _group(cpts, "population", "habitants"),
            "adherents": _group(cpts, "adherents", "nombre"),
            "reseaux": list(_networks(cpts)),
            "structures": list(_structures(cpts)),
            "missions": list(_missions(cpts)),
            "parcours": list(_pathways(cpts)),
            "colleges": [_told({"id": cpts.short(team), **_team(cpts, team)}) for team in _teams(cpts, "college")],
            "equipes": list(_other_teams(cpts)),
            "membres": [_member(cpts, role) for role in cpts.all("PractitionerRole")],
            "services": [_service(cpts, one, SERVICE) for one in _kind(cpts, SERVICE)],
        }
    )


# --- structures ------------------------------------------------------------------------------------------------------


def _territory(cpts: Described, extensions: Any) -> Json | None:
    for one in _of(extensions, elements.TERRITORY):
        parts = {part["url"]: part for part in one["extension"]}
        return _told(
            {
                "libelle": parts["label"]["valueString"],
                "nombre-communes": parts.get("communes", {}).get("valueUnsignedInt"),
                "communes": sorted(_communes(cpts, extensions), key=lambda commune: str(commune["insee"])),
            }
        )
    return None


def _communes(cpts: Described, extensions: Any) -> Iterator[Json]:
    for one in _of(extensions, TERRITORIAL_DIVISION):
        codes = {part["url"]: part["valueCodeableConcept"]["coding"][0]["code"] for part in one["extension"]}
        insee = codes["codeTerritorialDivision"]
        place = cpts.at(reference("Location", f"commune-{insee}"))
        yield _told(
            {"insee": insee, "nom": place.get("name"), "code-postal": place.get("address", {}).get("postalCode")}
        )


def _networks(cpts: Described) -> Iterator[Json]:
    rows = [row for row in cpts.all("OrganizationAffiliation") if _links(row) == ["territoire"]]
    by_network: dict[str, list[Json]] = {}
    for row in rows:
        if cpts.at(row["participatingOrganization"])["id"] != f"cpts-{cpts.key}":
            by_network.setdefault(row["organization"]["reference"], []).append(row)
        else:
            by_network.setdefault(row["organization"]["reference"], [])
    for of in sorted(by_network):
        network = cpts.at({"reference": of})
        others = [cpts.at(row["participatingOrganization"]) for row in by_network[of]]
        yield _told(
            {
                "id": network["id"],
                "nom": network["name"],
                "autres-noms": network.get("alias"),
                "secteur": _type(network, elements.SECTORS),
                "cpts": [
                    {"id": one["id"], "nom": one["name"]} for one in sorted(others, key=lambda one: str(one["id"]))
                ],
            }
        )


def _structures(cpts: Described) -> Iterator[Json]:
    for row in cpts.all("OrganizationAffiliation"):
        if row["organization"]["reference"] != f"Organization/cpts-{cpts.key}":
            continue
        structure = cpts.at(row["participatingOrganization"])
        numbers = _numbers(structure)
        yield _told(
            {
                "id": cpts.short(row),
                "nom": structure["name"],
                "autres-noms": structure.get("alias"),
                "categorie": _type(structure, elements.CATEGORIES),
                "secteur": _type(structure, elements.SECTORS),
                "finess": numbers.get("FINEG"),
                "siret": numbers.get("SIRET"),
                "liens": _links(row),
                **_period(row),
            }
        )


def _links(row: Json) -> list[str]:
    return words("liens").of(row.get("code", []))


# --- services --------------------------------------------------------------------------------------------------------


def _kind(cpts: Described, kind: str) -> Iterator[Json]:
    return (one for one in cpts.all("HealthcareService") if words("services").of(one.get("type", [])) == [kind])


def _missions(cpts: Described) -> Iterator[Json]:
    found = {words("missions").of(one["category"])[0]: one for one in _kind(cpts, MISSION)}
    actions = [(words("missions").of(one["category"])[0], one) for one in _kind(cpts, ACTION)]
    for code in words("missions").all:
        if code in found:
            row = _service(cpts, found[code], MISSION)
            row["actions"] = [_service(cpts, one, ACTION) for mission, one in actions if mission == code]
            yield _told({"code": code, **row})


def _pathways(cpts: Described) -> Iterator[Json]:
    found = {words("parcours").of(one["program"])[0]: one for one in _kind(cpts, PATHWAY)}
    for code in words("parcours").all:
        if code in found:
            team = cpts.at(reference("CareTeam", f"{cpts.key}-parcours-{code}"))
            yield _told({"code": code, **_service(cpts, found[code], PATHWAY), "membres": _participants(cpts, team)})


def _service(cpts: Described, one: Json, kind: str) -> Json:
    publics = [words("publics").of([row["code"]])[0] for row in one.get("eligibility", ())]
    id_ = {ACTION: "action-", SERVICE: "service-"}.get(kind)
    phones = _telecom(one)
    return _told(
        {
            "id": cpts.short(one, id_) if id_ else None,
            "nom": one["name"],
            "mission": words("missions").of(one["category"])[0] if kind == SERVICE else None,
            "precision": one.get("comment"),
            "constat": one.get("extraDetails"),
            "publics": publics,
            "telephone": phones.get("telephone"),
            "ouvertures": [_opening(row) for row in one.get("availableTime", ())],
        }
    )


def _opening(row: Json) -> Json:
    days = {word.code: name for name, word in words("jours").all.items()}
    return {
        "jours": [days[code] for code in row["daysOfWeek"]],
        "de": row["availableStartTime"][:5],
        "a": row["availableEndTime"][:5],
    }


# --- people and teams ------------------------------------------------------------------------------------------------


def _teams(cpts: Described, kind: str) -> Iterator[Json]:
    return (team for team in cpts.all("CareTeam") if kind in words("equipes").of(team["category"]))


def _other_teams(cpts: Described) -> Iterator[Json]:
    for team in cpts.all("CareTeam"):
        [kind] = words("equipes").of(team["category"])
        if kind not in {"college", "parcours"}:
            row = _team(cpts, team)
            yield _told({"id": cpts.short(team), "nom": row.pop("nom"), "categorie": kind, **row})


def _team(cpts: Described, team: Json) -> Json:
    notes = [note["text"] for note in team.get("note", ())]
    return _told({"nom": team["name"], "precision": "".join(notes), "membres": _participants(cpts, team)})


def _participants(cpts: Described, team: Json) -> list[Json]:
    found = []
    for row in team.get("participant", ()):
        type_, _, id_ = row["member"]["reference"].partition("/")
        who = {"personne": cpts.short({"id": id_})} if type_ == "PractitionerRole" else {"structure": _known(cpts, id_)}
        found.append(_told({**who, "role": words("roles").of(row["role"])[0], **_period(row)}))
    return found


def _known(cpts: Described, id_: str) -> str:
    """Return the id that the description gives to a structure, which the store may know by another."""
    for row in cpts.all("OrganizationAffiliation"):
        if row["participatingOrganization"]["reference"] == f"Organization/{id_}":
            return cpts.short(row)
    return id_


def _member(cpts: Described, role: Json) -> Json:
    person = cpts.at(role["practitioner"])
    [name] = person["name"]
    roles = words("roles").of(role["code"])
    return _told(
        {
            "id": cpts.short(role),
            "nom": name["family"],
            "prenom": name["given"][0],
            "rpps": _numbers(person).get("RPPS"),
            "profession": next(iter(words("professions").of(role["code"], role.get("specialty"))), None),
            "fonction": next(iter(words("fonctions").of(role["code"])), None),
            "roles": None if roles == ["adherent"] else roles,
            **_period(role),
            **_telecom(role),
        }
    )


def _group(cpts: Described, short: str, quantity: str) -> Json | None:
    group = cpts.at(reference("Group", f"{cpts.key}-{short}"))
    if "quantity" not in group:
        return None
    concepts = [row["valueCodeableConcept"] for row in group.get("characteristic", ())]
    names = [words("professions").of([concept], [concept])[0] for concept in concepts]
    return _told({quantity: group["quantity"], "libelle": group.get("name"), "professions": names})


# --- elements --------------------------------------------------------------------------------------------------------


def _told(data: Json) -> Json:
    """Return what says something; 0 does."""
    return {name: value for name, value in data.items() if value not in (None, [], {}, "")}


def _of(extensions: Any, url: str) -> Iterator[Json]:
    return (one for one in extensions if one["url"] == url)


def _type(structure: Json, system: str) -> str | None:
    codings = [coding for concept in structure.get("type", ()) for coding in concept.get("coding", ())]
    return next((coding["code"] for coding in codings if coding["system"] == system), None)


def _numbers(resource: Json) -> dict[str, str]:
    """Return the national numbers by the code of their kind."""
    found = {}
    for identifier in resource.get("identifier", ()):
        for coding in identifier.get("type", {}).get("coding", ()):
            if coding["code"] in KINDS:
                found[coding["code"]] = identifier["value"]
    return found


def _period(resource: Json) -> Json:
    period = resource.get("period", {})
    return {"depuis": period.get("start"), "jusqu-a": period.get("end")}


def _telecom(resource: Json) -> Json:
    found = {}
    for point in resource.get("telecom", ()):
        key = "telephone" if point["system"] == "phone" else "courriel"
        found["messagerie-securisee" if "extension" in point else key] = point["value"]
    return {key: found[key] for key in ("telephone", "courriel", "messagerie-securisee") if key in found}
