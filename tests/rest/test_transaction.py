"""transaction: all or nothing, processing order, identity. https://hl7.org/fhir/R4/http.html#trules"""

from __future__ import annotations

import asyncio
import gc

import httpx
import pytest

from tests.rest.asking import (
    BASE,
    SYSTEM,
    Json,
    bundle,
    created,
    done,
    entry,
    etag,
    expressions,
    found,
    organization,
    place,
    post,
    practitioner,
    refused,
    role,
    status,
    urn,
)

MATCH = f"Practitioner?identifier={SYSTEM}|x"


async def test_a_transaction_is_one_commit(http: httpx.AsyncClient) -> None:
    answers = await done(http, "transaction", *(entry("POST", "Organization", organization(f"O{n}")) for n in range(5)))
    assert len({answer["response"]["lastModified"] for answer in answers}) == 1
    following = (await http.get("_history?_after=0&_count=3")).json()["link"][-1]
    assert following["relation"] == "next" and ".1.2&" in following["url"]


async def test_answers_come_in_the_order_of_the_request(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/a", json=practitioner("A", id="a"))
    await http.put("Practitioner/b", json=practitioner("B", id="b"))
    answers = await done(
        http,
        "transaction",
        entry("PUT", "Practitioner/a", practitioner("A2", id="a")),
        entry("POST", "Practitioner", practitioner("C")),
        entry("DELETE", "Practitioner/b"),
        entry("PUT", "Practitioner/d", practitioner("D", id="d")),
    )
    assert [answer["response"]["status"] for answer in answers] == [
        "200 OK",
        "201 Created",
        "204 No Content",
        "201 Created",
    ]
    assert [answer["response"].get("etag") for answer in answers] == [etag(2), etag(1), etag(2), etag(1)]
    assert place(answers[0]) == "Practitioner/a" and place(answers[3]) == "Practitioner/d"


async def test_deletions_come_first_then_creates_then_updates(http: httpx.AsyncClient) -> None:
    old = await created(http, practitioner("Ancien", "x"))
    answers = await done(
        http,
        "transaction",
        entry("POST", "Practitioner", practitioner("Neuf", "x"), ifNoneExist=f"identifier={SYSTEM}|x"),
        entry("DELETE", f"Practitioner/{old['id']}"),
    )
    assert [status(answer) for answer in answers] == [201, 204]
    assert await found(http, MATCH) == [place(answers[0]).partition("/")[2]]


@pytest.mark.parametrize(
    ("wrong", "expected", "path"),
    [
        (
            entry("POST", "Organization", {"resourceType": "Organization", "active": True}),
            422,
            "Bundle.entry[1].resource",
        ),
        (entry("PUT", "Practitioner/p", practitioner(id="q")), 400, "Bundle.entry[1].resource.id"),
        (entry("PUT", "Practitioner/p", practitioner(id="p"), ifMatch=etag(7)), 412, "Bundle.entry[1].request.ifMatch"),
        (entry("DELETE", "Practitioner/p", ifMatch=etag(7)), 412, "Bundle.entry[1].request.ifMatch"),
        (
            entry("PUT", "Practitioner/p", practitioner(id="p"), ifNoneMatch="*"),
            412,
            "Bundle.entry[1].request.ifNoneMatch",
        ),
        (entry("PUT", "Practitioner?family=two", practitioner("two")), 412, "Bundle.entry[1]"),
        (entry("POST", "Practitioner", practitioner("two"), ifNoneExist="family=two"), 412, "Bundle.entry[1]"),
        (entry("GET", "Practitioner/never"), 404, "Bundle.entry[1].request.url"),
        (entry("GET", "Practitioner/gone"), 410, "Bundle.entry[1].request.url"),
        (entry("GET", "Practitioner/p/_history/9"), 404, "Bundle.entry[1].request.url"),
        (entry("GET", "Practitioner/gone/_history/2"), 410, "Bundle.entry[1].request.url"),
    ],
)
async def test_one_refusal_refuses_the_whole(http: httpx.AsyncClient, wrong: Json, expected: int, path: str) -> None:
    await http.put("Practitioner/p", json=practitioner("Intact", id="p"))
    await http.put("Practitioner/gone", json=practitioner(id="gone"))
    await http.delete("Practitioner/gone")
    for _ in range(2):
        await created(http, practitioner("two"))
    before = (await http.get("_history")).json()["entry"]
    for others in ([entry("POST", "Practitioner", practitioner("Reste"))], []):
        response = await post(http, "transaction", others[0] if others else wrong, *([wrong] if others else []))
        assert response.status_code == expected, response.text
        assert expressions(response) == [path if others else path.replace("[1]", "[0]")]
    assert (await http.get("_history")).json()["entry"] == before


PUT = entry("PUT", "Practitioner/p", practitioner("Changé", "x", id="p"))


@pytest.mark.parametrize(
    "overlap",
    [
        [PUT, PUT],
        [PUT, entry("DELETE", "Practitioner/p")],
        [PUT, entry("DELETE", MATCH)],
        [PUT, entry("PUT", MATCH, practitioner("Autre", "x"))],
        [entry("DELETE", "Practitioner/p"), entry("DELETE", MATCH)],
        [entry("DELETE", MATCH), entry("DELETE", MATCH)],
        [entry("PUT", MATCH, practitioner("A", "x")), entry("PUT", MATCH, practitioner("B", "x"))],
        [
            PUT,
            entry(
                "PATCH",
                "Practitioner/p",
                {
                    "resourceType": "Parameters",
                    "parameter": [
                        {
                            "name": "operation",
                            "part": [
                                {"name": "type", "valueCode": "delete"},
                                {"name": "path", "valueString": "Practitioner.name"},
                            ],
                        }
                    ],
                },
            ),
        ],
    ],
)
async def test_a_resource_stands_in_a_transaction_once(http: httpx.AsyncClient, overlap: list[Json]) -> None:
    made = (await http.put("Practitioner/p", json=practitioner("Intact", "x", id="p"))).json()
    response = await post(http, "transaction", *overlap)
    refused(response, 400, "transaction-overlap")
    assert expressions(response) == ["Bundle.entry[1]"] or expressions(response) == ["Bundle.entry[0]"]
    assert (await http.get("Practitioner/p")).json() == made


async def test_two_updates_by_criteria_that_match_nothing_are_of_one_resource(http: httpx.AsyncClient) -> None:
    twice = [entry("PUT", MATCH, practitioner(name, "x")) for name in ("A", "B")]
    refused(await post(http, "transaction", *twice), 400, "transaction-overlap")
    mixed = [
        entry("POST", "Practitioner", practitioner("A", "x"), ifNoneExist=f"identifier={SYSTEM}|x"),
        entry("PUT", MATCH, practitioner("B", "x")),
    ]
    refused(await post(http, "transaction", *mixed), 400, "transaction-overlap")
    assert await found(http, "Practitioner") == []


async def test_two_creates_by_the_same_criteria_are_one(http: httpx.AsyncClient) -> None:
    same = entry("POST", "Practitioner", practitioner("Unique", "x"), ifNoneExist=f"identifier={SYSTEM}|x")
    answers = await done(http, "transaction", same, same)
    assert [status(answer) for answer in answers] == [201, 200]
    assert place(answers[0]) == place(answers[1])


async def test_an_id_of_the_client_can_be_referred_to(http: httpx.AsyncClient) -> None:
    answers = await done(
        http,
        "transaction",
        entry("POST", "PractitionerRole", role("Practitioner/mine")),
        entry("PUT", "Practitioner/mine", practitioner(id="mine")),
    )
    made = (await http.get(place(answers[0]))).json()
    assert made["practitioner"] == {"reference": "Practitioner/mine"}


@pytest.mark.parametrize(
    ("prefer", "has_resource", "has_outcome"),
    [
        (None, False, False),
        ("return=minimal", False, False),
        ("return=representation", True, False),
        ("return=OperationOutcome", False, True),
    ],
)
async def test_prefer_tells_what_entries_answer(
    http: httpx.AsyncClient, prefer: str | None, has_resource: bool, has_outcome: bool
) -> None:
    body = bundle("transaction", entry("POST", "Practitioner", practitioner()))
    answer = (await http.post("", json=body, headers={"Prefer": prefer} if prefer else {})).json()["entry"][0]
    assert ("resource" in answer) == has_resource
    assert ("outcome" in answer["response"]) == has_outcome


async def test_update_without_a_change_is_no_change(http: httpx.AsyncClient) -> None:
    made = (await http.put("Practitioner/p", json=practitioner(id="p"))).json()
    (answer,) = await done(http, "transaction", entry("PUT", "Practitioner/p", practitioner(id="p")))
    assert (status(answer), answer["response"]["etag"]) == (200, etag(1))
    assert (await http.get("Practitioner/p")).json() == made


async def test_criteria_cannot_name_an_entry_by_its_urn(http: httpx.AsyncClient) -> None:
    response = await post(
        http,
        "transaction",
        entry("POST", "Practitioner", practitioner(), urn(1)),
        entry("PUT", f"PractitionerRole?practitioner={urn(1)}", role(urn(1))),
    )
    refused(response, 400, "criteria-urn")
    assert expressions(response) == ["Bundle.entry[1].request"]


async def test_five_thousand_slots_are_one_transaction_and_let_others_read(http: httpx.AsyncClient) -> None:
    await http.put("Schedule/s", json={"resourceType": "Schedule", "id": "s", "actor": [{"display": "Fictif"}]})
    slot = {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/s"},
        "status": "free",
        "start": "2026-02-05T08:00:00Z",
        "end": "2026-02-05T08:20:00Z",
        "comment": "x" * 900,
    }
    slots = [entry("POST", "Slot", slot, urn(n)) for n in range(5_000)]
    writing = asyncio.create_task(http.post("", json=bundle("transaction", *slots)))
    await asyncio.sleep(0)
    reads = 0
    while not writing.done():
        assert (await http.get("Schedule/s")).status_code == 200
        reads += 1
        await asyncio.sleep(0.01)
    response = await writing
    assert response.status_code == 200, response.text
    assert len(response.json()["entry"]) == 5_000
    assert (await http.get("Slot?_summary=count")).json()["total"] == 5_000
    assert reads > 10, f"only {reads} reads were answered meanwhile"


async def test_absolute_urls_below_our_base_are_ours(http: httpx.AsyncClient) -> None:
    answers = await done(http, "transaction", entry("PUT", f"{BASE}/Practitioner/p", practitioner(id="p")))
    assert place(answers[0]) == "Practitioner/p"


async def test_what_a_transaction_held_is_free_once_it_is_answered(http: httpx.AsyncClient) -> None:
    """A cycle would keep thousands of resources until a collection, which stops every thread for half a second."""
    entries = [
        entry("POST", "Practitioner", practitioner("A"), urn(1)),
        entry("POST", "PractitionerRole", role(urn(1))),
    ]
    await done(http, "transaction", *entries)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await done(http, "transaction", *entries)
        gc.collect()
        held = {type(one).__name__ for one in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not held & {"OwnEntries", "KnownResources", "Known", "Draft", "Key"}


@pytest.mark.parametrize(("version", "status"), [(1, 200), (2, 412)])
async def test_patch_of_a_version(http: httpx.AsyncClient, version: int, status: int) -> None:
    await http.put("Practitioner/p", json=practitioner("Avant", id="p"))
    operation = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Practitioner.name[0].family"},
        {"name": "value", "valueString": "Après"},
    ]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": operation}]}
    response = await http.post(
        "",
        json=bundle(
            "transaction",
            entry("PATCH", "Practitioner/p", patch, ifMatch=etag(version)),
            entry("POST", "Practitioner", practitioner("Deux")),
            entry("GET", "Practitioner/p"),
        ),
    )
    assert response.status_code == status
    people = await found(http, "Practitioner?family=apr%C3%A8s,deux")
    if status == 200:
        assert response.json()["entry"][2]["resource"]["name"] == [{"family": "Après"}]
        assert len(people) == 2
    else:
        assert expressions(response) == ["Bundle.entry[0].request.ifMatch"] and people == []
