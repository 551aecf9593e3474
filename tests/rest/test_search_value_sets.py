"""Searches and criteria by value sets, on each engine. https://hl7.org/fhir/R4/search.html#modifiers"""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from fhir_server.interactions.context import Context
from fhir_server.interactions.writing import write
from fhir_server.interactions.writing.intents import Intent, Prepared
from fhir_server.interactions.writing.write import Linker
from fhir_server.search.criteria import SearchLimits
from tests.rest.asking import BASE as SERVER
from tests.rest.asking import Json, bundle, done, entry, expressions, found, refused
from tests.terminology.loading import BASE, CARE, OTHERS, PARTIAL, SYSTEM, url, value_set, where

AID = value_set("aid", where("concept", "is-a", "first-aid"))
LATE = value_set("late", where("kind", "=", "late"))
PART = value_set("part", {"system": PARTIAL}, {"system": CARE})
BROKEN = value_set("broken", {"system": "urn:none"})


def role(id_: str, *codes: str, **more: object) -> Json:
    specialty = [{"coding": [{"system": CARE, "code": code}]} for code in codes]
    body: Json = {"resourceType": "PractitionerRole", "id": id_, **more}
    return {**body, "specialty": specialty} if specialty else body


ROLES = (
    role("burns", "burn", practitioner={"reference": "Practitioner/p"}),
    role("both", "advice", "wound"),
    role("late", "follow-up"),
    role("none"),
)


@pytest.fixture
async def loaded(http: httpx.AsyncClient) -> httpx.AsyncClient:
    resources: list[Json] = [
        {**SYSTEM, "id": "care"},
        {**OTHERS[1], "id": "partial"},
        *({**one, "id": one["url"].rpartition("/")[2]} for one in (AID, LATE, PART, BROKEN)),
        {"resourceType": "Practitioner", "id": "p", "gender": "female"},
        *ROLES,
    ]
    await done(http, "transaction", *(entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in resources))
    return http


FOUND = {
    f"PractitionerRole?specialty:in={url('aid')}": ["burns", "both"],
    f"PractitionerRole?specialty:in={url('aid')},{url('late')}": ["burns", "both", "late"],
    f"PractitionerRole?specialty:not-in={url('aid')}": ["late", "none"],
    f"PractitionerRole?specialty:in={CARE}?fhir_vs": ["burns", "both", "late"],
    "PractitionerRole?specialty:in=ValueSet/late": ["late"],
    f"PractitionerRole?specialty:in={SERVER}/ValueSet/late": ["late"],
    f"PractitionerRole?specialty:in={url('aid')}&practitioner=p": ["burns"],
    f"Practitioner?_has:PractitionerRole:practitioner:specialty:in={url('aid')}": ["p"],
    f"Practitioner?_has:PractitionerRole:practitioner:specialty:in={url('late')}": [],
    "PractitionerRole?practitioner.gender:in=http://hl7.org/fhir/ValueSet/administrative-gender": ["burns"],
    "Practitioner?gender:not-in=http://hl7.org/fhir/ValueSet/administrative-gender": [],
}


async def test_resources_are_found_by_value_sets(loaded: httpx.AsyncClient) -> None:
    for query, wanted in FOUND.items():
        assert await found(loaded, query) == wanted, query


async def test_page_of_a_search_by_value_set_is_linked(loaded: httpx.AsyncClient) -> None:
    first = (await loaded.get(f"PractitionerRole?specialty:in={url('aid')}&_count=1")).json()
    links = {link["relation"]: link["url"] for link in first["link"]}
    assert f"specialty:in={url('aid')}" in links["self"]
    second = (await loaded.get(links["next"])).json()
    assert [one["resource"]["id"] for one in (*first["entry"], *second["entry"])] == ["burns", "both"]


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        (f"{BASE}/none", "terminology-unknown"),
        (f"{url('aid')}|9", "terminology-unknown"),
        ("ValueSet/none", "terminology-unknown"),
        (url("broken"), "terminology-unknown"),
        ("http://hl7.org/fhir/ValueSet/all-types", "search-bound"),
    ],
)
async def test_value_set_that_cannot_be_asked_is_refused_by_name(
    loaded: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, value: str, id_: str
) -> None:
    monkeypatch.setattr("fhir_server.interactions.value_sets.LIMITS", SearchLimits(codes=200))
    for query in (f"PractitionerRole?specialty:in={value}", f"PractitionerRole?specialty:not-in={value}"):
        answer = await loaded.get(query)
        refused(answer, 400, id_)
        assert expressions(answer) == [f"http.{query.partition('?')[2].partition('=')[0]}"]


