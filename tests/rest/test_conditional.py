"""conditional create and conditional update. https://hl7.org/fhir/R4/http.html#ccreate and #cond-update"""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from tests.rest.asking import BASE, SYSTEM, Json, created, etag, expressions, found, practitioner, refused

MATCH = f"identifier={SYSTEM}|x"


async def put(http: httpx.AsyncClient, body: Json, query: str = MATCH, **headers: str) -> httpx.Response:
    return await http.put(f"Practitioner?{query}", json=body, headers=headers)


@pytest.mark.parametrize(
    "header",
    [
        MATCH,
        f"?{MATCH}",
        f"Practitioner?{MATCH}",
        f"/Practitioner?{MATCH}",
        f"{BASE}/Practitioner?{MATCH}",
        f"identifier={quote(SYSTEM, safe='')}%7Cx",
        f" {MATCH} ",
    ],
)
async def test_conditional_create_takes_criteria_in_each_form(http: httpx.AsyncClient, header: str) -> None:
    body, headers = practitioner("Unique", "x"), {"If-None-Exist": header}
    first = await http.post("Practitioner", json=body, headers=headers)
    assert first.status_code == 201
    second = await http.post("Practitioner", json=practitioner("Double", "x"), headers=headers)
    assert second.status_code == 200
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["etag"] == etag(1)
    assert await found(http, "Practitioner") == [first.json()["id"]]


async def test_conditional_create_with_several_matches_creates_nothing(http: httpx.AsyncClient) -> None:
    two = [(await created(http, practitioner("Deux", "x")))["id"] for _ in range(2)]
    response = await http.post("Practitioner", json=practitioner("Trois", "x"), headers={"If-None-Exist": MATCH})
    refused(response, 412, "multiple-matches")
    assert all(id_ in response.text for id_ in two)
    assert await found(http, "Practitioner") == two


async def test_conditional_create_does_not_see_what_was_deleted(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Effacé", "x"))
    await http.delete(f"Practitioner/{made['id']}")
    response = await http.post("Practitioner", json=practitioner("Neuf", "x"), headers={"If-None-Exist": MATCH})
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("header", "id_"),
    [
        ("", "criteria-missing"),
        ("?", "criteria-missing"),
        ("Practitioner", "search-parameter-unknown"),
        ("nam=x", "search-parameter-unknown"),
        ("identifier=x&_count=1", "criteria-result"),
        (f"Patient?{MATCH}", "header-value"),
        (f"https://elsewhere.example/fhir/Practitioner?{MATCH}", "header-value"),
        ("identifier=%FF", "query-encoding"),
    ],
)
async def test_conditional_create_refuses_criteria_it_cannot_ask(
    http: httpx.AsyncClient, header: str, id_: str
) -> None:
    for prefer in ("handling=strict", "handling=lenient"):
        headers = {"If-None-Exist": header, "Prefer": prefer}
        refused(await http.post("Practitioner", json=practitioner("X", "x"), headers=headers), 400, id_)
    assert await found(http, "Practitioner") == []


async def test_conditional_update_without_match_creates(http: httpx.AsyncClient) -> None:
    response = await put(http, practitioner("Neuf", "x"))
    assert response.status_code == 201
    assert response.headers["etag"] == etag(1)
    assert response.json()["id"].startswith("id-")


async def test_conditional_update_without_match_creates_under_the_id_given(http: httpx.AsyncClient) -> None:
    response = await put(http, practitioner("Neuf", "x", id="mine"))
    assert response.status_code == 201
    assert response.headers["location"] == f"{BASE}/Practitioner/mine/_history/1"


