"""capabilities: what is declared works, what works is declared. https://hl7.org/fhir/R4/http.html#capabilities"""

from __future__ import annotations

import httpx
import pytest

from fhir_server.validation.validator import Validator
from tests.rest.asking import bundle, created, entry, etag, expressions, practitioner, refused
from tests.rest.conftest import Server


async def test_statement_is_a_valid_resource(server: Server) -> None:
    response = await server.http.get("metadata")
    registry = server.service.context.registry
    faults = Validator(registry.structures).validate(response.json())
    assert [issue.diagnostics for issue in faults if issue.is_error] == []
    assert response.json()["fhirVersion"] == "4.0.1"
    terminology = (await server.http.get("metadata?mode=terminology")).json()
    assert [issue.diagnostics for issue in Validator(registry.structures).validate(terminology) if issue.is_error] == []
    assert {"name": "filter"} in terminology["expansion"]["parameter"]


async def test_each_declared_interaction_of_a_type_works(http: httpx.AsyncClient) -> None:
    statement = (await http.get("metadata")).json()["rest"][0]
    declared = next(item for item in statement["resource"] if item["type"] == "Practitioner")
    made = await created(http, practitioner("Déclaré"))
    url = f"Practitioner/{made['id']}"
    patch = {"Content-Type": "application/json-patch+json"}
    tried = {
        "create": 201,
        "read": (await http.get(url)).status_code,
        "vread": (await http.get(f"{url}/_history/1")).status_code,
        "update": (await http.put(url, json=made)).status_code,
        "patch": (await http.patch(url, json=[], headers=patch)).status_code,
        "history-instance": (await http.get(f"{url}/_history")).status_code,
        "history-type": (await http.get("Practitioner/_history")).status_code,
        "search-type": (await http.get("Practitioner")).status_code,
        "delete": (await http.delete(url)).status_code,
    }
    assert {item["code"] for item in declared["interaction"]} == set(tried)
    assert all(status < 400 or (name, status) == ("patch", 400) for name, status in tried.items()), tried


async def test_stored_profiles_are_declared_for_as_long_as_they_are_there(http: httpx.AsyncClient) -> None:
    async def declared() -> list[str]:
        statement = (await http.get("metadata")).json()["rest"][0]
        (slot,) = (item for item in statement["resource"] if item["type"] == "Slot")
        return list(slot.get("supportedProfile", ()))

    profile = {
        "resourceType": "StructureDefinition",
        "id": "un",
        "url": "https://example.org/StructureDefinition/un",
        "name": "Un",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Slot",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Slot",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Slot", "path": "Slot"}]},
    }
    assert await declared() == []
    await http.put("StructureDefinition/un", json=profile)
    assert await declared() == [profile["url"]]
    await http.put("StructureDefinition/un", json={**profile, "status": "retired"})
    assert await declared() == []


async def test_each_declared_interaction_of_the_system_works(http: httpx.AsyncClient) -> None:
    statement = (await http.get("metadata")).json()["rest"][0]
    tried = {
        "batch": await http.post("", json=bundle("batch", entry("GET", "metadata"))),
        "transaction": await http.post("", json=bundle("transaction", entry("GET", "metadata"))),
        "history-system": await http.get("_history"),
        "search-system": await http.get("?_id=x"),
    }
    assert {item["code"] for item in statement["interaction"]} == set(tried)
    assert all(answer.status_code == 200 for answer in tried.values())


async def test_what_is_declared_of_updates_is_so(http: httpx.AsyncClient) -> None:
    statement = (await http.get("metadata")).json()["rest"][0]
    for declared in statement["resource"]:
        assert declared["updateCreate"] is True
        assert declared["conditionalDelete"] == "multiple"
        assert declared["conditionalRead"] == "full-support"
    await http.put("Practitioner/p", json=practitioner(id="p"))
    assert (await http.get("Practitioner/p", headers={"If-None-Match": etag(1)})).status_code == 304


@pytest.mark.parametrize(("mode", "status"), [("full", 200), ("normative", 200), ("terminology", 200), ("all", 400)])
async def test_mode(http: httpx.AsyncClient, mode: str, status: int) -> None:
    response = await http.get(f"metadata?mode={mode}")
    assert response.status_code == status
    if status == 400:
        assert expressions(response) == ["http.mode"]


async def test_no_parameter_of_the_statement_is_ignored(http: httpx.AsyncClient) -> None:
    refused(await http.get("metadata?foo=1"), 400, "parameter-unknown")
    assert (await http.get("metadata?_format=json&_pretty=true")).status_code == 200


async def test_statement_says_that_there_is_json_only(http: httpx.AsyncClient) -> None:
    statement = (await http.get("metadata")).json()
    assert statement["format"] == ["application/fhir+json", "json"]
    assert "JSON only" in statement["rest"][0]["documentation"]
