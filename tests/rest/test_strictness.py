"""What must not be let through because it looks harmless."""

from __future__ import annotations

import httpx
import pytest

LENIENT = {"Prefer": "handling=lenient"}
ALICE = {"resourceType": "Practitioner", "name": [{"family": "Fictif", "given": ["Alice"]}]}


async def test_lenient_create_with_criteria_in_the_url_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("Practitioner?identifier=1", json=ALICE, headers=LENIENT)
    assert answer.status_code == 400
    assert (await http.get("Practitioner?_summary=count")).json()["total"] == 0


@pytest.mark.parametrize("query", ["name=%zz", "name=%", "name=a%4", "na%xxme=a"])
async def test_broken_percent_encoding_is_refused(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"Practitioner?{query}")
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "query-encoding"


@pytest.mark.parametrize("include", ["_include=PractitionerRole:practitioner", "_revinclude=Schedule:actor"])
async def test_narrative_alone_cannot_stand_with_includes(http: httpx.AsyncClient, include: str) -> None:
    assert (await http.get(f"PractitionerRole?_summary=text&{include}")).status_code == 400
    assert (await http.get(f"PractitionerRole?_summary=true&{include}")).status_code == 200


async def test_statement_tells_patch_formats_and_compartments(http: httpx.AsyncClient) -> None:
    statement = (await http.get("metadata")).json()
    assert "application/json-patch+json" in statement["patchFormat"]
    assert "http://hl7.org/fhir/CompartmentDefinition/patient" in statement["rest"][0]["compartment"]


async def test_statement_can_be_asked_for_in_part_and_keeps_its_date(http: httpx.AsyncClient) -> None:
    part = (await http.get("metadata?_elements=fhirVersion")).json()
    assert part["fhirVersion"] == "4.0.1"
    assert "software" not in part
    assert part["meta"]["tag"][0]["code"] == "SUBSETTED"
    dates = [(await http.get("metadata")).json()["date"] for _ in range(2)]
    assert dates[0] == dates[1]


async def test_encoded_urn_in_criteria_is_refused_too(http: httpx.AsyncClient) -> None:
    urn = "urn:uuid:5b1c0a3e-3f3a-4a9b-9c0e-000000000001"
    role = {"resourceType": "PractitionerRole", "organization": {"reference": urn}}
    entries = [
        {
            "fullUrl": urn,
            "request": {"method": "POST", "url": "Organization"},
            "resource": {"resourceType": "Organization", "name": "X"},
        },
        {
            "request": {"method": "PUT", "url": f"PractitionerRole?organization={urn.replace(':', '%3A')}"},
            "resource": role,
        },
    ]
    answer = await http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 400
    assert (await http.get("PractitionerRole?_summary=count")).json()["total"] == 0


async def test_position_beyond_a_commit_is_refused(http: httpx.AsyncClient) -> None:
    for _ in range(3):
        await http.post("Practitioner", json=ALICE)
    links = (await http.get("_history?_count=1")).json()["link"]
    following = next(link["url"] for link in links if link["relation"] == "next")
    head, _, _ = following.rpartition(".")
    assert (await http.get(f"{head}.5000000")).status_code == 400
