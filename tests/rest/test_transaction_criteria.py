"""Criteria inside a transaction: they see what it writes, whatever the order of its entries.

Spec: https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import base64
import json
from itertools import permutations
from typing import Any

import httpx
import pytest

from tests.rest.asking import (
    EXTENSION,
    SYSTEM,
    Json,
    created,
    done,
    entry,
    expressions,
    found,
    ids,
    organization,
    place,
    post,
    practitioner,
    refused,
    role,
    status,
    urn,
)
from tests.rounds import FULL

OTHER = "https://example.org/autre"


def criteria(value: str) -> str:
    return f"identifier={SYSTEM}|{value}"


def if_none(value: str, family: str = "Conditionnel", full_url: str | None = None) -> Json:
    """Return an entry that creates what does not exist yet."""
    body = practitioner(family, value)
    return entry("POST", "Practitioner", body, full_url, ifNoneExist=criteria(value))


def plain(value: str, family: str = "Créé", full_url: str | None = None, telecom: str = "t") -> Json:
    body = practitioner(family, value, active=True, telecom=[{"system": "phone", "value": telecom}])
    return entry("POST", "Practitioner", body, full_url)


def put(id_: str, value: str, family: str = "Mis") -> Json:
    return entry("PUT", f"Practitioner/{id_}", practitioner(family, value, id=id_))


def put_by(asked: str, value: str, family: str = "Mis", full_url: str | None = None, **more: Any) -> Json:
    return entry("PUT", f"Practitioner?{criteria(asked)}", practitioner(family, value, **more), full_url)


def patch_by(asked: str, value: str) -> Json:
    operations = [{"op": "replace", "path": "/identifier/0/value", "value": value}]
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    body = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    return entry("PATCH", asked, body)


async def in_each_order(http: httpx.AsyncClient, *entries: Json) -> list[httpx.Response]:
    """Post a transaction in each order of its entries; it must be refused, or leave nothing behind."""
    return [await post(http, "transaction", *order) for order in permutations(entries)]


# --- creates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [plain("x"), put("p", "x")])
@pytest.mark.parametrize("turned", [False, True])
async def test_create_by_criteria_finds_what_the_transaction_writes(
    http: httpx.AsyncClient, first: Json, turned: bool
) -> None:
    entries = [first, if_none("x", full_url=urn(1)), entry("POST", "PractitionerRole", role(urn(1)))]
    answers = await done(http, "transaction", *(entries[::-1] if turned else entries))
    written, existing, of_role = answers[::-1] if turned else answers
    assert (status(written), status(existing)) == (201, 200)
    assert place(existing) == place(written) and existing["response"]["etag"] == written["response"]["etag"]
    assert await found(http, f"Practitioner?{criteria('x')}") == [place(written).partition("/")[2]]
    assert (await http.get(place(of_role))).json()["practitioner"] == {"reference": place(written)}


@pytest.mark.parametrize("turned", [False, True])
async def test_create_by_criteria_finds_what_an_update_makes_match(http: httpx.AsyncClient, turned: bool) -> None:
    await http.put("Practitioner/p", json=practitioner("Avant", "y", id="p"))
    entries = [put("p", "x", "Après"), if_none("x")]
    response = await http.post(
        "",
        json={"resourceType": "Bundle", "type": "transaction", "entry": entries[::-1] if turned else entries},
        headers={"Prefer": "return=representation"},
    )
    assert response.status_code == 200, response.text
    for answer in response.json()["entry"]:
        assert status(answer) == 200 and place(answer) == "Practitioner/p"
        assert answer["resource"]["name"] == [{"family": "Après"}]
        assert answer["resource"]["meta"]["versionId"] == "2"
    assert await found(http, "Practitioner") == ["p"]


@pytest.mark.parametrize("turned", [False, True])
async def test_create_by_criteria_finds_what_an_update_is_about_to_change(
    http: httpx.AsyncClient, turned: bool
) -> None:
    await http.put("Practitioner/p", json=practitioner("Avant", "x", id="p"))
    entries = [put("p", "y"), if_none("x")]
    answers = await done(http, "transaction", *(entries[::-1] if turned else entries))
    assert {place(answer) for answer in answers} == {"Practitioner/p"}
    assert [status(answer) for answer in answers] == [200, 200]
    assert await found(http, "Practitioner") == ["p"]


async def test_create_by_criteria_that_finds_two_of_the_transaction_is_refused(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/there", json=practitioner("Là", "z", id="there"))
    for others in ([plain("x"), put("p", "x")], [plain("x"), plain("x")], [put("there", "x"), put("p", "x")]):
        for response in await in_each_order(http, if_none("x"), *others):
            refused(response, 412, "multiple-matches")
    for response in await in_each_order(http, if_none("z"), plain("z")):
        refused(response, 412, "multiple-matches")
    assert await found(http, "Practitioner") == ["there"]


async def test_deletion_makes_room_for_what_the_transaction_writes(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("Avant", "x", id="p"))
    for number, entries in enumerate(permutations([entry("DELETE", "Practitioner/p"), plain("x"), if_none("x")])):
        answers = await done(http, "transaction", *entries)
        assert sorted(map(status, answers)) == [200, 201, 204]
        (now,) = await found(http, f"Practitioner?{criteria('x')}")
        assert now != "p", number
        assert (await http.delete(f"Practitioner/{now}")).status_code == 204
        await http.put("Practitioner/p", json=practitioner("Avant", "x", id="p"))


async def test_creates_by_criteria_that_find_each_other_are_not_both_made(http: httpx.AsyncClient) -> None:
    """One is of x unless there is x; the other makes an x too, unless there is y."""
    other = entry("POST", "Practitioner", practitioner("B", "x"), ifNoneExist=criteria("y"))
    refused(await post(http, "transaction", if_none("x"), other), 400, "transaction-overlap")
    assert await found(http, "Practitioner") == []
    answers = await done(http, "transaction", other, if_none("x"))
    assert [status(answer) for answer in answers] == [201, 200]
    assert place(answers[0]) == place(answers[1])


async def test_create_that_found_its_match_is_not_found_by_its_body(http: httpx.AsyncClient) -> None:
    there = await created(http, practitioner("Là", "x"))
    body = practitioner("Jamais écrit", "y")
    answers = await done(
        http,
        "transaction",
        entry("POST", "Practitioner", body, ifNoneExist=criteria("x")),
        if_none("y"),
        put_by("z", "z"),
    )
    assert [status(answer) for answer in answers] == [200, 201, 201]
    assert place(answers[0]) == f"Practitioner/{there['id']}"


# --- updates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [plain("x"), put("k", "x"), put_by("x", "x"), put_by("y", "x"), if_none("x"), patch_by("Practitioner/there", "x")],
)
async def test_update_by_criteria_of_what_another_entry_writes_is_an_overlap(
    http: httpx.AsyncClient, other: Json
) -> None:
    await http.put("Practitioner/there", json=practitioner("Là", "z", id="there"))
    before = (await http.get("_history")).json()["entry"]
    for response in await in_each_order(http, put_by("x", "x"), other):
        refused(response, 400, "transaction-overlap")
        assert expressions(response) in (
            ["Bundle.entry[0]"],
            ["Bundle.entry[1]"],
            ["Bundle.entry[0]", "Bundle.entry[1]"],
        )
    assert (await http.get("_history")).json()["entry"] == before


async def test_update_by_criteria_of_what_an_update_takes_away_is_an_overlap(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("Là", "x", id="p"))
    for other in (put("p", "y"), patch_by("Practitioner/p", "y"), patch_by(f"Practitioner?{criteria('x')}", "y")):
        for response in await in_each_order(http, put_by("x", "x"), other):
            refused(response, 400, "transaction-overlap")


async def test_patch_by_criteria_of_what_another_entry_writes_is_an_overlap(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("Là", "x", id="p"))
    patch = patch_by(f"Practitioner?{criteria('x')}", "z")
    for other in (plain("x"), put("k", "x")):
        for response in await in_each_order(http, patch, other):
            refused(response, 400, "transaction-overlap")
    answers = await done(http, "transaction", plain("y"), patch)
    assert [status(answer) for answer in answers] == [201, 200]


async def test_update_by_criteria_is_found_by_creates_that_write_nothing(http: httpx.AsyncClient) -> None:
    there = await created(http, practitioner("Là", "x"))
    for entries in ([put_by("x", "x", "Neuf"), if_none("x")], [if_none("x"), put_by("x", "x", "Plus neuf")]):
        answers = await done(http, "transaction", *entries)
        assert [status(answer) for answer in answers] == [200, 200]
        assert {place(answer) for answer in answers} == {f"Practitioner/{there['id']}"}


async def test_updates_by_criteria_that_have_nothing_in_common_are_done(http: httpx.AsyncClient) -> None:
    await created(http, practitioner("Là", "b"))
    answers = await done(http, "transaction", *(put_by(value, value) for value in "abc"))
    assert [status(answer) for answer in answers] == [201, 200, 201]
    answers = await done(http, "transaction", *(put_by(value, value, "Encore") for value in "cab"))
    assert [status(answer) for answer in answers] == [200, 200, 200]
    assert len(await found(http, "Practitioner")) == 3


# --- chains ----------------------------------------------------------------------------------------------------------


def role_by(value: str, practitioner_: str, **more: Any) -> Json:
    return entry("PUT", f"PractitionerRole?practitioner.{criteria(value)}", role(practitioner_, **more))


def roster(values: str, make: Any = put_by) -> list[Json]:
    """Return what loads a roster, again and again: each professional, and what each does."""
    people = [
        make(value, value, full_url=urn(number)) if make is put_by else make(value, full_url=urn(number))
        for number, value in enumerate(values)
    ]
    return [*people, *(role_by(value, urn(number)) for number, value in enumerate(values))]


async def roles(http: httpx.AsyncClient) -> dict[str, str]:
    """Return who has a role, by identifier."""
    url = "PractitionerRole?_include=PractitionerRole:practitioner&_count=100"
    resources = [one["resource"] for one in (await http.get(url)).json().get("entry", ())]
    people = {f"Practitioner/{r['id']}": r["identifier"][0]["value"] for r in resources if "identifier" in r}
    rows = [r for r in resources if r["resourceType"] == "PractitionerRole"]
    named = {people[r["practitioner"]["reference"]]: r["id"] for r in rows}
    assert len(named) == len(rows)
    return named


@pytest.mark.parametrize("make", [put_by, if_none])
@pytest.mark.parametrize("turned", [False, True])
async def test_roster_is_loaded_again_and_again(http: httpx.AsyncClient, make: Any, turned: bool) -> None:
    await done(http, "transaction", *roster("ab", make)[:: -1 if turned else 1])
    first = await roles(http)
    assert sorted(first) == ["a", "b"]
    answers = await done(http, "transaction", *roster("ab", make)[:: -1 if turned else 1])
    assert {status(answer) for answer in answers} == {200}
    answers = await done(http, "transaction", *roster("abc", make)[:: -1 if turned else 1])
    assert sorted(status(answer) for answer in answers) == [200, 200, 200, 200, 201, 201]
    assert {value: id_ for value, id_ in (await roles(http)).items() if value != "c"} == first


@pytest.mark.parametrize("turned", [False, True])
async def test_create_by_a_chain_finds_what_the_transaction_writes(http: httpx.AsyncClient, turned: bool) -> None:
    once = entry("POST", "PractitionerRole", role(urn(1)), ifNoneExist=f"practitioner.{criteria('x')}")
    entries = [if_none("x", full_url=urn(1)), if_none("y", full_url=urn(2)), once, once]
    entries.append(entry("POST", "PractitionerRole", role(urn(2)), ifNoneExist=f"practitioner.{criteria('y')}"))
    answers = await done(http, "transaction", *entries[:: -1 if turned else 1])
    assert sorted(status(answer) for answer in answers) == [200, 201, 201, 201, 201]
    assert sorted(await roles(http)) == ["x", "y"]
    answers = await done(http, "transaction", *entries[:: -1 if turned else 1])
    assert {status(answer) for answer in answers} == {200}


@pytest.mark.parametrize(
    "reference",
    [urn(1), "Practitioner/p", f"Practitioner?{criteria('x')}", f"Practitioner?{criteria('x')}&active=true"],
)
async def test_chain_is_followed_however_the_reference_is_written(http: httpx.AsyncClient, reference: str) -> None:
    other = entry("POST", "PractitionerRole", role(reference))
    answers = [
        *await in_each_order(
            http,
            entry("PUT", "Practitioner/p", practitioner("P", "x", id="p", active=True), urn(1)),
            other,
            role_by("x", "Practitioner/p"),
        )
    ]
    for response in answers:
        refused(response, 400, "transaction-overlap")
    await http.put("Practitioner/p", json=practitioner("P", "x", id="p", active=True))
    if reference != urn(1):  # all of it is stored already
        for response in await in_each_order(http, other, role_by("x", "Practitioner/p")):
            refused(response, 400, "transaction-overlap")


@pytest.mark.parametrize("reference", [urn(1), "Practitioner/p", f"Practitioner?{criteria('x')}"])
async def test_reference_that_criteria_name_is_found_however_it_is_written(
    http: httpx.AsyncClient, reference: str
) -> None:
    await http.put("Practitioner/p", json=practitioner("P", "x", id="p"))
    entries = [
        if_none("x", full_url=urn(1)),
        entry("POST", "PractitionerRole", role(reference)),
        entry("POST", "PractitionerRole", role("Practitioner/p"), ifNoneExist="practitioner=Practitioner/p"),
    ]
    for order in permutations(entries):
        answers = await done(http, "transaction", *order)
        assert sorted(status(answer) for answer in answers) == [200, 200, 201]
        (only,) = await found(http, "PractitionerRole?practitioner=p")
        await http.delete(f"PractitionerRole/{only}")
    entries[2] = entry("PUT", "PractitionerRole?practitioner=Practitioner/p", role("Practitioner/p"))
    for response in await in_each_order(http, *entries):
        refused(response, 400, "transaction-overlap")


@pytest.mark.parametrize("make", ["POST", "PUT"])
async def test_chain_is_followed_inside_another_server(http: httpx.AsyncClient, make: str) -> None:
    """References are relative to where the entries come from."""
    root = "https://source.example.org/fhir"
    more = {"ifNoneExist": criteria("x")} if make == "POST" else {}
    url = "Practitioner" if make == "POST" else f"Practitioner?{criteria('x')}"
    entries = [
        entry("POST", "PractitionerRole", role("Practitioner/7"), f"{root}/PractitionerRole/8"),
        entry("PUT", f"PractitionerRole?practitioner.{criteria('x')}", role("Practitioner/p")),
        entry(make, url, practitioner("P", "x"), f"{root}/Practitioner/7", **more),
    ]
    for response in await in_each_order(http, *entries):
        refused(response, 400, "transaction-overlap")
    assert {status(answer) for answer in await done(http, "transaction", entries[0], entries[2])} == {201}


async def test_chain_leads_to_what_an_update_makes_match(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("P", "y", id="p"))
    there = await created(http, role("Practitioner/p"))
    for entries in permutations([put("p", "x"), role_by("x", "Practitioner/p", active=True)]):
        answers = await done(http, "transaction", *entries)
        assert {place(answer) for answer in answers} == {"Practitioner/p", f"PractitionerRole/{there['id']}"}
        await http.put("Practitioner/p", json=practitioner("P", "y", id="p"))


async def test_chain_does_not_lead_to_what_is_deleted(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("P", "x", id="p"))
    await created(http, role("Practitioner/p"))
    answers = await done(
        http,
        "transaction",
        entry("DELETE", "Practitioner/p"),
        role_by("x", urn(1)),
        plain("x", full_url=urn(1)),
        entry("POST", "PractitionerRole", role("Practitioner/p")),
    )
    assert [status(answer) for answer in answers] == [204, 201, 201, 201]


async def test_longer_chains_and_compounds(http: httpx.AsyncClient) -> None:
    """Agendas by who they belong to, and slots by their agenda's owner: each once, loaded twice."""

    def agenda(value: str, number: int) -> list[Json]:
        schedule = {"resourceType": "Schedule", "actor": [{"reference": urn(number)}]}
        slot = {
            "resourceType": "Slot",
            "schedule": {"reference": urn(number + 10)},
            "status": "free",
            "start": "2031-05-14T10:00:00Z",
            "end": "2031-05-14T10:20:00Z",
        }
        who = f"actor:Practitioner.{criteria(value)}"
        when = f"schedule.{who}&status=free&start=2031-05-14T10:00:00Z"
        return [
            entry("POST", "Slot", slot, ifNoneExist=when),
            entry("PUT", f"Schedule?{who}", schedule, urn(number + 10)),
            if_none(value, full_url=urn(number)),
        ]

    both = [*agenda("a", 1), *agenda("b", 2)]
    first = await done(http, "transaction", *both)
    assert {status(answer) for answer in first} == {201}
    again = await done(http, "transaction", *both[::-1])
    assert {status(answer) for answer in again} == {200}
    assert [place(answer) for answer in again[::-1]] == [place(answer) for answer in first]
    twice = await done(http, "transaction", *agenda("c", 3), agenda("c", 3)[0])
    assert [status(answer) for answer in twice] == [201, 201, 201, 200]


