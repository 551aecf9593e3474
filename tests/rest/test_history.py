"""history of a resource, of a type, of everything. https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from tests.rest.asking import BASE, Json, created, etag, expressions, link, organization, practitioner, refused

LEVELS = ("_history", "Practitioner/_history", "Practitioner/p/_history")


async def versions(http: httpx.AsyncClient, family: str = "V", count: int = 5) -> list[Json]:
    """Write the versions of ``Practitioner/p``, the last but one its deletion; return the bodies, newest first."""
    for number in range(1, count + 1):
        if number == count - 1:
            await http.delete("Practitioner/p")
        else:
            await http.put("Practitioner/p", json=practitioner(f"{family}{number}", id="p"))
    entries: list[Json] = (await http.get("Practitioner/p/_history")).json()["entry"]
    return entries


async def all_pages(http: httpx.AsyncClient, url: str, relation: str = "next") -> list[Json]:
    """Return the entries of all pages, following the links."""
    entries: list[Json] = []
    for _ in range(100):
        response = await http.get(url)
        assert response.status_code == 200, response.text
        entries.extend(response.json().get("entry", ()))
        following = link(response, relation)
        if following is None:
            return entries
        url = following
    raise AssertionError("the pages do not end")


def told(entries: list[Json]) -> list[tuple[str, str, str]]:
    return [(e["request"]["method"], e["request"]["url"], e["response"]["etag"]) for e in entries]


async def test_history_of_a_resource_is_newest_first_with_its_deletion(http: httpx.AsyncClient) -> None:
    await versions(http)
    response = await http.get("Practitioner/p/_history")
    body = response.json()
    assert body["type"] == "history" and body["total"] == 5
    assert told(body["entry"]) == [
        ("PUT", "Practitioner/p", etag(5)),
        ("DELETE", "Practitioner/p", etag(4)),
        ("PUT", "Practitioner/p", etag(3)),
        ("PUT", "Practitioner/p", etag(2)),
        ("PUT", "Practitioner/p", etag(1)),
    ]
    assert "resource" not in body["entry"][1]
    assert {entry["fullUrl"] for entry in body["entry"]} == {f"{BASE}/Practitioner/p"}
    for entry in body["entry"]:
        if "resource" in entry:
            assert entry["resource"]["meta"]["lastUpdated"] == entry["response"]["lastModified"]


async def test_history_tells_how_each_version_came_to_be(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner())
    url = f"Practitioner/{made['id']}"
    patch = [{"op": "add", "path": "/active", "value": True}]
    await http.patch(url, json=patch, headers={"Content-Type": "application/json-patch+json"})
    entries = (await http.get(f"{url}/_history")).json()["entry"]
    assert told(entries) == [("PATCH", url, etag(2)), ("POST", "Practitioner", etag(1))]
    assert [entry["response"]["status"] for entry in entries] == ["200", "201"]


@pytest.mark.parametrize("level", LEVELS)
async def test_each_version_has_the_status_of_the_request_that_made_it(http: httpx.AsyncClient, level: str) -> None:
    url, body = "Practitioner/p", practitioner(id="p")
    answers = [
        await http.put(url, json=body),
        await http.put(url, json={**body, "active": True}),
        await http.delete(url),
        await http.put(url, json=body),
        await http.put(url, json={**body, "active": False}),
    ]
    statuses = [str(answer.status_code) for answer in answers]
    assert statuses == ["201", "200", "204", "201", "200"]
    for query in ("", "?_count=1", "?_since=2026"):
        pages = await all_pages(http, f"{level}{query}")
        assert [one["response"]["status"] for one in reversed(pages)] == statuses
    feed = await all_pages(http, f"{level}?_after=0&_count=1")
    assert [one["response"]["status"] for one in feed] == statuses
    assert [one["request"]["method"] for one in feed] == ["PUT", "PUT", "DELETE", "PUT", "PUT"]


async def test_history_of_a_type_has_no_other_type(http: httpx.AsyncClient) -> None:
    await versions(http)
    await created(http, organization())
    of_type = (await http.get("Practitioner/_history")).json()["entry"]
    everything = (await http.get("_history")).json()["entry"]
    assert {entry["fullUrl"] for entry in of_type} == {f"{BASE}/Practitioner/p"}
    assert everything[0]["resource"]["resourceType"] == "Organization"
    assert everything[1:] == of_type


async def test_history_of_what_never_was_is_not_found(http: httpx.AsyncClient) -> None:
    refused(await http.get("Practitioner/never/_history"), 404, "resource-unknown")
    assert (await http.get("Practitioner/_history")).json()["type"] == "history"
    assert (await http.get("_history")).json()["type"] == "history"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("count", [1, 2, 5, 9])
async def test_pages_lead_through_all_versions(http: httpx.AsyncClient, level: str, count: int) -> None:
    whole = await versions(http)
    assert await all_pages(http, f"{level}?_count={count}") == whole
    assert len((await http.get(f"{level}?_count={count}")).json()["entry"]) == min(count, 5)


@pytest.mark.parametrize("level", LEVELS)
async def test_pages_are_not_moved_by_what_is_written_meanwhile(http: httpx.AsyncClient, level: str) -> None:
    whole = await versions(http)
    first = await http.get(f"{level}?_count=2")
    await http.put("Practitioner/p", json=practitioner("Entre", id="p"))
    following = link(first, "next")
    assert following is not None
    assert first.json()["entry"] + await all_pages(http, following) == whole


@pytest.mark.parametrize("level", LEVELS)
async def test_count_of_zero_has_no_entries_and_no_next_page(http: httpx.AsyncClient, level: str) -> None:
    await versions(http)
    response = await http.get(f"{level}?_count=0")
    assert response.status_code == 200
    assert "entry" not in response.json()
    assert link(response, "next") is None


@pytest.mark.parametrize("level", LEVELS)
async def test_since_takes_what_was_written_at_that_instant_or_later(http: httpx.AsyncClient, level: str) -> None:
    whole = await versions(http)
    third = whole[2]["response"]["lastModified"]
    for text in (third, third.replace("Z", "+00:00"), third.replace("Z", "%2B00:00")):
        assert await all_pages(http, f"{level}?_since={text}&_count=2") == whole[:3]
    assert await all_pages(http, f"{level}?_since=2030-01-01T00:00:00Z") == []
    assert await all_pages(http, f"{level}?_since=2026") == whole


async def test_history_links_keep_what_was_asked(http: httpx.AsyncClient) -> None:
    await versions(http)
    response = await http.get("Practitioner/_history?_count=2&_since=2026-01-01T00:00:00Z&_format=json")
    following = link(response, "next") or ""
    for part in ("_count=2", "_since=2026-01-01T00:00:00Z", "_format=json"):
        assert part in following and part in (link(response, "self") or "")
    xml_client = await http.get(following, headers={"Accept": "application/fhir+xml"})
    assert xml_client.status_code == 200


@pytest.mark.parametrize(
    ("query", "id_"),
    [
        ("foo=1", "parameter-unknown"),
        ("_sort=_lastUpdated", "parameter-unknown"),
        ("_list=42", "parameter-unknown"),
        ("name=x", "parameter-unknown"),
        ("_count=-1", "parameter-value"),
        ("_count=many", "parameter-value"),
        ("_count=1&_count=2", "parameter-value"),
        ("_count=", "parameter-value"),
        ("_count=%D9%A1", "parameter-value"),
        ("_since=yesterday", "parameter-value"),
        ("_since=2026-02-30", "parameter-value"),
        ("_at=", "parameter-value"),
        ("_page=1", "parameter-value"),
        ("_after=x", "parameter-value"),
        ("_after=0&_since=2026", "parameter-value"),
    ],
)
@pytest.mark.parametrize("level", ["_history", "Practitioner/p/_history"])
async def test_no_parameter_of_a_history_is_ignored(http: httpx.AsyncClient, level: str, query: str, id_: str) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    response = await http.get(f"{level}?{query}")
    refused(response, 400, id_)
    assert expressions(response) == [f"http.{query.partition('=')[0]}"]


async def test_count_is_bounded_by_the_page_maximum(http: httpx.AsyncClient) -> None:
    await versions(http)
    assert (await http.get("_history?_count=999999999")).status_code == 200
    refused(await http.get(f"_history?_count={'9' * 20}"), 400, "parameter-value")


@pytest.mark.parametrize("position", ["0123456789abcdef.1", "0123456789abcdef.1.0"])
async def test_page_of_another_log_is_gone(http: httpx.AsyncClient, position: str) -> None:
    await versions(http)
    refused(await http.get(f"_history?_page={quote(position)}"), 410, "log-position")


async def test_total_stands_where_it_is_known(http: httpx.AsyncClient) -> None:
    """R4 lets a history of a type or of everything go without."""
    await versions(http)
    totals = [(await http.get(f"{level}?_count=2")).json().get("total") for level in LEVELS]
    assert totals == [None, None, 5]
