"""read and vread. https://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

import httpx
import pytest

from tests.rest.asking import created, etag, expressions, practitioner, refused


async def test_read_gives_the_resource_with_its_version_and_date(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Alice", active=True))
    response = await http.get(f"Practitioner/{made['id']}")
    assert response.status_code == 200
    assert response.json() == made
    assert response.headers["etag"] == etag(1)
    assert response.headers["last-modified"].startswith("Mon, 05 Jan 2026 08:00:")
    assert made["meta"]["lastUpdated"][11:19] in response.headers["last-modified"]


async def test_read_of_deleted_resource_is_gone(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    await http.delete(f"Practitioner/{made['id']}")
    response = await http.get(f"Practitioner/{made['id']}")
    refused(response, 410, "resource-deleted")
    assert response.headers["etag"] == etag(2)


@pytest.mark.parametrize(
    ("path", "status", "id_"),
    [
        ("Practitioner/none", 404, "resource-unknown"),
        ("Praktitioner/1", 404, "type-unknown"),
        ("practitioner/1", 404, "type-unknown"),
        ("Observation/1", 404, "type-not-served"),
        ("Practitioner/none/_history/1", 404, "version-unknown"),
        ("Practitioner/a_b", 400, "format-id"),
        ("Practitioner/" + "a" * 65, 400, "format-id"),
        ("Practitioner/caf%C3%A9", 400, "format-id"),
        ("Practitioner/a%2Fb", 400, "format-id"),
        ("Practitioner/a/b", 404, "type-unknown"),
        ("Slot/a/Appointment", 404, "compartment-unknown"),
        ("Practitioner/a/b/c/d/e", 404, "path-unknown"),
        ("Practitioner/1/$everything", 404, "operation-unknown"),
        ("%00/1", 404, "type-unknown"),
        ("%22%00oops/1", 404, "type-unknown"),
        ("%FF", 404, "type-unknown"),
    ],
)
async def test_read_of_what_is_not_there(http: httpx.AsyncClient, path: str, status: int, id_: str) -> None:
    response = await http.get(path)
    refused(response, status, id_)
    assert expressions(response) == ["http"]


async def test_a_slash_at_the_end_and_percent_encoding_change_nothing(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    for path in (f"Practitioner/{made['id']}/", f"Pr%61ctitioner/{made['id']}", f"/Practitioner/{made['id']}"):
        assert (await http.get(path.lstrip("/"))).json() == made


async def test_each_version_can_be_read(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Avant"))
    url = f"Practitioner/{made['id']}"
    await http.put(url, json=practitioner("Après", id=made["id"]))
    await http.delete(url)
    first, second = await http.get(f"{url}/_history/1"), await http.get(f"{url}/_history/2")
    assert first.json() == made
    assert first.headers["etag"] == etag(1)
    assert second.json()["name"] == [{"family": "Après"}]
    gone = await http.get(f"{url}/_history/3")
    refused(gone, 410, "resource-deleted")
    assert gone.headers["etag"] == etag(3)


@pytest.mark.parametrize("version", ["0", "3", "01", "abc", "-1", "1.0", "99999999999999999999", "%D9%A1"])
async def test_version_that_never_was_is_not_found(http: httpx.AsyncClient, version: str) -> None:
    made = await created(http, practitioner())
    refused(await http.get(f"Practitioner/{made['id']}/_history/{version}"), 404, "version-unknown")


MODIFIED = "http.If-Modified-Since"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": 'W/"2"'}, 304),
        ({"If-None-Match": '"2"'}, 304),
        ({"If-None-Match": "2"}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": 'W/"7", W/"2"'}, 304),
        ({"If-None-Match": 'W/"1"'}, 200),
        ({"If-None-Match": 'W/"1"', "If-Modified-Since": "Tue, 05 Jan 2027 08:00:00 GMT"}, 200),
        ({"If-Modified-Since": "Tue, 05 Jan 2027 08:00:00 GMT"}, 304),
        ({"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": "Thu, 01 Jan 99999 00:00:00 GMT"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["Practitioner/p", "Practitioner/p/_history/2"])
async def test_conditional_read(http: httpx.AsyncClient, path: str, headers: dict[str, str], status: int) -> None:
    for family in ("Avant", "Après"):
        await http.put("Practitioner/p", json=practitioner(family, id="p"))
    response = await http.get(path, headers=headers)
    assert response.status_code == status
    assert response.headers["etag"] == etag(2)


async def test_own_last_modified_is_not_modified(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    seen = (await http.get(f"Practitioner/{made['id']}")).headers["last-modified"]
    response = await http.get(f"Practitioner/{made['id']}", headers={"If-Modified-Since": seen})
    assert response.status_code == 304
    assert response.headers["last-modified"] == seen


async def test_entity_tag_that_cannot_be_read_is_refused(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    response = await http.get(f"Practitioner/{made['id']}", headers={"If-None-Match": 'W/"1", oops"'})
    refused(response, 400, "header-value")
    assert expressions(response) == ["http.If-None-Match"]


async def test_head_is_get_without_the_body(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    for path in (f"Practitioner/{made['id']}", f"Practitioner/{made['id']}/_history/1", "Practitioner/none"):
        get, head = await http.get(path), await http.head(path)
        assert head.status_code == get.status_code
        assert head.headers["content-length"] == str(len(get.content))
        assert head.headers.get("etag") == get.headers.get("etag")


@pytest.mark.parametrize(
    ("query", "status", "id_"),
    [
        ("foo=1", 400, "parameter-unknown"),
        ("name=x", 400, "parameter-unknown"),
        ("_summary=count", 400, "parameter-value"),
        ("_summary=some", 400, "search-parameter-value"),
        ("_elements=nothing", 400, "search-element-unknown"),
        ("_summary=true&_summary=text", 400, "parameter-value"),
        ("_pretty=maybe", 400, "parameter-value"),
        ("_format=json&_format=xml", 400, "parameter-value"),
        ("%5Fpretty=maybe", 400, "parameter-value"),
        ("a=%FF", 400, "query-encoding"),
        ("a=%00", 400, "query-encoding"),
    ],
)
async def test_no_parameter_of_a_read_is_ignored(http: httpx.AsyncClient, query: str, status: int, id_: str) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    for path in ("Practitioner/p", "Practitioner/p/_history/1"):
        response = await http.get(f"{path}?{query}", headers={"If-None-Match": 'W/"1"'})
        assert response.status_code == status, response.text
        assert id_.startswith("search-") or response.json()["issue"][0]["details"]["coding"][0]["code"] == id_


async def test_all_wrong_parameters_are_told_at_once(http: httpx.AsyncClient) -> None:
    response = await http.get("Practitioner/p?foo=1&bar=2&_summary=true&_summary=text")
    assert expressions(response) == ["http.foo", "http.bar", "http._summary"]


async def test_lenient_handling_leaves_unknown_parameters_out(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    headers = {"Prefer": "handling=lenient"}
    assert (await http.get(f"Practitioner/{made['id']}?foo=1", headers=headers)).json() == made


async def test_elements_and_summary_of_a_read_are_subsets(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner(gender="female", birthDate="1970-01-01", photo=[{"title": "p"}]))
    some = (await http.get(f"Practitioner/{made['id']}?_elements=gender")).json()
    assert some["gender"] == "female" and "birthDate" not in some and "name" not in some
    assert some["meta"]["tag"][0]["code"] == "SUBSETTED"
    whole = await http.get(f"Practitioner/{made['id']}?_summary=false")
    assert whole.json() == made