async def test_conditional_reference_by_a_chain(http: httpx.AsyncClient) -> None:
    there = await created(http, practitioner("Là", "y"))
    old = await created(http, role(f"Practitioner/{there['id']}"))

    def pointer(value: str) -> Json:
        reference = {"reference": f"PractitionerRole?practitioner.{criteria(value)}"}
        return entry("POST", "Organization", organization(extension=[{"url": EXTENSION, "valueReference": reference}]))

    for entries in permutations([if_none("x", full_url=urn(1)), role_by("x", urn(1)), pointer("x"), pointer("y")]):
        answers = await done(http, "transaction", *entries)
        wanted = {"x": place(answers[entries.index(role_by("x", urn(1)))]), "y": f"PractitionerRole/{old['id']}"}
        for value, target in wanted.items():
            stored = (await http.get(place(answers[entries.index(pointer(value))]))).json()
            assert stored["extension"][0]["valueReference"] == {"reference": target}
    moved = put(there["id"], "w")
    refused(await post(http, "transaction", pointer("y"), moved), 412, "reference-no-match")
    assert [status(answer) for answer in await done(http, "transaction", pointer("w"), moved)] == [201, 200]


async def test_chain_through_what_comes_later_is_refused(http: httpx.AsyncClient) -> None:
    """Whether the parent of A is B depends on whether B is found, which depends on the parent of B, which is A."""
    a = entry("POST", "Organization", organization("A", partOf={"reference": urn(2)}), urn(1))
    b = entry("POST", "Organization", organization("B", partOf={"reference": urn(1)}), urn(2))
    a["request"]["ifNoneExist"] = "partof.name=B"
    b["request"]["ifNoneExist"] = "partof.name=A"
    refused(await post(http, "transaction", a, b), 400, "transaction-criteria")
    assert await found(http, "Organization") == []


