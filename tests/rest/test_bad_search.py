"""Searches that try to be more than they say: nothing of them is ever read as SQL, a pattern or a loop."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from tests.rest.asking import bundle, entry, found, organization, practitioner, refused

LITERAL = ("%", "_", "*", "$", "'", '"', "a%b", "a_b", ".*", "';--", "\\\\", "`", "{$gt:''}", "(", "[a", "^a", "?")


async def test_signs_are_taken_literally(http: httpx.AsyncClient) -> None:
    """Each finds the one that has it, as a name, as a code and inside of a name; none finds another."""
    texts = [text.replace("\\\\", "\\") for text in LITERAL]
    entries = [
        entry("PUT", f"Practitioner/p{place}", practitioner(f"x {text} y", text, id=f"p{place}"))
        for place, text in enumerate(texts)
    ]
    entries.append(entry("PUT", "Practitioner/other", practitioner("ab", "ab", id="other")))
    assert (await http.post("", json=bundle("transaction", *entries))).status_code == 200
    for place, (sign, text) in enumerate(zip(LITERAL, texts, strict=True)):
        escaped = quote(sign.replace("$", "\\$"), safe="")
        assert await found(http, f"Practitioner?identifier={escaped}") == [f"p{place}"], text
        assert await found(http, f"Practitioner?family:exact={quote('x ')}{escaped}{quote(' y')}") == [f"p{place}"], (
            text
        )


@pytest.mark.parametrize("query", ["identifier=%", "identifier=%G1", "identifier=%2", "identifier=%E9", "%FF=1"])
async def test_percent_encoding_that_is_none_is_refused(http: httpx.AsyncClient, query: str) -> None:
    response = await http.get(httpx.URL(f"{http.base_url}Practitioner", query=query.encode()))
    assert response.status_code == 400
    assert response.json()["resourceType"] == "OperationOutcome"


async def test_nul_is_refused(http: httpx.AsyncClient) -> None:
    refused(await http.get("Practitioner?identifier=a%00b"), 400, "query-encoding")


async def test_include_loops_end(http: httpx.AsyncClient) -> None:
    """Organizations that are part of each other ride along once."""
    ring = "abcd"
    entries = [
        entry(
            "PUT",
            f"Organization/{each}",
            organization(id=each, partOf={"reference": f"Organization/{ring[(place + 1) % len(ring)]}"}),
        )
        for place, each in enumerate(ring)
    ]
    assert (await http.post("", json=bundle("transaction", *entries))).status_code == 200
    query = "Organization?_id=a&_include=*&_include:iterate=*&_revinclude=*&_revinclude:iterate=Organization:partof"
    body = (await http.get(query)).json()
    assert body["total"] == 1
    assert sorted(each["resource"]["id"] for each in body["entry"]) == list(ring)


async def test_resource_of_a_url_and_a_version_is_found(http: httpx.AsyncClient) -> None:
    url = "http://example.org/ValueSet/fictif"
    for version in "12":
        body = {"resourceType": "ValueSet", "id": f"v{version}", "url": url, "version": version, "status": "active"}
        assert (await http.put(f"ValueSet/v{version}", json=body)).status_code == 201
    assert await found(http, f"ValueSet?url={url}") == ["v1", "v2"]
    assert await found(http, f"ValueSet?url={url}|2") == ["v2"]
    assert await found(http, f"ValueSet?url={url}|3,{url}|1") == ["v1"]
    assert await found(http, f"ValueSet?url={url}/none|1") == []
    refused(await http.get(f"ValueSet?url={url}|"), 400, "search-value")
