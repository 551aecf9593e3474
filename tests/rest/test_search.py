"""search over HTTP: at each level, by GET and POST, in pages. https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.rest.asking import BASE, Json, created, expressions, found, link, organization, practitioner, refused, role
from tests.rest.conftest import Server


async def people(http: httpx.AsyncClient, count: int) -> list[str]:
    return [(await created(http, practitioner(f"Nom{n:02}", f"v{n}")))["id"] for n in range(count)]


async def all_pages(http: httpx.AsyncClient, url: str, relation: str = "next") -> list[str]:
    """Return the ids of the matches of all pages, following the links."""
    found_: list[str] = []
    following: str | None = url
    while following is not None:
        response = await http.get(following)
        assert response.status_code == 200, response.text
        found_ += [item["resource"]["id"] for item in response.json().get("entry", ())]
        following = link(response, relation)
        assert len(found_) < 1_000
    return found_


async def test_get_and_post_find_the_same(http: httpx.AsyncClient) -> None:
    ids = await people(http, 3)
    answers = [
        await http.get("Practitioner?family=nom01"),
        await http.post("Practitioner/_search", data={"family": "nom01"}),
        await http.post("Practitioner/_search?family=nom01"),
        await http.post("Practitioner/_search?family=nom", data={"identifier": "v1"}),
        await http.get(f"?_type=Practitioner&_id={ids[1]}"),
        await http.post("_search", data={"_type": "Practitioner", "_id": ids[1]}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        (item,) = answer.json()["entry"]
        assert item["resource"]["id"] == ids[1]
        assert item["fullUrl"] == f"{BASE}/Practitioner/{ids[1]}"
        assert item["search"] == {"mode": "match"}


async def test_self_link_says_what_was_understood_and_can_be_followed(http: httpx.AsyncClient) -> None:
    await people(http, 3)
    posted = await http.post("Practitioner/_search?_sort=-family", data={"family": "nom", "_count": "2"})
    self_link = link(posted, "self") or ""
    assert parse_qsl(urlsplit(self_link).query) == [("_sort", "-family"), ("family", "nom"), ("_count", "2")]
    again = await http.get(self_link)
    assert again.json()["entry"] == posted.json()["entry"]


async def test_links_hold_only_what_a_uri_may(http: httpx.AsyncClient) -> None:
    """Java's URI, with which HAPI's client reads a link, takes no bar. https://www.rfc-editor.org/rfc/rfc3986#appendix-A"""
    await created(http, practitioner("Nom", "v1"))
    await created(http, practitioner("Nom", "v1"))
    query = {
        "identifier": "urn:oid:1|v1,urn:oid:2|v1,|v1,v1",
        "family:contains": 'n"<>[]{}^`\\é %#&+o,n',
        "_count": "1",
    }
    answer = await http.get("Practitioner", params=query)
    self_link = link(answer, "self") or ""
    uri = r"[a-z]+://[^/]+/[A-Za-z/]+\?([A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-F]{2})*"
    assert re.fullmatch(uri, self_link), self_link
    assert dict(parse_qsl(urlsplit(self_link).query)) == query


@pytest.mark.parametrize("query", ["", "?_count=1", "?_count=3", "?_sort=-family&_count=2", "?_sort=gender&_count=2"])
async def test_pages_hold_each_match_once(http: httpx.AsyncClient, query: str) -> None:
    ids = await people(http, 7)
    matches = await all_pages(http, f"Practitioner{query}")
    assert sorted(matches) == sorted(ids)
    if "-family" in query:
        assert matches == ids[::-1]


async def test_previous_pages_lead_back(http: httpx.AsyncClient) -> None:
    ids = await people(http, 5)
    first = await http.get("Practitioner?_count=2")
    second = await http.get(link(first, "next") or "")
    back = await http.get(link(second, "prev") or "")
    assert back.json()["entry"] == first.json()["entry"]
    assert [item["resource"]["id"] for item in second.json()["entry"]] == ids[2:4]


async def test_pages_of_a_post_are_followed_by_get(http: httpx.AsyncClient) -> None:
    ids = await people(http, 3)
    first = await http.post("Practitioner/_search", data={"family": "nom", "_count": "2"})
    second = await http.get(link(first, "next") or "")
    assert [item["resource"]["id"] for item in second.json()["entry"]] == ids[2:]