# --- what needs more than entries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["_has:PractitionerRole:practitioner:active=true", "_lastUpdated=ge2020"])
async def test_what_only_the_store_can_tell_is_refused_where_an_entry_could_match(
    http: httpx.AsyncClient, more: str
) -> None:
    there = await created(http, practitioner("Là", "x"))
    await created(http, role(f"Practitioner/{there['id']}", active=True))
    by = entry("PUT", f"Practitioner?{criteria('x')}&{more}", practitioner("Neuf", "x"))
    answers = await done(http, "transaction", by, plain("y"))
    assert place(answers[0]) == f"Practitioner/{there['id']}"
    response = await post(http, "transaction", by, plain("x"))
    refused(response, 400, "transaction-criteria")
    assert expressions(response) == ["Bundle.entry[0]"]


@pytest.mark.parametrize("identifier", ["x", ["x"], [["x"]], 5, [{"value": 5}], [{"value": {"value": "x"}}]])
async def test_resource_that_is_none_is_refused_as_such(http: httpx.AsyncClient, identifier: Any) -> None:
    body = {"resourceType": "Practitioner", "identifier": identifier}
    for entries in (
        [entry("PUT", f"Practitioner?{criteria('x')}", body), put_by("y", "y")],
        [entry("POST", "Practitioner", body), entry("PUT", "Practitioner?family=x", practitioner("x"))],
        [
            entry("POST", "Practitioner", body, ifNoneExist="_id=x"),
            entry("POST", "Practitioner", body, ifNoneExist="_id=x"),
        ],
    ):
        response = await post(http, "transaction", *entries)
        assert response.status_code == 400, response.text
        assert not {"transaction-overlap", "server-failed"} & set(ids(response))