async def test_conditional_update_without_match_of_an_id_that_is_taken_is_a_conflict(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/mine", json=practitioner("Là", "other", id="mine"))
    refused(await put(http, practitioner("Neuf", "x", id="mine")), 409, "criteria-other-id")
    assert (await http.get("Practitioner/mine")).json()["name"] == [{"family": "Là"}]


@pytest.mark.parametrize("with_id", [False, True])
async def test_conditional_update_with_one_match_updates_it(http: httpx.AsyncClient, with_id: bool) -> None:
    made = await created(http, practitioner("Avant", "x"))
    more = {"id": made["id"]} if with_id else {}
    response = await put(http, practitioner("Après", "x", **more))
    assert response.status_code == 200
    assert response.headers["etag"] == etag(2)
    assert (await http.get(f"Practitioner/{made['id']}")).json()["name"] == [{"family": "Après"}]


async def test_conditional_update_with_one_match_of_another_id_is_refused(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Avant", "x"))
    response = await put(http, practitioner("Après", "x", id="other"))
    refused(response, 400, "id-mismatch")
    assert expressions(response) == ["Practitioner.id"]
    assert (await http.get(f"Practitioner/{made['id']}")).json() == made
    assert (await http.get("Practitioner/other")).status_code == 404


async def test_conditional_update_with_several_matches_changes_nothing(http: httpx.AsyncClient) -> None:
    two = [await created(http, practitioner("Deux", "x")) for _ in range(2)]
    refused(await put(http, practitioner("Après", "x")), 412, "multiple-matches")
    refused(await put(http, practitioner("Après", "x", id=two[0]["id"])), 412, "multiple-matches")
    assert [(await http.get(f"Practitioner/{made['id']}")).json() for made in two] == two


async def test_all_criteria_count(http: httpx.AsyncClient) -> None:
    alpha, beta = [await created(http, practitioner(name, "x")) for name in ("Alpha", "Beta")]
    response = await put(http, practitioner("Beta", "x", active=True), f"{MATCH}&family=beta")
    assert response.status_code == 200
    assert response.json()["id"] == beta["id"]
    assert (await http.get(f"Practitioner/{alpha['id']}")).json() == alpha


async def test_conditional_update_of_a_version(http: httpx.AsyncClient) -> None:
    await created(http, practitioner("Avant", "x"))
    refused(await put(http, practitioner("Perdu", "x"), **{"If-Match": etag(2)}), 412, "precondition")
    assert (await put(http, practitioner("Après", "x"), **{"If-Match": etag(1)})).status_code == 200
    none = await put(http, practitioner("Neuf", "y"), f"identifier={SYSTEM}|y", **{"If-Match": "*"})
    refused(none, 412, "precondition")


async def test_conditional_update_without_a_change_makes_no_version(http: httpx.AsyncClient) -> None:
    await created(http, practitioner("Même", "x"))
    response = await put(http, practitioner("Même", "x"))
    assert response.status_code == 200
    assert response.headers["etag"] == etag(1)


@pytest.mark.parametrize(
    ("query", "id_"),
    [
        ("", "criteria-missing"),
        ("nam=x", "search-parameter-unknown"),
        ("identifier=x&_include=*", "criteria-result"),
    ],
)
async def test_conditional_update_needs_criteria(http: httpx.AsyncClient, query: str, id_: str) -> None:
    refused(await put(http, practitioner("X", "x"), query), 400, id_)
    assert await found(http, "Practitioner") == []


RENAME = [{"op": "replace", "path": "/name/0/family", "value": "Après"}]
RENAME_BY_PATH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Practitioner.name[0].family"},
                {"name": "value", "valueString": "Après"},
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("patch", "kind"), [(RENAME, "application/json-patch+json"), (RENAME_BY_PATH, "application/fhir+json")]
)
async def test_conditional_patch_takes_one_match(http: httpx.AsyncClient, patch: Json, kind: str) -> None:
    async def patched(query: str, **headers: str) -> httpx.Response:
        return await http.patch(f"Practitioner?{query}", json=patch, headers={"Content-Type": kind, **headers})

    refused(await patched(MATCH), 404, "criteria-no-match")
    one = await created(http, practitioner("Avant", "x"))
    refused(await patched(MATCH, **{"If-Match": etag(2)}), 412, "precondition")
    answer = await patched(MATCH, **{"If-Match": etag(1)})
    assert (answer.status_code, answer.headers["etag"]) == (200, etag(2))
    assert answer.json()["id"] == one["id"] and answer.json()["name"] == [{"family": "Après"}]
    await created(http, practitioner("Deux", "x"))
    refused(await patched(MATCH), 412, "multiple-matches")
    wrong = (("", "criteria-missing"), ("nam=x", "search-parameter-unknown"), ("_count=1", "criteria-result"))
    for query, id_ in wrong:
        refused(await patched(query), 400, id_)
