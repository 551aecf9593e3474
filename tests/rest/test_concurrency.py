"""Many at once: exactly one wins, the others are told. https://hl7.org/fhir/R4/http.html#concurrency"""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from tests.rest.asking import SYSTEM, bundle, created, entry, etag, found, practitioner

MANY = 20
MATCH = f"identifier={SYSTEM}|x"


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def test_one_update_of_a_version_wins(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Course"))
    url = f"Practitioner/{made['id']}"
    answers = await asyncio.gather(
        *(
            http.put(url, json=practitioner(f"Course {n}", id=made["id"]), headers={"If-Match": etag(1)})
            for n in range(MANY)
        )
    )
    assert statuses(answers) == {200: 1, 412: MANY - 1}
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    assert (await http.get(url)).json() == winner.json()
    assert (await http.get(f"{url}/_history")).json()["total"] == 2


async def test_one_conditional_create_wins(http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(
            http.post("Practitioner", json=practitioner(f"Course {n}", "x"), headers={"If-None-Exist": MATCH})
            for n in range(MANY)
        )
    )
    assert statuses(answers) == {201: 1, 200: MANY - 1}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await found(http, f"Practitioner?{MATCH}")) == 1


async def test_one_creation_under_an_id_wins(http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(
            http.put("Practitioner/p", json=practitioner(f"C{n}", id="p"), headers={"If-None-Match": "*"})
            for n in range(MANY)
        )
    )
    assert statuses(answers) == {201: 1, 412: MANY - 1}


async def test_conditional_updates_make_one_resource_of_many_versions(http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(http.put(f"Practitioner?{MATCH}", json=practitioner(f"C{n}", "x")) for n in range(MANY))
    )
    told = statuses(answers)
    assert told[201] == 1 and told[201] + told[200] + told[409] == MANY, told
    (id_,) = await found(http, f"Practitioner?{MATCH}")
    total = (await http.get(f"Practitioner/{id_}/_history")).json()["total"]
    assert total == told[200] + told[201]


async def test_updates_without_a_condition_are_all_done(http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(http.put("Practitioner/p", json=practitioner(f"C{n}", id="p")) for n in range(MANY))
    )
    assert statuses(answers) == {201: 1, 200: MANY - 1}
    assert {answer.headers["etag"] for answer in answers} == {etag(version) for version in range(1, MANY + 1)}


@pytest.mark.parametrize("type_", ["batch", "transaction"])
async def test_conditional_creates_of_several_bundles_are_one(http: httpx.AsyncClient, type_: str) -> None:
    body = bundle(type_, entry("POST", "Practitioner", practitioner("Course", "x"), ifNoneExist=MATCH))
    answers = await asyncio.gather(*(http.post("", json=body) for _ in range(8)))
    assert statuses(answers) == {200: 8}
    told = Counter(answer.json()["entry"][0]["response"]["status"] for answer in answers)
    assert told == {"201 Created": 1, "200 OK": 7}
    assert len(await found(http, f"Practitioner?{MATCH}")) == 1


async def test_patches_at_once_lose_nothing(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p", telecom=[{"system": "phone", "value": "0"}]))
    headers = {"Content-Type": "application/json-patch+json"}
    answers = await asyncio.gather(
        *(
            http.patch(
                "Practitioner/p",
                json=[{"op": "add", "path": "/telecom/-", "value": {"system": "phone", "value": f"v{n}"}}],
                headers=headers,
            )
            for n in range(8)
        )
    )
    done = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert statuses(answers).keys() <= {200, 409}
    values = {item["value"] for item in (await http.get("Practitioner/p")).json()["telecom"]}
    assert values == {"0", *(f"v{n}" for n in done)}


async def test_transfers_between_two_resources_keep_their_sum(http: httpx.AsyncClient) -> None:
    """Transactions that read versions and write both resources, or neither."""
    for id_ in ("a", "b"):
        await http.put(f"Practitioner/{id_}", json=practitioner("0", id=id_))

    async def both(number: int) -> int:
        puts = [
            entry("PUT", f"Practitioner/{id_}", practitioner(str(number), id=id_), ifMatch=etag(1))
            for id_ in ("a", "b")
        ]
        return (await http.post("", json=bundle("transaction", *puts))).status_code

    assert Counter(await asyncio.gather(*map(both, range(1, MANY + 1)))) == {200: 1, 412: MANY - 1}
    a, b = [(await http.get(f"Practitioner/{id_}")).json() for id_ in ("a", "b")]
    assert a["name"] == b["name"] != [{"family": "0"}]


async def test_cancelled_client_leaves_the_server_well(http: httpx.AsyncClient) -> None:
    tasks = [
        asyncio.create_task(http.put(f"Practitioner/p{n}", json=practitioner(f"C{n}", id=f"p{n}"))) for n in range(MANY)
    ]
    for n, task in enumerate(tasks):
        if n % 2:
            await asyncio.sleep(0.001)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for n in range(0, MANY, 2):
        assert (await http.get(f"Practitioner/p{n}")).status_code == 200
    assert (await http.post("Practitioner", json=practitioner())).status_code == 201
    total = (await http.get("Practitioner?_summary=count")).json()["total"]
    entries = (await http.get("_history?_count=100")).json()["entry"]
    assert total == len(entries), "a commit is whole or was never"