# --- many ------------------------------------------------------------------------------------------------------------

MANY = 600 if FULL else 150


@pytest.mark.torture
@pytest.mark.parametrize(
    "query",
    [
        f"identifier={SYSTEM}|b{{0}}",
        "identifier=b{0}",
        f"identifier={SYSTEM}|b{{0}}&active=true",
        "active=true&identifier=b{0}",
        f"identifier={SYSTEM}|b{{0}},{OTHER}|b{{0}}",
        "identifier=b{0},b{0}x&family=nom",
        "active=true&telecom=t{0}",
    ],
)
async def test_hundreds_of_conditional_entries(http: httpx.AsyncClient, query: str) -> None:
    entries = [
        entry(
            "PUT",
            f"Practitioner?{query.format(number)}",
            practitioner("Nom", f"b{number}", active=True, telecom=[{"system": "phone", "value": f"t{number}"}]),
        )
        for number in range(MANY)
    ]
    assert {status(answer) for answer in await done(http, "transaction", *entries)} == {201}
    assert {status(answer) for answer in await done(http, "transaction", *entries)} == {200}
    refused(await post(http, "transaction", *entries, plain("b77", "Nom", telecom="t77")), 400, "transaction-overlap")


@pytest.mark.torture
async def test_a_roster_of_hundreds(http: httpx.AsyncClient) -> None:
    entries = []
    for number in range(MANY // 2):
        entries.append(put_by(f"r{number}", f"r{number}", full_url=urn(number)))
        entries.append(role_by(f"r{number}", urn(number)))
    for expected in (201, 200):
        assert {status(answer) for answer in await done(http, "transaction", *entries)} == {expected}


async def test_criteria_that_no_index_serves_are_bounded(http: httpx.AsyncClient) -> None:
    entries = [
        entry("PUT", f"Practitioner?family:contains=f{number}x", practitioner(f"f{number}x")) for number in range(400)
    ]
    assert {status(answer) for answer in await done(http, "transaction", *entries[:200])} == {201}
    refused(await post(http, "transaction", *entries), 400, "transaction-too-costly")
