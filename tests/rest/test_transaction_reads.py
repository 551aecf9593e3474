"""Reads in a transaction see what it has done. https://hl7.org/fhir/R4/http.html#trules"""

from __future__ import annotations

import httpx
import pytest

from tests.rest.asking import (
    created,
    done,
    entry,
    etag,
    expressions,
    found,
    post,
    practitioner,
    refused,
    status,
)


async def test_read_sees_the_update_beside_it_whatever_the_order(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("Avant", id="p"))
    answers = await done(
        http,
        "transaction",
        entry("GET", "Practitioner/p"),
        entry("PUT", "Practitioner/p", practitioner("Après", id="p")),
        entry("GET", "Practitioner/p/_history/1"),
        entry("GET", "Practitioner/p/_history/2"),
        entry("HEAD", "Practitioner/p"),
    )
    assert answers[0]["resource"]["name"] == [{"family": "Après"}]
    assert answers[0]["response"]["etag"] == etag(2)
    assert answers[2]["resource"]["name"] == [{"family": "Avant"}]
    assert answers[3]["resource"] == answers[0]["resource"]
    assert answers[0]["response"]["lastModified"] == answers[1]["response"]["lastModified"]
    assert answers[0]["resource"] == (await http.get("Practitioner/p")).json()


@pytest.mark.parametrize("type_", ["batch", "transaction"])
@pytest.mark.parametrize("url", ["Practitioner/p", "Practitioner?_id=p", "Practitioner/p/_history", "metadata"])
async def test_head_is_answered_without_a_resource(http: httpx.AsyncClient, type_: str, url: str) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    got, head = await done(http, type_, entry("GET", url), entry("HEAD", url))
    assert "resource" in got
    assert head == {"response": got["response"]}


async def test_search_and_history_see_what_was_written(http: httpx.AsyncClient) -> None:
    await created(http, practitioner("Avant"))
    answers = await done(
        http,
        "transaction",
        entry("GET", "Practitioner?family=neuf"),
        entry("GET", "Practitioner/_history"),
        entry("GET", "metadata"),
        entry("POST", "Practitioner", practitioner("Neuf")),
    )
    assert answers[0]["resource"]["total"] == 1
    assert len(answers[1]["resource"]["entry"]) == 2
    assert answers[2]["resource"]["resourceType"] == "CapabilityStatement"


async def test_read_of_what_the_transaction_deletes_fails_it(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    response = await post(http, "transaction", entry("GET", "Practitioner/p"), entry("DELETE", "Practitioner/p"))
    refused(response, 410, "resource-deleted")
    assert response.headers["etag"] == etag(2)
    assert expressions(response) == ["Bundle.entry[0].request.url"]
    assert (await http.get("Practitioner/p")).status_code == 200


async def test_history_that_fails_after_the_commit_is_that_entrys_own(http: httpx.AsyncClient) -> None:
    answers = await done(
        http,
        "transaction",
        entry("POST", "Practitioner", practitioner("Neuf")),
        entry("GET", "Practitioner/never/_history"),
    )
    assert [status(answer) for answer in answers] == [201, 404]
    assert len(await found(http, "Practitioner")) == 1


async def test_conditions_and_subsets_of_reads(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p", gender="male"))
    answers = await done(
        http,
        "transaction",
        entry("GET", "Practitioner/p", ifNoneMatch=etag(1)),
        entry("GET", "Practitioner/p", ifModifiedSince="2015-01-05T08:00:00Z"),
        entry("GET", "Practitioner/p?_elements=gender"),
        entry("GET", "Practitioner/p/_history/1?_elements=gender"),
    )
    assert [status(answer) for answer in answers] == [304, 200, 200, 200]
    assert "resource" not in answers[0]
    assert "name" not in answers[2]["resource"] and answers[2]["resource"]["gender"] == "male"


@pytest.mark.parametrize("url", ["Practitioner/p", "Practitioner/p/_history/1", "Practitioner", "_history"])
async def test_transaction_of_reads_alone_writes_nothing(http: httpx.AsyncClient, url: str) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    before = (await http.get("_history")).json()["entry"]
    (answer,) = await done(http, "transaction", entry("GET", url))
    assert status(answer) == 200
    assert (await http.get("_history")).json()["entry"] == before


async def test_what_a_search_would_be_refused_for_is_found_before_anything_is_written(http: httpx.AsyncClient) -> None:
    for url in ("Practitioner?nam=x", "Practitioner?_cursor=x&_cursor=y", "_history?_since=x", "Slot?start=hier"):
        write = entry("POST", "Practitioner", practitioner())
        response = await post(http, "transaction", write, entry("GET", url))
        assert response.status_code == 400, response.text
        assert expressions(response) == ["Bundle.entry[1].request.url"]
    assert await found(http, "Practitioner") == []
