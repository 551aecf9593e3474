"""fhirclient (SMART on FHIR), which parses strictly: no empty array, no unknown element, no missing mandatory one."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import pytest

from tests.clients.serving import client_library

smart: Final[Any] = client_library("fhirclient.client")
server: Final[Any] = client_library("fhirclient.server")
MODELS: Final = "fhirclient.models"


def model(name: str) -> Any:
    """Return the class of a resource type."""
    return getattr(client_library(f"{MODELS}.{name.lower()}"), name)


@pytest.fixture
def fhir(base: str) -> Any:
    """A server as the client knows it: its CapabilityStatement was read and believed first."""
    client = smart.FHIRClient(settings={"app_id": "test", "api_base": base})
    assert client.server.capabilityStatement.fhirVersion == "4.0.1"
    return client.server


def created(fhir: Any, resource: dict[str, Any]) -> Any:
    """Create a resource; return it as the server gives it back."""
    type_ = model(resource["resourceType"])
    return type_(type_(resource).create(fhir))


def practitioner(fhir: Any, family: str) -> Any:
    name = [{"family": family, "given": ["Claire"]}]
    return created(fhir, {"resourceType": "Practitioner", "active": True, "name": name})


def test_capability_statement_is_parsed_whole(fhir: Any) -> None:
    (rest,) = fhir.capabilityStatement.rest
    slot = next(resource for resource in rest.resource if resource.type == "Slot")
    assert {"read", "search-type", "create"} <= {interaction.code for interaction in slot.interaction}
    assert {"schedule", "status", "start"} <= {parameter.name for parameter in slot.searchParam}


def test_create_read_update_and_delete(fhir: Any) -> None:
    person = practitioner(fhir, "EXEMPLE")
    assert person.meta.versionId == "1"
    read = model("Practitioner").read(person.id, fhir)
    assert read.as_json() == person.as_json()
    read.active = False
    changed = model("Practitioner")(read.update(fhir))
    assert (changed.active, changed.meta.versionId) == (False, "2")
    assert changed.delete(fhir) is None
    with pytest.raises(Exception, match="410"):
        model("Practitioner").read(person.id, fhir)


def test_what_is_not_there_is_its_own_exception(fhir: Any) -> None:
    with pytest.raises(server.FHIRNotFoundException):
        model("Practitioner").read("nobody", fhir)


def test_search_with_pages_includes_and_an_empty_result(fhir: Any) -> None:
    family = f"Pages{uuid4().hex}"
    person = practitioner(fhir, family)
    actor = [{"reference": f"Practitioner/{person.id}"}]
    schedule = created(fhir, {"resourceType": "Schedule", "actor": actor})
    for minute in range(5):
        created(
            fhir,
            {
                "resourceType": "Slot",
                "schedule": {"reference": f"Schedule/{schedule.id}"},
                "status": "free",
                "start": f"2030-01-15T09:0{minute}:00+01:00",
                "end": f"2030-01-15T09:0{minute + 1}:00+01:00",
            },
        )
    slots = model("Slot").where({"schedule.actor:Practitioner.family": family, "_count": "2", "_sort": "start"})
    pages = list(slots.include("schedule").perform_iter(fhir))
    kinds = [[entry.resource.resource_type for entry in page.entry] for page in pages]
    assert kinds == [["Slot", "Slot", "Schedule"], ["Slot", "Slot", "Schedule"], ["Slot", "Schedule"]]
    assert [page.total for page in pages] == [5, 5, 5]
    nothing = model("Slot").where({"schedule": "nowhere"})
    (page,) = nothing.perform_iter(fhir)
    assert (page.total, page.entry) == (0, None)


@pytest.mark.parametrize("path", ["_history?_count=3", "_history?_after=0&_count=3", "Practitioner/{id}/_history"])
def test_history_is_parsed_whole(fhir: Any, path: str) -> None:
    person = practitioner(fhir, "HISTOIRE")
    person.delete(fhir)
    bundle = model("Bundle").read_from(path.format(id=person.id), fhir)
    assert bundle.type == "history"
    assert bundle.entry


def test_transaction_response_and_its_outcomes_are_parsed_whole(fhir: Any) -> None:
    bundle = model("Bundle")(
        {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [
                {
                    "resource": {"resourceType": "Organization", "name": "CPTS de l'Exemple"},
                    "request": {"method": "POST", "url": "Organization"},
                },
                {"request": {"method": "GET", "url": "Organization/nowhere"}},
                {"request": {"method": "GET", "url": "Organization?name=cpts"}},
            ],
        }
    )
    answer = model("Bundle")(fhir.post_json("", bundle.as_json()).json())
    statuses = [entry.response.status[:3] for entry in answer.entry]
    assert statuses == ["201", "404", "200"]
    assert answer.entry[1].response.outcome.issue[0].code == "not-found"
    assert answer.entry[2].resource.type == "searchset"


def test_refusal_is_an_operation_outcome_that_is_parsed_whole(fhir: Any) -> None:
    answer = fhir.session.post(
        f"{fhir.base_uri}Slot", data=b'{"resourceType": "Slot"}', headers={"Content-Type": "application/fhir+json"}
    )
    assert answer.status_code == 400
    outcome = model("OperationOutcome")(answer.json())
    assert {issue.code for issue in outcome.issue} == {"required"}
