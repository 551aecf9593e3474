"""INT_R02 of the SAS: accounts of regulators are created, updated, disabled and handed on, without races.

Rows are those of the exchange that an ordinary server does not do; pitfalls, those of test_sas_pitfalls.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.rest.asking import BASE, Json, created, found, refused
from tests.rest.conftest import Server

SAS = "http://127.0.0.1:8080/sas"
REGUL = "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/FrPractitionerRegul"
ACCOUNTS, IDNPS = "urn:oid:1.2.250.1.213.3.6", "urn:oid:1.2.250.1.71.4.2.1"
TYPES = "http://interopsante.org/fhir/CodeSystem/fr-v2-0203"
UUID, OTHER_UUID = "1ef1c748-01a3-6180-b098-73283ce4e5b1", "1ef1c748-01a3-6180-b098-73283ce4e5b2"
NUMBER = "899700990015"


def account(system: str = ACCOUNTS, value: str = UUID, **more: Any) -> Json:
    code = {ACCOUNTS: "INTRN", IDNPS: "IDNPS"}[system]
    kind = {"coding": [{"system": TYPES, "code": code}]}
    return {
        "resourceType": "Practitioner",
        "meta": {"profile": [REGUL]},
        "identifier": [{"type": kind, "system": system, "value": value}],
        "active": True,
        "name": [{"family": "FICTIF", "given": ["Alice"]}],
        "telecom": [{"system": "email", "value": "alice@example.org"}],
        **more,
    }


@pytest.fixture
def sas(server: Server) -> httpx.AsyncClient:
    """Return a client of the path that the platform calls."""
    server.http.base_url = httpx.URL(f"{SAS}/")
    return server.http


async def put(http: httpx.AsyncClient, system: str, value: str, body: Json) -> httpx.Response:
    return await http.put(f"Practitioner?identifier={system}|{value}", json=body)


async def state(http: httpx.AsyncClient, id_: str) -> tuple[bool, list[str]]:
    """Return whether an account is active, and its numbers."""
    body = (await http.get(f"Practitioner/{id_}")).json()
    return body["active"], [one["value"] for one in body["identifier"]]


async def test_account_is_created_with_its_location(http: httpx.AsyncClient) -> None:
    answer = await http.post("Practitioner", json=account())
    assert answer.status_code == 201
    assert answer.headers["location"].startswith(f"{BASE}/Practitioner/{answer.json()['id']}")


async def test_pitfall_37_second_post_of_an_active_account_is_refused(http: httpx.AsyncClient) -> None:
    await created(http, account())
    refused(await http.post("Practitioner", json=account()), 409, "identifier-taken")
    refused(
        await http.post("Practitioner", json=account(name=[{"family": "X", "given": ["Y"]}])), 409, "identifier-taken"
    )


async def test_pitfall_37_update_of_an_unknown_identifier_creates(sas: httpx.AsyncClient) -> None:
    assert (await put(sas, ACCOUNTS, UUID, account())).status_code == 201


async def test_pitfall_38_row_7_id_in_the_body_says_nothing(sas: httpx.AsyncClient) -> None:
    made = await sas.post("Practitioner", json=account(id="theirs"))
    id_ = made.json()["id"]
    assert (made.status_code, id_ != "theirs") == (201, True)
    answer = await sas.put(
        f"Practitioner?identifier={ACCOUNTS}|{UUID}&_format=json", json=account(id="theirs", active=False)
    )
    assert (answer.status_code, answer.json()["id"]) == (200, id_)
    new = await put(sas, ACCOUNTS, OTHER_UUID, account(value=OTHER_UUID, id="theirs"))
    assert (new.status_code, new.json()["id"] != "theirs") == (201, True)


@pytest.mark.parametrize("criteria", [f"{ACCOUNTS}|", f"{ACCOUNTS}%7C", f"{IDNPS}|12", f"{ACCOUNTS}|,{IDNPS}|{NUMBER}"])
async def test_criteria_that_could_mean_anybody_change_nobody(sas: httpx.AsyncClient, criteria: str) -> None:
    """R4 lets ``system|`` find any number of the system: the one account there is would be overwritten."""
    id_ = (await created(sas, account()))["id"]
    other = account(value=OTHER_UUID)
    answer = await sas.put(f"Practitioner?identifier={criteria}", json=other)
    refused(answer, 400, "sas-identifier-form")
    answer = await sas.post("Practitioner", json=other, headers={"If-None-Exist": f"identifier={unquote(criteria)}"})
    refused(answer, 400, "sas-identifier-form")
    kept = (await sas.get(f"Practitioner/{id_}")).json()
    assert (kept["identifier"][0]["value"], kept["meta"]["versionId"]) == (UUID, "1")


async def test_row_8_location_of_an_update(sas: httpx.AsyncClient) -> None:
    id_ = (await created(sas, account()))["id"]
    answer = await put(sas, ACCOUNTS, UUID, account(active=False))
    assert answer.status_code == 200
    assert answer.headers["location"].startswith(f"{SAS}/Practitioner/{id_}")


@pytest.mark.parametrize(
    "body",
    [
        account(identifier=[]),
        account(IDNPS, "7"),
        {name: value for name, value in account().items() if name != "active"},
        account(telecom=[{"system": "phone", "value": "+33381000000"}]),
        account(telecom=[{"system": "email", "value": ""}]),
        account(name=[{"family": "", "given": ["Alice"]}]),
        account(meta="x"),
        account(meta={"profile": [7], "source": REGUL}),
    ],
)
async def test_row_9_bad_fields_are_refused_on_post_and_put(http: httpx.AsyncClient, body: Json) -> None:
    for answer in (await http.post("Practitioner", json=body), await put(http, ACCOUNTS, UUID, body)):
        assert answer.status_code in {400, 422}
    assert await found(http, "Practitioner") == []


async def test_update_may_change_the_identifier_itself(sas: httpx.AsyncClient) -> None:
    id_ = (await created(sas, account()))["id"]
    for asked, given in (
        ((ACCOUNTS, UUID), (ACCOUNTS, OTHER_UUID)),
        ((ACCOUNTS, OTHER_UUID), (IDNPS, NUMBER)),
        ((IDNPS, NUMBER), (ACCOUNTS, UUID)),
    ):
        answer = await put(sas, *asked, account(*given))
        assert (answer.status_code, answer.json()["id"]) == (200, id_)
        assert await state(sas, id_) == (True, [given[1]])
    await created(sas, account(IDNPS, NUMBER))
    refused(await put(sas, ACCOUNTS, UUID, account(IDNPS, NUMBER)), 409, "identifier-taken")


async def test_pitfall_38_row_10_disabled_account_frees_its_number(sas: httpx.AsyncClient) -> None:
    first = (await created(sas, account(IDNPS, NUMBER)))["id"]
    assert (await put(sas, IDNPS, NUMBER, account(IDNPS, NUMBER, active=False))).status_code == 200
    second = (await created(sas, account(IDNPS, NUMBER)))["id"]
    answer = await put(sas, IDNPS, NUMBER, account(IDNPS, NUMBER, name=[{"family": "AUTRE", "given": ["Bruno"]}]))
    assert (answer.status_code, answer.json()["id"]) == (200, second)
    assert await state(sas, first) == (False, [NUMBER])
    refused(await sas.put(f"Practitioner/{first}", json=account(IDNPS, NUMBER, id=first)), 409, "identifier-taken")
    assert (await put(sas, IDNPS, NUMBER, account(IDNPS, NUMBER, active=False))).json()["id"] == second
    assert (await put(sas, IDNPS, NUMBER, account(IDNPS, NUMBER))).json()["id"] == second, (
        "the last one of those disabled"
    )


async def test_row_11_professional_with_the_same_number_is_left_alone(sas: httpx.AsyncClient) -> None:
    somebody = {"resourceType": "Practitioner", "identifier": [{"system": IDNPS, "value": NUMBER}]}
    id_ = (await sas.post(f"{BASE}/Practitioner", json=somebody)).json()["id"]
    answer = await put(sas, IDNPS, NUMBER, account(IDNPS, NUMBER))
    assert (answer.status_code, answer.json()["id"] != id_) == (201, True)
    assert (await put(sas, IDNPS, NUMBER, account(IDNPS, NUMBER, active=False))).status_code == 200
    assert "name" not in (await sas.get(f"Practitioner/{id_}")).json()
    changed = await sas.put(f"{BASE}/Practitioner/{id_}", json={**somebody, "id": id_, "active": True})
    assert changed.status_code == 200


async def test_elsewhere_criteria_mean_what_r4_says(http: httpx.AsyncClient) -> None:
    for active in (False, True):
        await created(http, account(active=active))
    refused(await put(http, ACCOUNTS, UUID, account()), 412, "multiple-matches")


async def test_accounts_race_for_one_number_and_one_is_made(sas: httpx.AsyncClient) -> None:
    posts = (sas.post("Practitioner", json=account()) for _ in range(6))
    puts = (
        put(sas, ACCOUNTS, UUID, account(telecom=[{"system": "email", "value": f"a{n}@example.org"}])) for n in range(6)
    )
    answers = await asyncio.gather(*posts, *puts)
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len(await found(sas, f"Practitioner?identifier={ACCOUNTS}|{UUID}")) == 1


async def test_number_is_handed_on_while_others_update_it(sas: httpx.AsyncClient) -> None:
    await created(sas, account(IDNPS, NUMBER))
    answers = await asyncio.gather(
        put(sas, IDNPS, NUMBER, account(IDNPS, NUMBER, active=False)),
        *(sas.post("Practitioner", json=account(IDNPS, NUMBER)) for _ in range(3)),
        put(sas, IDNPS, NUMBER, account(IDNPS, NUMBER, gender="female")),
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert len(await found(sas, f"Practitioner?identifier={IDNPS}|{NUMBER}&active=true")) <= 1


async def test_practitioner_of_a_sas_path_is_an_account_even_if_it_does_not_say_so(sas: httpx.AsyncClient) -> None:
    unsaid = {name: value for name, value in account().items() if name != "meta"}
    made = await created(sas, unsaid)
    assert made["meta"]["source"] == ACCOUNTS
    refused(await sas.post("Practitioner", json=unsaid), 409, "identifier-taken")
    refused(await sas.post("Practitioner", json={"resourceType": "Practitioner"}), 422, "regulator-account")
    answer = await put(sas, ACCOUNTS, UUID, {**unsaid, "active": False})
    assert (answer.status_code, answer.json()["id"]) == (200, made["id"])


async def test_professional_is_not_changed_on_a_sas_path(server: Server) -> None:
    doctor = {
        "resourceType": "Practitioner",
        "id": "alice",
        "identifier": [{"system": IDNPS, "value": NUMBER}],
    }
    before = (await server.http.put("Practitioner/alice", json=doctor)).json()
    for body in (account(IDNPS, NUMBER, id="alice"), {**account(IDNPS, NUMBER, id="alice"), "meta": {}}):
        refused(await server.http.put(f"{SAS}/Practitioner/alice", json=body), 409, "regulator-account-other")
    unsaid = {name: value for name, value in account(IDNPS, NUMBER).items() if name != "meta"}
    answer = await server.http.put(f"{SAS}/Practitioner?identifier={IDNPS}|{NUMBER}", json=unsaid)
    assert (answer.status_code, answer.json()["id"] != "alice") == (201, True)
    assert (await server.http.get("Practitioner/alice")).json() == before
