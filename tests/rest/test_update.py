"""update, by id. https://hl7.org/fhir/R4/http.html#update"""

from __future__ import annotations

import httpx
import pytest

from tests.rest.asking import BASE, created, etag, expressions, practitioner, refused
from tests.rest.conftest import Serve


async def test_update_replaces_the_whole_and_makes_a_version(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Avant", gender="female"))
    response = await http.put(f"Practitioner/{made['id']}", json=practitioner("Après", id=made["id"]))
    assert response.status_code == 200
    assert response.headers["etag"] == etag(2)
    assert response.headers["location"] == f"{BASE}/Practitioner/{made['id']}/_history/2"
    now = (await http.get(f"Practitioner/{made['id']}")).json()
    assert now == response.json()
    assert now["name"] == [{"family": "Après"}] and "gender" not in now
    assert now["meta"]["lastUpdated"] > made["meta"]["lastUpdated"]


async def test_update_of_an_id_that_never_was_creates_it(http: httpx.AsyncClient) -> None:
    response = await http.put("Practitioner/mine", json=practitioner(id="mine"))
    assert response.status_code == 201
    assert response.headers["location"] == f"{BASE}/Practitioner/mine/_history/1"


async def test_clients_choose_no_ids_where_that_is_off(serve: Serve) -> None:
    async with serve(update_create=False) as server:
        response = await server.http.put("Practitioner/mine", json=practitioner(id="mine"))
        refused(response, 405, "update-create")
        conditional = await server.http.put("Practitioner?identifier=x", json=practitioner(id="mine"))
        refused(conditional, 405, "update-create")
        assert (await server.http.get("Practitioner/mine")).status_code == 404
        assert (await server.http.put("Practitioner?identifier=x", json=practitioner())).status_code == 201


@pytest.mark.parametrize(
    ("change", "told"),
    [({"id": "other"}, "the resource has another id than the URL"), ({}, "the resource has no id; the URL has")],
)
async def test_update_needs_the_id_of_its_url(http: httpx.AsyncClient, change: dict[str, str], told: str) -> None:
    made = await created(http, practitioner())
    response = await http.put(f"Practitioner/{made['id']}", json=practitioner("Autre", **change))
    refused(response, 400, "id-mismatch")
    assert expressions(response) == ["Practitioner.id"]
    assert response.json()["issue"][0]["diagnostics"] == told
    assert (await http.get(f"Practitioner/{made['id']}")).json() == made


async def test_update_without_a_change_makes_no_version(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Même", meta={"tag": [{"code": "t"}]}))
    body = {**made, "meta": {"tag": [{"code": "t"}], "versionId": "9"}}
    response = await http.put(f"Practitioner/{made['id']}", json=body)
    assert response.status_code == 200
    assert response.json() == made
    assert response.headers["etag"] == etag(1)
    tagged = {**made, "meta": {"tag": [{"code": "u"}]}}
    assert (await http.put(f"Practitioner/{made['id']}", json=tagged)).headers["etag"] == etag(2)


async def test_another_order_of_properties_is_a_change(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", content=b'{"resourceType":"Practitioner","id":"p","active":true,"gender":"male"}')
    other = b'{"resourceType":"Practitioner","id":"p","gender":"male","active":true}'
    assert (await http.put("Practitioner/p", content=other)).headers["etag"] == etag(2)


async def test_update_of_a_deleted_resource_brings_it_back(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    url = f"Practitioner/{made['id']}"
    await http.delete(url)
    refused(await http.put(url, json=made, headers={"If-Match": etag(2)}), 412, "precondition")
    response = await http.put(url, json=made)
    assert response.status_code == 201
    assert response.headers["etag"] == etag(3)
    assert (await http.get(url)).json()["name"] == made["name"]


@pytest.mark.parametrize("header", ['W/"2"', '"2"', "2", "*", 'W/"1", W/"2"', 'W/"1","2"'])
async def test_update_of_the_version_that_the_client_knows(http: httpx.AsyncClient, header: str) -> None:
    for family in ("Avant", "Après"):
        await http.put("Practitioner/p", json=practitioner(family, id="p"))
    response = await http.put("Practitioner/p", json=practitioner("Enfin", id="p"), headers={"If-Match": header})
    assert response.status_code == 200
    assert response.headers["etag"] == etag(3)


@pytest.mark.parametrize("header", ['W/"1"', '"1"', "1", '"02"', '"x"', 'W/"1", W/"3"', '""'])
async def test_update_of_another_version_changes_nothing(http: httpx.AsyncClient, header: str) -> None:
    for family in ("Avant", "Après"):
        await http.put("Practitioner/p", json=practitioner(family, id="p"))
    response = await http.put("Practitioner/p", json=practitioner("Perdu", id="p"), headers={"If-Match": header})
    refused(response, 412, "precondition")
    assert expressions(response) == ["http.If-Match"]
    assert response.headers["etag"] == etag(2)
    assert (await http.get("Practitioner/p")).json()["name"] == [{"family": "Après"}]


async def test_a_version_of_what_is_not_there_is_no_match(http: httpx.AsyncClient) -> None:
    for header in ("*", etag(1)):
        response = await http.put("Practitioner/p", json=practitioner(id="p"), headers={"If-Match": header})
        refused(response, 412, "precondition")
    assert (await http.get("Practitioner/p")).status_code == 404


async def test_if_match_that_cannot_be_read_is_refused(http: httpx.AsyncClient) -> None:
    for header in ("", 'W/"1', "W/1", '"1" "2"', "é"):
        response = await http.put(
            "Practitioner/p", json=practitioner(id="p"), headers=[(b"If-Match", header.encode("latin-1"))]
        )
        refused(response, 400, "header-value")


async def test_update_only_of_what_is_absent(http: httpx.AsyncClient) -> None:
    headers = {"If-None-Match": "*"}
    first = await http.put("Practitioner/p", json=practitioner("Premier", id="p"), headers=headers)
    assert first.status_code == 201
    second = await http.put("Practitioner/p", json=practitioner("Second", id="p"), headers=headers)
    refused(second, 412, "precondition")
    assert expressions(second) == ["http.If-None-Match"]
    other = await http.put("Practitioner/p", json=practitioner(id="p"), headers={"If-None-Match": etag(1)})
    refused(other, 400, "header-value")


@pytest.mark.parametrize("query", ["foo=1", "identifier=x"])
async def test_no_parameter_of_an_update_is_ignored(http: httpx.AsyncClient, query: str) -> None:
    refused(await http.put(f"Practitioner/p?{query}", json=practitioner(id="p")), 400, "parameter-unknown")
