"""delete, by id and by criteria. https://hl7.org/fhir/R4/http.html#delete"""

from __future__ import annotations

import httpx
import pytest

from tests.rest.asking import SYSTEM, created, etag, expressions, found, issues, practitioner, refused
from tests.rest.conftest import Serve


async def test_delete_leaves_a_version(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    response = await http.delete(f"Practitioner/{made['id']}")
    assert response.status_code == 204
    assert response.headers["etag"] == etag(2)
    assert "last-modified" in response.headers
    assert await found(http, "Practitioner") == []


async def test_delete_of_what_is_not_there_is_done(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    await http.delete(f"Practitioner/{made['id']}")
    again = await http.delete(f"Practitioner/{made['id']}")
    assert again.status_code == 204
    assert again.headers["etag"] == etag(2)
    never = await http.delete("Practitioner/never")
    assert never.status_code == 204
    assert "etag" not in never.headers


async def test_delete_can_be_told_as_an_outcome(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    headers = {"Prefer": "return=OperationOutcome"}
    response = await http.delete(f"Practitioner/{made['id']}", headers=headers)
    assert response.status_code == 200
    assert issues(response)[0]["diagnostics"] == "deleted: 1"


async def test_delete_of_another_version_changes_nothing(http: httpx.AsyncClient) -> None:
    for family in ("Avant", "Après"):
        await http.put("Practitioner/p", json=practitioner(family, id="p"))
    refused(await http.delete("Practitioner/p", headers={"If-Match": etag(1)}), 412, "precondition")
    assert (await http.get("Practitioner/p")).status_code == 200
    assert (await http.delete("Practitioner/p", headers={"If-Match": etag(2)})).status_code == 204
    refused(await http.delete("Practitioner/p", headers={"If-Match": etag(2)}), 412, "precondition")
    refused(await http.delete("Practitioner/never", headers={"If-Match": "*"}), 412, "precondition")


async def test_no_parameter_of_a_delete_is_ignored(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    refused(await http.delete(f"Practitioner/{made['id']}?_cascade=delete"), 400, "parameter-unknown")
    assert (await http.get(f"Practitioner/{made['id']}")).status_code == 200


@pytest.mark.parametrize("matches", [0, 1, 3])
async def test_conditional_delete_takes_all_that_match(http: httpx.AsyncClient, matches: int) -> None:
    kept = await created(http, practitioner("Gardé", "other"))
    for _ in range(matches):
        await created(http, practitioner("Effacé", "x"))
    headers = {"Prefer": "return=OperationOutcome"}
    response = await http.delete(f"Practitioner?identifier={SYSTEM}|x", headers=headers)
    assert response.status_code == 200
    assert issues(response)[0]["diagnostics"] == f"deleted: {matches}"
    assert ("etag" in response.headers) == (matches == 1)
    assert await found(http, "Practitioner") == [kept["id"]]
    assert (await http.delete(f"Practitioner?identifier={SYSTEM}|x")).status_code == 204


@pytest.mark.parametrize(
    ("query", "id_"),
    [
        ("", "criteria-missing"),
        ("?", "criteria-missing"),
        ("?_format=json", "criteria-missing"),
        ("?nam=x", "search-parameter-unknown"),
        ("?name=x&_count=1", "criteria-result"),
        ("?name=x&_sort=name", "criteria-result"),
    ],
)
async def test_conditional_delete_needs_criteria(http: httpx.AsyncClient, query: str, id_: str) -> None:
    made = await created(http, practitioner("x"))
    for headers in ({}, {"Prefer": "handling=lenient"}):
        refused(await http.delete(f"Practitioner{query}", headers=headers), 400, id_)
    assert await found(http, "Practitioner") == [made["id"]]


async def test_conditional_delete_past_its_limit_deletes_nothing(serve: Serve) -> None:
    async with serve(delete_matches=2) as server:
        made = [(await created(server.http, practitioner("Trop")))["id"] for _ in range(3)]
        response = await server.http.delete("Practitioner?family=trop")
        refused(response, 412, "delete-limit")
        assert "2" in issues(response)[0]["diagnostics"]
        assert await found(server.http, "Practitioner") == made


async def test_conditional_delete_of_a_version(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("Version", id="p"))
    refused(await http.delete("Practitioner?family=version", headers={"If-Match": etag(2)}), 412, "precondition")
    refused(await http.delete("Practitioner?family=nobody", headers={"If-Match": etag(2)}), 412, "precondition")
    response = await http.delete("Practitioner?family=version", headers={"If-Match": etag(1)})
    assert response.status_code == 204
    assert response.headers["etag"] == etag(2)


async def test_a_precondition_says_which_header(http: httpx.AsyncClient) -> None:
    response = await http.delete("Practitioner/never", headers={"If-Match": etag(1)})
    assert expressions(response) == ["http.If-Match"]