async def test_cursor_of_another_question_is_refused(http: httpx.AsyncClient) -> None:
    await people(http, 3)
    following = link(await http.get("Practitioner?_count=1"), "next") or ""
    cursor = dict(parse_qsl(urlsplit(following).query))["_cursor"]
    for forged in (cursor[:-2] + "xx", "x", "", cursor * 2):
        response = await http.get("Practitioner", params={"_count": "1", "_cursor": forged})
        assert response.status_code in {400, 410}, response.text
    for other in ("Organization?_count=1", "Practitioner?family=nom01&_count=1"):
        response = await http.get(f"{other}&_cursor={cursor}")
        assert response.status_code in {400, 410}, response.text
    refused(await http.get(f"{following}&_cursor={cursor}"), 400, "cursor")


async def test_total_is_told_and_never_wrong(http: httpx.AsyncClient) -> None:
    await people(http, 3)
    for query, total in (("", 3), ("_count=1", 3), ("_summary=count", 3), ("_count=0", 3), ("family=nom02", 1)):
        response = await http.get(f"Practitioner?{query}")
        assert response.json()["total"] == total
    assert "entry" not in (await http.get("Practitioner?_summary=count")).json()
    assert "entry" not in (await http.get("Practitioner?family=nobody")).json()


async def test_all_wrong_parameters_are_told_at_once(http: httpx.AsyncClient) -> None:
    response = await http.get("Practitioner?nam=x&birthdat=y&_count=z&_sort=nothing&_include=Practitioner:nothing")
    assert response.status_code == 400
    assert {"http.nam", "http.birthdat", "http._count", "http._sort", "http._include"} <= set(expressions(response))


async def test_code_that_does_not_exist_finds_nothing(http: httpx.AsyncClient) -> None:
    await people(http, 1)
    assert await found(http, "Practitioner?gender=femme") == []


async def test_includes_come_beside_the_matches(http: httpx.AsyncClient) -> None:
    who = await created(http, practitioner("Inclus"))
    where = await created(http, organization("Maison"))
    what = await created(
        http, role(f"Practitioner/{who['id']}", organization={"reference": f"Organization/{where['id']}"})
    )
    response = await http.get(
        "PractitionerRole?_include=PractitionerRole:practitioner&_include=PractitionerRole:organization"
    )
    modes = {item["resource"]["id"]: item["search"]["mode"] for item in response.json()["entry"]}
    assert modes == {what["id"]: "match", who["id"]: "include", where["id"]: "include"}
    assert response.json()["total"] == 1


async def test_compartment_holds_what_is_about_one_practitioner(http: httpx.AsyncClient) -> None:
    one, other = [await created(http, practitioner(name)) for name in ("Un", "Deux")]
    mine = await created(http, role(f"Practitioner/{one['id']}", active=True))
    await created(http, role(f"Practitioner/{other['id']}"))
    for url in (f"Practitioner/{one['id']}/PractitionerRole", f"Practitioner/{one['id']}/PractitionerRole?active=true"):
        assert await found(http, url) == [mine["id"]]
    posted = await http.post(f"Practitioner/{one['id']}/PractitionerRole/_search", data={"active": "true"})
    assert posted.json()["total"] == 1
    assert mine["id"] in await found(http, f"Practitioner/{one['id']}/*")
    refused(await http.get(f"Practitioner/{one['id']}/Praktitioner"), 404, "type-unknown")
    refused(await http.get(f"Practitioner/{one['id']}/PractitionerRole?nam=x"), 400, "search-parameter-unknown")


@pytest.mark.parametrize("body", [b"family=%FF", b"family=\xff", b"family=%00", b"\xff\xfe"])
async def test_form_that_is_not_utf8_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(await http.post("Practitioner/_search", content=body, headers=headers), 400, "query-encoding")


