"""create. https://hl7.org/fhir/R4/http.html#create"""

from __future__ import annotations

import json

import httpx
import pytest

from tests.rest.asking import BASE, Json, bundle, created, entry, etag, expressions, found, ids, practitioner, refused


async def test_create_tells_where_the_resource_is(http: httpx.AsyncClient) -> None:
    response = await http.post("Practitioner", json=practitioner("Alice"))
    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == f"{BASE}/Practitioner/{made['id']}/_history/1"
    assert response.headers["etag"] == etag(1)
    assert "last-modified" in response.headers
    assert (await http.get(response.headers["location"])).json() == made


async def test_the_server_chooses_id_version_and_date(http: httpx.AsyncClient) -> None:
    meta = {"versionId": "77", "lastUpdated": "2001-01-01T00:00:00Z", "tag": [{"code": "kept"}]}
    made = await created(http, practitioner(id="mine", meta=meta))
    assert made["id"] != "mine"
    assert made["meta"]["versionId"] == "1"
    assert made["meta"]["lastUpdated"].startswith("2026-01-05T08:00:")
    assert made["meta"]["tag"] == [{"code": "kept"}]
    assert (await http.get("Practitioner/mine")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "id_", "expression"),
    [
        (b"", 400, "body-empty", "Practitioner"),
        (b"[]", 400, "body-not-object", "Practitioner"),
        (b"5", 400, "body-not-object", "Practitioner"),
        (b"null", 400, "body-not-object", "Practitioner"),
        (b"{}", 400, "resource-type-mismatch", "Practitioner.resourceType"),
        (b'{"resourceType":"Patient"}', 400, "resource-type-mismatch", "Practitioner.resourceType"),
        (b'{"resourceType":"practitioner"}', 400, "resource-type-mismatch", "Practitioner.resourceType"),
        (b'{"resourceType":7}', 400, "resource-type-mismatch", "Practitioner.resourceType"),
        (b'{"resourceType":"Practitioner","surname":"x"}', 400, "structure-unknown-element", "Practitioner.surname"),
        (b'{"resourceType":"Practitioner","name":[]}', 400, "empty-array", "Practitioner.name"),
        (b'{"resourceType":"Practitioner","gender":"femme"}', 400, "code-required", "Practitioner.gender"),
        (b'{"resourceType":"Organization","active":true}', 400, "resource-type-mismatch", "Practitioner.resourceType"),
    ],
)
async def test_create_of_what_is_no_practitioner(
    http: httpx.AsyncClient, body: bytes, status: int, id_: str, expression: str
) -> None:
    response = await http.post("Practitioner", content=body, headers={"Content-Type": "application/fhir+json"})
    refused(response, status, id_)
    assert expressions(response) == [expression]
    assert await found(http, "Practitioner") == []


async def test_a_broken_invariant_is_unprocessable(http: httpx.AsyncClient) -> None:
    response = await http.post("Organization", json={"resourceType": "Organization", "active": True})
    refused(response, 422, "invariant-org-1")


async def test_all_problems_are_told_at_once(http: httpx.AsyncClient) -> None:
    body = practitioner(birthDate="14/05/1970", gender="femme", telecom=[{"system": "pigeon", "value": "1"}])
    response = await http.post("Practitioner", json=body)
    assert response.status_code == 400
    assert {"Practitioner.birthDate", "Practitioner.gender", "Practitioner.telecom[0].system"} <= set(
        expressions(response)
    )


@pytest.mark.parametrize("query", ["foo=1", "identifier=x", "_summary=true"])
async def test_no_parameter_of_a_create_is_ignored(http: httpx.AsyncClient, query: str) -> None:
    refused(await http.post(f"Practitioner?{query}", json=practitioner()), 400, "parameter-unknown")
    assert await found(http, "Practitioner") == []


@pytest.mark.parametrize("status", ["requested", "active"])
async def test_subscription_that_would_not_be_served_is_refused(http: httpx.AsyncClient, status: str) -> None:
    body: Json = {
        "resourceType": "Subscription",
        "status": status,
        "reason": "demo",
        "criteria": "Slot?status=free",
        "channel": {"type": "rest-hook", "endpoint": "https://example.org/hook"},
    }
    response = await http.post("Subscription", json=body)
    refused(response, 422, "subscription-not-served")
    assert expressions(response) == ["Subscription.status"]
    await created(http, {**body, "status": "off"})


@pytest.mark.parametrize(
    ("body", "id_"),
    [
        (b'{"resourceType":"Practitioner"', "json-syntax"),
        (b'{"resourceType":"Practitioner",}', "json-syntax"),
        (b'{"resourceType":"Practitioner"}x', "json-syntax"),
        (b"\xff\xfe", "json-encoding"),
        (b'{"resourceType":"Practitioner","name":[{"family":"Andr\xe9"}]}', "json-encoding"),
        (b'{"resourceType":"Practitioner","resourceType":"Practitioner"}', "json-value"),
        (b'{"resourceType":"Practitioner","active":NaN}', "json-value"),
        (b'{"resourceType":"Practitioner","name":[{"family":"a\\u0000b"}]}', "json-character"),
        (b'{"resourceType":"Practitioner","name":[{"family":"\\ud800"}]}', "json-character"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "json-depth"),
        (b"[" * 100_000, "json-depth"),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_create_of_what_is_no_json(http: httpx.AsyncClient, body: bytes, id_: str) -> None:
    response = await http.post("Practitioner", content=body, headers={"Content-Type": "application/fhir+json"})
    assert response.status_code == 400
    assert ids(response) == [id_]


async def test_a_byte_order_mark_is_no_part_of_the_resource(http: httpx.AsyncClient) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(practitioner()).encode()
    response = await http.post("Practitioner", content=body, headers={"Content-Type": "application/fhir+json"})
    assert response.status_code == 201


@pytest.mark.parametrize("id_", [None, {}, 1, " ", ["a"]])
async def test_id_that_is_none_is_refused_although_the_server_chooses_another(
    http: httpx.AsyncClient, id_: object
) -> None:
    response = await http.post("Practitioner", json={"resourceType": "Practitioner", "id": id_})
    refused(response, 400, "format-id")


@pytest.mark.parametrize("status", ["requested", "active"])
async def test_subscription_is_refused_whichever_way_it_comes(http: httpx.AsyncClient, status: str) -> None:
    body: Json = {
        "resourceType": "Subscription",
        "id": "s",
        "status": "off",
        "reason": "demo",
        "criteria": "Slot?status=free",
        "channel": {"type": "rest-hook", "endpoint": "https://example.org/hook"},
    }
    await http.put("Subscription/s", json=body)
    wanted = {**body, "status": status}
    patch = [{"op": "replace", "path": "/status", "value": status}]
    media = {"Content-Type": "application/json-patch+json"}
    for answer in (
        await http.put("Subscription/s", json=wanted),
        await http.patch("Subscription/s", json=patch, headers=media),
        await http.post("", json=bundle("transaction", entry("PUT", "Subscription/s", wanted))),
    ):
        refused(answer, 422, "subscription-not-served")
    assert (await http.get("Subscription/s")).json()["status"] == "off"


@pytest.mark.parametrize("date", ["1970-02-30", "1970-13", "70", "1970-01-01T00:00:00Z", "yesterday", " 1970", ""])
async def test_date_that_is_none_is_refused(http: httpx.AsyncClient, date: str) -> None:
    response = await http.post("Practitioner", json=practitioner(birthDate=date))
    assert response.status_code == 400
    assert expressions(response) == ["Practitioner.birthDate"]
