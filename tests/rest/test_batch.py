"""batch. https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import httpx

from tests.rest.asking import (
    BASE,
    SYSTEM,
    bundle,
    created,
    done,
    entry,
    etag,
    found,
    ids,
    place,
    practitioner,
    role,
    status,
    urn,
)


async def test_entries_are_answered_in_the_order_of_the_request(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Là"))
    url = f"Practitioner/{made['id']}"
    answers = await done(
        http,
        "batch",
        entry("GET", url),
        entry("POST", "Practitioner", practitioner("Neuf")),
        entry("PUT", url, practitioner("Après", id=made["id"])),
        entry("GET", "Practitioner?family=apres"),
        entry("DELETE", url),
        entry("GET", url),
        entry("HEAD", "Practitioner/never"),
        entry("GET", f"{url}/_history"),
        entry("GET", "metadata"),
    )
    assert [status(answer) for answer in answers] == [200, 201, 200, 200, 204, 410, 404, 200, 200]
    assert answers[0]["resource"] == made
    assert answers[1]["resource"]["name"] == [{"family": "Neuf"}]
    assert answers[3]["resource"]["total"] == 1
    assert answers[5]["response"]["etag"] == etag(3)
    assert len(answers[7]["resource"]["entry"]) == 3


async def test_each_write_tells_its_place_version_and_date(http: httpx.AsyncClient) -> None:
    (answer,) = await done(http, "batch", entry("POST", "Practitioner", practitioner()))
    assert answer["response"]["status"] == "201 Created"
    assert answer["response"]["etag"] == etag(1)
    assert answer["response"]["location"] == f"{BASE}/Practitioner/{answer['resource']['id']}/_history/1"
    assert answer["response"]["lastModified"] == answer["resource"]["meta"]["lastUpdated"]


async def test_each_failing_entry_has_one_outcome(http: httpx.AsyncClient) -> None:
    answers = await done(
        http,
        "batch",
        entry("POST", "Organization", {"resourceType": "Organization", "active": True}),
        entry("PUT", "Practitioner/p", practitioner(id="p"), ifMatch=etag(1)),
        entry("PATCH", "Practitioner/never", {"resourceType": "Parameters"}),
    )
    assert [status(answer) for answer in answers] == [422, 412, 404]
    assert [ids(answer["response"]["outcome"]) for answer in answers[:2]] == [["invariant-org-1"], ["precondition"]]
    assert all("resource" not in answer for answer in answers)


async def test_conditions_of_an_entry_work_as_the_headers_do(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("Avant", "x", id="p"))
    await http.put("Practitioner/p", json=practitioner("Après", "x", id="p"))
    answers = await done(
        http,
        "batch",
        entry("POST", "Practitioner", practitioner("Double", "x"), ifNoneExist=f"identifier={SYSTEM}|x"),
        entry("PUT", "Practitioner/p", practitioner("Perdu", "x", id="p"), ifMatch=etag(1)),
        entry("PUT", "Practitioner/p", practitioner("Là", "x", id="p"), ifNoneMatch="*"),
        entry("GET", "Practitioner/p", ifNoneMatch=etag(2)),
        entry("GET", "Practitioner/p", ifModifiedSince="2027-01-05T08:00:00Z"),
        entry("GET", "Practitioner/p", ifModifiedSince="2015-01-05T08:00:00+01:00"),
        entry("DELETE", f"Practitioner?identifier={SYSTEM}|x", ifMatch=etag(1)),
    )
    assert [status(answer) for answer in answers] == [200, 412, 412, 304, 304, 200, 412]
    assert (await http.get("Practitioner/p")).json()["name"] == [{"family": "Après"}]


async def test_urls_may_be_absolute_below_our_bases(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    urls = (f"{BASE}/Practitioner/p", "http://localhost:8080/fhir/Practitioner/p", "/Practitioner/p")
    answers = await done(http, "batch", *(entry("GET", url) for url in urls))
    assert [status(answer) for answer in answers] == [200, 200, 200]


async def test_prefer_of_the_bundle_is_that_of_its_entries(http: httpx.AsyncClient) -> None:
    body = bundle("batch", entry("POST", "Practitioner", practitioner()))
    minimal = (await http.post("", json=body, headers={"Prefer": "return=minimal"})).json()["entry"][0]
    assert "resource" not in minimal and "outcome" not in minimal["response"]
    told = (await http.post("", json=body, headers={"Prefer": "return=OperationOutcome"})).json()["entry"][0]
    assert told["response"]["outcome"]["resourceType"] == "OperationOutcome" and "resource" not in told


async def test_entry_that_refers_to_one_created_beside_it_is_refused(http: httpx.AsyncClient) -> None:
    answers = await done(
        http,
        "batch",
        entry("POST", "Practitioner", practitioner(), urn(1)),
        entry("POST", "PractitionerRole", role(urn(1))),
        entry("POST", "PractitionerRole", role("Practitioner/elsewhere")),
    )
    assert [status(answer) for answer in answers] == [201, 400, 201]
    assert ids(answers[1]["response"]["outcome"]) == ["batch-dependency"]


async def test_reference_by_criteria_is_for_transactions(http: httpx.AsyncClient) -> None:
    await created(http, practitioner("Cible", "x"))
    conditional = role(f"Practitioner?identifier={SYSTEM}|x")
    (answer,) = await done(http, "batch", entry("POST", "PractitionerRole", conditional))
    assert status(answer) in {400, 422}
    assert ids(answer["response"]["outcome"]) == ["reference-conditional"]


async def test_the_same_resource_may_be_written_twice(http: httpx.AsyncClient) -> None:
    puts = [entry("PUT", "Practitioner/p", practitioner(f"V{n}", id="p")) for n in range(3)]
    answers = await done(http, "batch", *puts)
    assert sorted(answer["response"]["etag"] for answer in answers) == [etag(1), etag(2), etag(3)]


async def test_two_conditional_creates_of_one_batch_are_one(http: httpx.AsyncClient) -> None:
    same = entry("POST", "Practitioner", practitioner("Unique", "x"), ifNoneExist=f"identifier={SYSTEM}|x")
    answers = await done(http, "batch", *[same] * 8)
    assert sorted(status(answer) for answer in answers) == [200] * 7 + [201]
    assert len({place(answer) for answer in answers}) == 1
    assert len(await found(http, "Practitioner")) == 1


async def test_search_by_post_in_an_entry_takes_the_parameters_of_its_url(http: httpx.AsyncClient) -> None:
    await created(http, practitioner("Cherché"))
    (answer,) = await done(http, "batch", entry("POST", "Practitioner/_search?family=cherche"))
    assert status(answer) == 200
    assert answer["resource"]["total"] == 1


async def test_batch_of_many_entries(http: httpx.AsyncClient) -> None:
    many = [entry("PUT", f"Practitioner/p{n}", practitioner(f"N{n}", id=f"p{n}")) for n in range(300)]
    many.insert(150, {"request": {"method": "PUT", "url": "Practitioner/p"}, "foo": 1})
    answers = await done(http, "batch", *many)
    assert [status(answer) for answer in answers].index(400) == 150
    assert sum(status(answer) == 201 for answer in answers) == 300