async def test_letters_of_a_form_are_utf8(http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Élodie d’Arc"))
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    for body in ("family:exact=Élodie+d’Arc", "family:exact=%C3%89lodie%20d%E2%80%99Arc"):
        response = await http.post("Practitioner/_search", content=body.encode(), headers=headers)
        assert response.json()["entry"][0]["resource"]["id"] == made["id"]


async def slots(http: httpx.AsyncClient, *starts: str) -> None:
    """Write an agenda's slots of a quarter of an hour; each is called by its number."""
    await http.put("Schedule/s", json={"resourceType": "Schedule", "id": "s", "actor": [{"display": "X"}]})
    for number, start in enumerate(starts):
        slot = {"schedule": {"reference": "Schedule/s"}, "status": "free", "start": start, "end": start}
        response = await http.put(f"Slot/{number}", json={"resourceType": "Slot", "id": str(number), **slot})
        assert response.status_code == 201, response.text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("start=2031-10-26T02:30", ["1", "2"]),
        ("start=ge2031-10-26T02:30", ["1", "2", "3"]),
        ("start=gt2031-10-26T02:30", ["3"]),
        ("start=le2031-10-26T02:30", ["0", "1", "2"]),
        ("start=lt2031-10-26T02:30", ["0"]),
        ("start=ne2031-10-26T02:30", ["0", "3"]),
        ("start=2031-10-26T02:30%2B02:00", ["1"]),
        ("start=2031-10-26T02:30%2B01:00", ["2"]),
        ("start=ge2031-10-26T02:30&start=le2031-10-26T02:30", ["1", "2"]),
    ],
)
async def test_hour_that_comes_twice_is_meant_both_times(
    http: httpx.AsyncClient, query: str, expected: list[str]
) -> None:
    await slots(
        http, *(f"2031-10-26T0{time}" for time in ("1:30:00+02:00", "2:30:00+02:00", "2:30:00+01:00", "3:30:00+01:00"))
    )
    assert await found(http, f"Slot?{query}") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("start=2031-03-30T02:30", []),
        ("start=ne2031-03-30T02:30", ["0", "1", "2"]),
        ("start=ge2031-03-30T02:30", ["1", "2"]),
        ("start=gt2031-03-30T02:30", ["1", "2"]),
        ("start=le2031-03-30T02:30", ["0"]),
        ("start=lt2031-03-30T02:30", ["0"]),
        ("start=ge2031-03-30T02:30&start=lt2031-03-30T03:15", ["1"]),
        ("start=ge2031-03-30T01:30&start=le2031-03-30T02:45", ["0"]),
    ],
)
async def test_hour_that_is_skipped_is_the_instant_of_the_change(
    http: httpx.AsyncClient, query: str, expected: list[str]
) -> None:
    await slots(http, "2031-03-30T01:45:00+01:00", "2031-03-30T03:00:00+02:00", "2031-03-30T03:30:00+02:00")
    assert await found(http, f"Slot?{query}") == expected


async def test_self_link_of_a_bare_plus_finds_the_same(http: httpx.AsyncClient) -> None:
    await slots(http, "2031-05-14T08:00:00+02:00", "2031-05-14T08:15:00+02:00")
    answer = await http.get(
        f"{BASE}/Slot?start=ge2031-05-14T08:10:00.000+02:00&start=le2031-05-14T09:00:00.000%2B02:00"
    )
    assert answer.json()["total"] == 1
    self_link = link(answer, "self") or ""
    assert self_link.count("%2B02:00") == 2
    assert "%20" not in self_link
    assert (await http.get(self_link)).json()["entry"] == answer.json()["entry"]


async def test_boolean_may_be_named_with_its_system(http: httpx.AsyncClient) -> None:
    active = (await created(http, practitioner("Actif", active=True)))["id"]
    await created(http, practitioner("Inactif", active=False))
    for system in ("http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values", ""):
        assert await found(http, f"Practitioner?active={system}|true") == [active]
    refused(await http.get("Practitioner?active=http://example.org|true"), 400, "search-value")


async def test_element_that_only_says_why_it_has_no_value_is_missing(http: httpx.AsyncClient) -> None:
    unknown = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    known = await created(http, {"resourceType": "Patient", "birthDate": "1970-01-01", "gender": "female"})
    absent = await created(http, {"resourceType": "Patient", "_birthDate": unknown, "name": [unknown]})
    for code in ("birthdate", "name", "gender"):
        assert absent["id"] in await found(http, f"Patient?{code}:missing=true")
    assert await found(http, "Patient?birthdate:missing=false") == [known["id"]]


