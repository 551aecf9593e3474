"""The Bundle around a batch or transaction. https://hl7.org/fhir/R4/bundle.html"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.rest.asking import (
    BASE,
    Json,
    bundle,
    done,
    entry,
    expressions,
    found,
    ids,
    post,
    practitioner,
    refused,
    status,
    urn,
)
from tests.rest.conftest import Serve

POST = entry("POST", "Practitioner", practitioner())


@pytest.mark.parametrize(
    ("body", "id_", "expression"),
    [
        ({"resourceType": "Practitioner"}, "bundle-expected", "Bundle"),
        ([POST], "bundle-expected", "Bundle"),
        ("Bundle", "bundle-expected", "Bundle"),
        ({"resourceType": "Bundle"}, "cardinality-min", "Bundle.type"),
        (bundle("searchset"), "bundle-type", "Bundle.type"),
        (bundle("transaction-response"), "bundle-type", "Bundle.type"),
        (bundle("document"), "bundle-type", "Bundle.type"),
        (bundle("lot"), "bundle-type", "Bundle.type"),
        (bundle("batch", foo=1), "structure-unknown-element", "Bundle.foo"),
        (bundle("batch", entry=[]), "empty-array", "Bundle.entry"),
        (bundle("batch", entry=POST), "cardinality-array", "Bundle.entry"),
        (bundle("batch", entry=None), "structure-null", "Bundle.entry"),
        (bundle("batch", implicitRules="https://example.org/rules"), "not-understood", "Bundle.implicitRules"),
    ],
)
async def test_bundle_that_is_wrong_as_a_whole(http: httpx.AsyncClient, body: Any, id_: str, expression: str) -> None:
    response = await http.post("", json=body)
    assert response.status_code == 400
    assert id_ in ids(response)
    assert expression in expressions(response)


WRONG_ENTRIES: list[tuple[Any, str]] = [
    (5, ""),
    ({}, ""),
    ({"resource": practitioner()}, ""),
    ({**POST, "foo": 1}, ".foo"),
    ({**POST, "search": {"mode": "match"}}, ""),
    ({**POST, "response": {"status": "200"}}, ""),
    ({**POST, "modifierExtension": [{"url": "https://example.org/m", "valueBoolean": True}]}, ".modifierExtension"),
    (entry("POST", "Practitioner", practitioner(), foo=1), ".request.foo"),
    (entry("FETCH", "Practitioner"), ".request.method"),
    (entry("post", "Practitioner", practitioner()), ".request.method"),
    ({"request": {"method": "GET"}}, ".request.url"),
    ({"request": {"url": "Practitioner"}}, ".request.method"),
    (entry("GET", 7), ".request.url"),  # type: ignore[arg-type]
    (entry("GET", ""), ".request.url"),
    (entry("GET", "Practitioner/p", ifNoneMatch=2), ".request.ifNoneMatch"),
    (entry("GET", "Practitioner/p", ifModifiedSince="yesterday"), ".request.ifModifiedSince"),
    (entry("GET", "Practitioner/p", ifModifiedSince="0001-01-01T00:00:00+14:00"), ".request.ifModifiedSince"),
    (entry("POST", "Practitioner", practitioner(), "Practitioner/1"), ".fullUrl"),
    (entry("POST", "Practitioner", practitioner(), f"{BASE}/Practitioner/1/_history/1"), ""),
    (entry("POST", "", bundle("batch")), ".request.url"),
    (entry("POST", "Praktitioner", practitioner()), ".request.url"),
    (entry("PUT", "metadata", practitioner()), ".request.url"),
    (entry("POST", "Practitioner"), ".resource"),
    (entry("POST", "Practitioner", {"resourceType": "Patient"}), ".resource.resourceType"),
    (entry("POST", "Practitioner", {"resourceType": "Nope"}), ".resource.resourceType"),
    (entry("POST", "Practitioner", practitioner(gender="femme")), ".resource.gender"),
    (entry("PUT", "Practitioner/p", practitioner(id="q")), ".resource.id"),
    (entry("PUT", "Practitioner/p", practitioner(id="p"), ifMatch='W/"1'), ".request.ifMatch"),
    (entry("POST", "Practitioner", practitioner(), ifNoneExist="nam=x"), ".request.url"),
    (entry("GET", "Practitioner/p?foo=1"), ".request.url"),
    (entry("GET", "Practitioner?nam=x"), ".request.url"),
    (entry("GET", "Practitioner?_format=xml"), ".request.url"),
    (entry("GET", "Practitioner/_history?_since=x"), ".request.url"),
    (entry("GET", "metadata?foo=1"), ".request.url"),
    (entry("GET", "https://elsewhere.example/fhir/Practitioner/p"), ".request.url"),
    (entry("DELETE", "Practitioner/p?foo=1"), ".request.url"),
    (entry("POST", "Practitioner?foo=1", practitioner()), ".request.url"),
]


@pytest.mark.parametrize(("wrong", "path"), WRONG_ENTRIES)
async def test_wrong_entry_of_a_batch_fails_alone(http: httpx.AsyncClient, wrong: Any, path: str) -> None:
    first, second, third = await done(http, "batch", POST, wrong, POST)
    assert status(first) == status(third) == 201
    assert 400 <= status(second) < 500
    outcome = second["response"]["outcome"]
    assert ids(outcome)
    assert f"Bundle.entry[1]{path}" in expressions(outcome), expressions(outcome)


@pytest.mark.parametrize(("wrong", "path"), WRONG_ENTRIES)
async def test_wrong_entry_of_a_transaction_fails_the_whole(http: httpx.AsyncClient, wrong: Any, path: str) -> None:
    response = await post(http, "transaction", POST, wrong, POST)
    assert response.status_code == 400, response.text
    assert f"Bundle.entry[1]{path}" in expressions(response), response.text
    assert await found(http, "Practitioner") == []


async def test_all_wrong_entries_of_a_transaction_are_told_at_once(http: httpx.AsyncClient) -> None:
    wrong = (
        {**POST, "foo": 1},
        entry("GET", "Praktitioner/1"),
        entry("PUT", "Practitioner/p", practitioner(id="q")),
        entry("GET", "Practitioner?nam=x"),
    )
    response = await post(http, "transaction", POST, *wrong)
    assert response.status_code == 400
    assert [path.partition("]")[0] for path in expressions(response)] == [f"Bundle.entry[{n}" for n in range(1, 5)]


async def test_one_full_url_of_two_entries_has_two_meanings(http: httpx.AsyncClient) -> None:
    twice = [entry("POST", "Practitioner", practitioner(), urn(1)) for _ in range(2)]
    response = await post(http, "transaction", POST, *twice)
    refused(response, 400, "invariant-bdl-7")
    assert expressions(response) == ["Bundle.entry[2].fullUrl"]
    assert [status(item) for item in await done(http, "batch", *twice)] == [201, 201]


@pytest.mark.parametrize("type_", ["batch", "transaction"])
async def test_bundle_without_entries_is_answered_without_any(http: httpx.AsyncClient, type_: str) -> None:
    response = await http.post("", json=bundle(type_))
    assert response.status_code == 200
    assert response.json()["type"] == f"{type_}-response"
    assert "entry" not in response.json()


@pytest.mark.parametrize("url", [BASE, BASE + "/"])
async def test_bundles_are_posted_to_the_base_with_and_without_slash(http: httpx.AsyncClient, url: str) -> None:
    assert (await http.post(url, json=bundle("batch", POST))).status_code == 200
    refused(await http.post(f"{url}?foo=1", json=bundle("batch", POST)), 400, "parameter-unknown")


@pytest.mark.parametrize("type_", ["batch", "transaction"])
async def test_entries_past_the_limit_are_refused_with_both_figures(serve: Serve, type_: str) -> None:
    async with serve(bundle_entries=3) as server:
        response = await post(server.http, type_, *[POST] * 4)
        refused(response, 413, "bundle-entries")
        assert "4" in response.text and "3" in response.text
        assert (await post(server.http, type_, *[POST] * 3)).status_code == 200


async def test_transaction_past_the_limit_of_a_commit_is_refused_with_both_figures(serve: Serve) -> None:
    async with serve(commit_bytes=100_000) as server:
        large = [entry("POST", "Practitioner", practitioner("x" * 1_000)) for _ in range(200)]
        response = await post(server.http, "transaction", *large)
        refused(response, 413, "commit-limit")
        assert "100000" in response.text
        assert await found(server.http, "Practitioner") == []


async def test_what_is_written_beside_the_resources_of_a_bundle_is_accepted(http: httpx.AsyncClient) -> None:
    body: Json = bundle("batch", POST, id="b", meta={"tag": [{"code": "t"}]}, timestamp="2026-01-05T08:00:00Z")
    body["identifier"] = {"value": "lot"}
    body["entry"][0]["extension"] = [{"url": "https://example.org/e", "valueString": "x"}]
    assert (await http.post("", json=body)).status_code == 200