async def test_value_set_of_which_a_part_is_known_is_told(loaded: httpx.AsyncClient) -> None:
    searchset = (await loaded.get(f"PractitionerRole?specialty:in={url('part')}")).json()
    *matches, outcome = searchset["entry"]
    assert [one["resource"]["id"] for one in matches] == ["burns", "both", "late"]
    assert outcome["resource"]["issue"][0]["severity"] == "warning"
    assert PARTIAL in outcome["resource"]["issue"][0]["diagnostics"]
    refused(await loaded.delete(f"PractitionerRole?specialty:in={url('part')}"), 400, "code-system-fragment")


async def test_criteria_of_writes_name_value_sets(loaded: httpx.AsyncClient) -> None:
    query = f"PractitionerRole?specialty:in={url('late')}"
    answer = await loaded.put(query, json=role("late", "follow-up", "burn"))
    assert (answer.status_code, answer.json()["id"]) == (200, "late")
    unless = {"If-None-Exist": f"specialty:in={url('late')}"}
    assert (await loaded.post("PractitionerRole", json=role("other"), headers=unless)).status_code == 200
    assert (await loaded.delete(f"PractitionerRole?specialty:in={url('aid')}")).status_code == 204
    assert await found(loaded, "PractitionerRole") == ["none"]
    refused(await loaded.delete(f"PractitionerRole?specialty:in={BASE}/none"), 400, "terminology-unknown")


async def test_criteria_in_transactions_name_value_sets(loaded: httpx.AsyncClient) -> None:
    criteria = f"specialty:in={url('late')}"
    reference = {"reference": f"PractitionerRole?{criteria}"}
    made, searched = await done(
        loaded,
        "transaction",
        entry("POST", "Schedule", {"resourceType": "Schedule", "actor": [reference]}),
        entry("GET", f"PractitionerRole?{criteria}"),
    )
    assert [one["resource"]["id"] for one in searched["resource"]["entry"]] == ["late"]
    schedule = await loaded.get(made["response"]["location"])
    assert schedule.json()["actor"] == [{"reference": "PractitionerRole/late"}]
    own = await loaded.post(
        "",
        json=bundle(
            "transaction",
            entry("POST", "PractitionerRole", role("x", "burn")),
            entry("POST", "PractitionerRole", role("y"), ifNoneExist=f"specialty:in={url('aid')}"),
        ),
    )
    refused(own, 412, "multiple-matches")
    unknown = await loaded.post(
        "", json=bundle("transaction", entry("GET", f"PractitionerRole?specialty:in={BASE}/none"))
    )
    assert unknown.json()["entry"][0]["response"]["status"] == "400 Bad Request"


async def test_value_set_that_changes_meanwhile_is_read_again(
    loaded: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes between the look at it and the plan of the write."""
    changed = {**value_set("late", where("concept", "=", "advice")), "id": "late"}
    original, prepared = write._prepare, 0

    async def prepare(context: Context, intents: Sequence[Intent], linker: Linker | None) -> Prepared:
        nonlocal prepared
        prepared += 1
        found = await original(context, intents, linker)
        if prepared == 1:
            assert (await loaded.put("ValueSet/late", json=changed)).status_code == 200
        return found

    monkeypatch.setattr(write, "_prepare", prepare)
    assert (await loaded.delete(f"PractitionerRole?specialty:in={url('late')}")).status_code == 204
    assert prepared == 3, "the write of the value set, and twice the deletion"
    assert await found(loaded, "PractitionerRole") == ["burns", "late", "none"]
