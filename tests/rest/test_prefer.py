"""Prefer: what a write answers with, and how unknown parameters are handled. https://hl7.org/fhir/R4/http.html#ops"""

from __future__ import annotations

import httpx
import pytest

from tests.rest.asking import created, etag, issues, practitioner, refused

FORMS = {
    "return=minimal": "minimal",
    'return="minimal"': "minimal",
    "return=minimal; handling=lenient": "minimal",
    "handling=lenient, return=minimal": "minimal",
    "respond-async, return=minimal": "minimal",
    "return=representation": "representation",
    "return=OperationOutcome": "OperationOutcome",
    "return=everything": "representation",
    "": "representation",
    "wait=10": "representation",
}


@pytest.mark.parametrize(("prefer", "wanted"), FORMS.items())
async def test_what_a_write_answers_with(http: httpx.AsyncClient, prefer: str, wanted: str) -> None:
    made = await created(http, practitioner("Avant"))
    url, headers = f"Practitioner/{made['id']}", {"Prefer": prefer}
    answers = [
        await http.post("Practitioner", json=practitioner(), headers=headers),
        await http.put(url, json=practitioner("Après", id=made["id"]), headers=headers),
        await http.patch(
            url,
            json=[{"op": "add", "path": "/active", "value": True}],
            headers={**headers, "Content-Type": "application/json-patch+json"},
        ),
    ]
    for answer, status, version in zip(answers, (201, 200, 200), (1, 2, 3), strict=True):
        assert answer.status_code == status
        assert answer.headers["etag"] == etag(version)
        assert answer.headers["location"].endswith(f"/_history/{version}")
        match wanted:
            case "minimal":
                assert answer.content == b""
            case "OperationOutcome":
                assert issues(answer)[0]["severity"] == "information"
            case _:
                assert answer.json()["resourceType"] == "Practitioner"


async def test_several_prefer_headers_are_one_list(http: httpx.AsyncClient) -> None:
    headers = [("Prefer", "handling=lenient"), ("Prefer", "return=minimal")]
    response = await http.post("Practitioner", json=practitioner(), headers=headers)
    assert response.status_code == 201
    assert response.content == b""
    assert (await http.get("Practitioner?foo=1", headers=headers)).status_code == 200


async def test_unknown_parameters_are_refused_unless_the_client_is_lenient(http: httpx.AsyncClient) -> None:
    await created(http, practitioner("Alice"))
    for headers in ({}, {"Prefer": "handling=strict"}):
        refused(await http.get("Practitioner?nam=x", headers=headers), 400, "search-parameter-unknown")
    lenient = await http.get("Practitioner?nam=x&family=alice", headers={"Prefer": "handling=lenient"})
    entries = lenient.json()["entry"]
    assert [entry["search"]["mode"] for entry in entries] == ["match", "outcome"]
    assert "nam" in issues(entries[1]["resource"])[0]["diagnostics"]
    self_link = lenient.json()["link"][0]["url"]
    assert "family=alice" in self_link and "nam=" not in self_link
