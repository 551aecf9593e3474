"""What the store has of one CPTS that was imported from a description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fhir_server.france.importing.source import Owner
from fhir_server.france.importing.tagged import is_active, managed
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.exchange import Request
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.formats import parse
from fhir_server.outcome import Gone, NotFound
from fhir_server.service import Service


class Described:
    """What the store has of one CPTS, by type and id."""

    def __init__(self, key: str, resources: Mapping[str, Mapping[str, Json]]) -> None:
        self.key, self._resources = key, resources

    def all(self, type_: str) -> list[Json]:
        """Return the resources of a type, by id."""
        return [resource for _, resource in sorted(self._resources.get(type_, {}).items())]

    def at(self, reference: Json) -> Json:
        """Return what a reference leads to; nothing known of it is an empty resource."""
        type_, _, id_ = reference["reference"].partition("/")
        return self._resources.get(type_, {}).get(id_, {"id": id_})

    def short(self, resource: Json, prefix: str = "") -> str:
        """Return the id inside of the description."""
        return str(resource["id"]).removeprefix(f"{self.key}-{prefix}")


async def read_described(service: Service, key: str) -> Described:
    """Return all of a CPTS that is in force. Raises ``CommandFailed`` if no description of it was imported."""
    found: dict[str, dict[str, Json]] = {}
    for type_ in ("HealthcareService", "OrganizationAffiliation", "CareTeam", "Group", "PractitionerRole", "Location"):
        pages = managed(service, type_, Owner("cpts", key))
        resources = [parse(stored.body) async for page in pages for stored in page if stored.body]
        found[type_] = {one["id"]: one for one in resources if is_active(one)}
    found["Organization"], found["Practitioner"] = {}, {}
    wanted = {f"Organization/cpts-{key}", *_references(found)}
    for path in sorted(wanted):
        resource = await _read(service, path)
        if resource is not None:
            found[resource["resourceType"]][resource["id"]] = resource
    if f"cpts-{key}" not in found["Organization"] or not found["HealthcareService"]:
        raise CommandFailed(f"Aucune description de la CPTS « {key} » n'a été importée dans ce serveur.")
    return Described(key, found)


def _references(found: Mapping[str, Mapping[str, Json]]) -> Iterator[str]:
    for resources in found.values():
        for resource in resources.values():
            for name in ("participatingOrganization", "organization", "practitioner"):
                reference = resource.get(name, {}).get("reference", "")
                if reference.startswith(("Organization/", "Practitioner/")):
                    yield reference


async def _read(service: Service, path: str) -> Json | None:
    try:
        answer = await service.perform(Request("GET", path))
    except (NotFound, Gone):
        return None
    found: Json = parse(b"".join(answer.body))
    return found