def contained_world() -> list[Json]:
    """Agendas and slots that hold whom they refer to, beside those that refer to others."""
    inside = {**practitioner("Dedans", "v-in"), "id": "p"}
    agenda = {"resourceType": "Schedule", "id": "s", "actor": [{"reference": "#p"}]}
    slot = {"status": "free", "start": "2031-05-14T08:00:00Z", "end": "2031-05-14T08:15:00Z"}
    return [
        {**practitioner("Dehors", "v-out"), "id": "out"},
        {"resourceType": "Schedule", "id": "out", "actor": [{"reference": "Practitioner/out"}]},
        {"resourceType": "Schedule", "id": "in", "contained": [inside], "actor": [{"reference": "#p"}]},
        {"resourceType": "Slot", "id": "out", "schedule": {"reference": "Schedule/out"}, **slot},
        {"resourceType": "Slot", "id": "agenda-in", "schedule": {"reference": "Schedule/in"}, **slot},
        {
            "resourceType": "Slot",
            "id": "both-in",
            "contained": [agenda, inside],
            "schedule": {"reference": "#s"},
            **slot,
        },
        {
            "resourceType": "Slot",
            "id": "agenda-inside-out",
            "contained": [{**agenda, "actor": [{"reference": "Practitioner/out"}]}],
            "schedule": {"reference": "#s"},
            **slot,
        },
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Schedule?actor:Practitioner.identifier=v-in", ["in"]),
        ("Schedule?actor:Practitioner.identifier=v-in,v-out", ["in", "out"]),
        ("Slot?schedule.actor:Practitioner.identifier=v-in", ["agenda-in", "both-in"]),
        ("Slot?schedule.actor:Practitioner.identifier=v-out", ["agenda-inside-out", "out"]),
        ("Slot?schedule.actor:Practitioner.identifier=v-in&status=free", ["agenda-in", "both-in"]),
        ("Slot?schedule.actor:Practitioner.identifier=v-in&status=busy", []),
        ("Slot?schedule.actor:Practitioner.identifier=v-in&status=free&start=2031-05-14", ["agenda-in", "both-in"]),
        (
            "Slot?schedule.actor:Practitioner.identifier=v-out&status=free&start=2031-05-14",
            ["agenda-inside-out", "out"],
        ),
        ("Slot?schedule.actor:Practitioner.identifier=v-in&status=free&start=2031-05-15", []),
        (
            "Slot?schedule.actor:Practitioner.family=de&start=2031-05-14",
            ["agenda-in", "agenda-inside-out", "both-in", "out"],
        ),
        (
            "Slot?schedule.actor:Practitioner.family=de&start=2031-05-14&_sort=start&_count=3",
            ["agenda-in", "both-in", "out"],
        ),
    ],
)
async def test_chains_end_in_contained_resources_too(http: httpx.AsyncClient, query: str, expected: list[str]) -> None:
    for resource in contained_world():
        response = await http.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert response.status_code == 201, response.text
    answer = (await http.get(query)).json()
    assert sorted(item["resource"]["id"] for item in answer.get("entry", [])) == expected
    assert answer["total"] == (4 if "_count" in query else len(expected))


async def test_compartments_of_patient_and_related_person(http: httpx.AsyncClient) -> None:
    patient = {"resourceType": "Patient", "name": [{"family": "Fictive"}]}
    one, other = [await created(http, patient) for _ in range(2)]
    subject = {"reference": f"Patient/{one['id']}"}
    related = await created(http, {"resourceType": "RelatedPerson", "patient": subject})
    asked = {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": subject}
    of_patient = await created(http, asked)
    of_related = await created(http, {**asked, "performer": [{"reference": f"RelatedPerson/{related['id']}"}]})
    both = sorted((of_patient["id"], of_related["id"]))
    assert sorted(await found(http, f"Patient/{one['id']}/ServiceRequest")) == both
    assert await found(http, f"Patient/{one['id']}/RelatedPerson") == [related["id"]]
    assert await found(http, f"Patient/{other['id']}/ServiceRequest") == []
    assert await found(http, f"RelatedPerson/{related['id']}/ServiceRequest") == [of_related["id"]]
    assert {one["id"], related["id"], *both} <= set(await found(http, f"Patient/{one['id']}/*"))
    refused(await http.get("Organization/o/Practitioner"), 404, "compartment-unknown")


async def test_type_that_no_compartment_of_a_practitioner_holds_is_not_an_empty_one(http: httpx.AsyncClient) -> None:
    for answer in (await http.get("Practitioner/p/Slot"), await http.post("Practitioner/p/Slot/_search")):
        refused(answer, 404, "compartment-type")
        assert "no Slot" in (told := answer.json()["issue"][0]["diagnostics"])
        assert "Schedule" in told


async def test_code_outside_a_required_binding_finds_nothing_and_says_why(http: httpx.AsyncClient) -> None:
    answer = await http.get("Slot?status=bogus", headers={"Prefer": "handling=strict"})
    assert answer.status_code == 200 and answer.json()["total"] == 0
    (only,) = answer.json()["entry"]
    assert only["search"]["mode"] == "outcome"
    (issue,) = only["resource"]["issue"]
    assert issue["severity"] == "warning" and "busy, busy-tentative" in issue["diagnostics"]


async def test_code_outside_a_required_binding_is_refused_where_the_operator_wants_it(store_url: str) -> None:
    async with Server(store_url, unknown_codes="refuse") as server:
        for query in ("Slot?status=bogus", "Slot?status=bogus,free", "Schedule?_has:Slot:schedule:status=bogus"):
            for handling in ("strict", "lenient"):
                answer = await server.http.get(query, headers={"Prefer": f"handling={handling}"})
                refused(answer, 400, "search-code")
                assert "busy, busy-tentative" in answer.text
        assert (await server.http.get("Slot?status=free")).status_code == 200
