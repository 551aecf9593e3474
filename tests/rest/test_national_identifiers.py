"""National identifiers over HTTP: checked on write, found in every form, one active resource for each."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from fhir_server.definitions.aliases import Aliases
from fhir_server.france.identifiers import fictitious_rpps
from fhir_server.maintenance.reindex import reindex
from tests.rest.asking import (
    Json,
    created,
    done,
    entry,
    expressions,
    found,
    ids,
    issues,
    post,
    refused,
    role,
    status,
    urn,
)
from tests.rest.conftest import Serve

RPPS, IDNPS = "https://rpps.esante.gouv.fr", "urn:oid:1.2.250.1.71.4.2.1"
FINESS, IDNST = "https://finess.esante.gouv.fr", "urn:oid:1.2.250.1.71.4.2.2"
NUMBER, PREFIXED = "99700990015", "899700990015"
OTHER = "99700999008"
G15 = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"


def professional(system: str = RPPS, value: str = NUMBER, profession: str | None = None, **more: Any) -> Json:
    body: Json = {"resourceType": "Practitioner", "identifier": [{"system": system, "value": value}], **more}
    if profession is not None:
        body["qualification"] = [{"code": {"coding": [{"system": G15, "code": profession}]}}]
    return body


def structure(system: str, value: str, **more: Any) -> Json:
    return {
        "resourceType": "Organization",
        "name": "Fictif",
        "identifier": [{"system": system, "value": value}],
        **more,
    }


async def put(http: httpx.AsyncClient, id_: str, body: Json) -> httpx.Response:
    return await http.put(f"{body['resourceType']}/{id_}", json={**body, "id": id_})


async def test_wrong_pattern_is_422_and_wrong_digit_a_warning(http: httpx.AsyncClient) -> None:
    answer = await http.post("Practitioner", json=professional(value="9970099001"))
    refused(answer, 422, "identifier-pattern")
    assert expressions(answer) == ["Practitioner.identifier[0].value"]
    headers = {"Prefer": "return=OperationOutcome"}
    answer = await http.post("Practitioner", json=professional(value="10002673899"), headers=headers)
    assert answer.status_code == 201
    assert ids({**answer.json(), "issue": issues(answer)[1:]}) == ["identifier-check"]
    answers = await done(http, "batch", entry("POST", "Practitioner", professional(value="1")))
    assert expressions(answers[0]["response"]["outcome"]) == ["Bundle.entry[0].resource.identifier[0].value"]
    assert await found(http, f"Practitioner?identifier={RPPS}|1") == []


async def test_settings_refuse_digits_and_test_identities(serve: Serve) -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "255081416802538"}],
    }
    async with serve(production=True, check_digits="refuse") as server:
        refused(await server.http.post("Patient", json=patient), 422, "identifier-trial")
        refused(await server.http.post("Practitioner", json=professional(value="10002673899")), 422, "identifier-check")


async def test_number_is_found_in_every_form_and_comes_back_as_stored(http: httpx.AsyncClient) -> None:
    stored = professional("http://rpps.esante.gouv.fr", telecom=[{"system": "phone", "value": "03 81 00 00 00"}])
    id_ = (await created(http, stored))["id"]
    member = role(f"Practitioner/{id_}", organization={"identifier": {"system": IDNST, "value": "1259999068"}})
    role_id = (await created(http, member))["id"]
    for asked in (f"{RPPS}|{NUMBER}", f"{IDNPS}|{PREFIXED}", f"{IDNPS}|", NUMBER, PREFIXED):
        assert await found(http, f"Practitioner?identifier={asked}") == [id_]
    for asked in ("phone=0381000000", "phone=%2B33381000000", "phone=+33381000000", "telecom=03.81.00.00.00"):
        assert await found(http, f"Practitioner?{asked}") == [id_]
    for asked in (
        f"practitioner.identifier={IDNPS}|{PREFIXED}",
        f"practitioner:Practitioner.identifier={RPPS}|{NUMBER}",
        f"organization:identifier={FINESS}|259999068",
        "practitioner.phone=0381000000",
    ):
        assert await found(http, f"PractitionerRole?{asked}") == [role_id]
    assert await found(
        http, f"Practitioner?_has:PractitionerRole:practitioner:organization:identifier={FINESS}|259999068"
    )
    read = (await http.get(f"Practitioner/{id_}")).json()
    assert read["identifier"] == stored["identifier"]
    assert read["telecom"] == stored["telecom"]


async def test_store_of_an_earlier_build_is_found_once_it_is_reindexed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("fhir_server.app.together", lambda _: Aliases())
        async with serve() as server:
            id_ = (await created(server.http, professional("http://rpps.esante.gouv.fr")))["id"]
    async with serve() as server:
        assert await found(server.http, f"Practitioner?identifier={IDNPS}|{PREFIXED}") == []
        report = await reindex(server.service.context, ["Practitioner"], tell=print)
        assert report.written == {"Practitioner": 1}
        assert await found(server.http, f"Practitioner?identifier={IDNPS}|{PREFIXED}") == [id_]


async def test_criteria_know_all_forms_also_inside_of_a_transaction(http: httpx.AsyncClient) -> None:
    id_ = (await created(http, professional(IDNPS, PREFIXED)))["id"]
    answer = await http.post(
        "Practitioner", json=professional(), headers={"If-None-Exist": f"identifier={RPPS}|{NUMBER}"}
    )
    assert (answer.status_code, answer.json()["id"]) == (200, id_)
    new = professional("http://rpps.esante.gouv.fr", OTHER)
    answers = await done(
        http,
        "transaction",
        entry("POST", "Practitioner", new, urn(1)),
        entry("POST", "Practitioner", professional(IDNPS, f"8{OTHER}"), ifNoneExist=f"identifier={IDNPS}|8{OTHER}"),
        entry("POST", "PractitionerRole", role(f"Practitioner?identifier={RPPS}|{OTHER}")),
    )
    assert [status(answer) for answer in answers] == [201, 200, 201]
    assert len(await found(http, f"Practitioner?identifier={OTHER}")) == 1


async def test_identifier_belongs_to_one_active_professional(http: httpx.AsyncClient) -> None:
    first = (await created(http, professional()))["id"]
    for body in (professional(), professional("http://rpps.esante.gouv.fr"), professional(IDNPS, PREFIXED)):
        answer = await http.post("Practitioner", json=body)
        refused(answer, 409, "identifier-taken")
        assert f"that of Practitioner/{first}," in issues(answer)[0]["diagnostics"]
        assert issues(answer)[0]["diagnostics"].count("Practitioner/") == 1, "what was never stored has no name"
        assert NUMBER not in answer.text
        assert expressions(answer) == ["Practitioner.identifier[0]"]
    assert (await put(http, first, professional(active=True))).status_code == 200, "its own"
    second = (await created(http, professional(active=False)))["id"]
    refused(await put(http, second, professional(active=True)), 409, "identifier-taken")
    patch = [{"op": "replace", "path": "/active", "value": True}]
    headers = {"Content-Type": "application/json-patch+json"}
    refused(await http.patch(f"Practitioner/{second}", json=patch, headers=headers), 409, "identifier-taken")
    assert (await put(http, first, professional(active=False))).status_code == 200
    assert (await http.patch(f"Practitioner/{second}", json=patch, headers=headers)).status_code == 200
    assert (await http.delete(f"Practitioner/{second}")).status_code == 204
    assert (await put(http, first, professional(active=True))).status_code == 200
    assert (await put(http, first, professional(value=OTHER))).status_code == 200
    assert (await http.post("Practitioner", json=professional())).status_code == 201


async def test_number_is_compared_by_profession(http: httpx.AsyncClient) -> None:
    await created(http, professional(profession="10"))
    await created(http, professional(profession="60"))
    await created(http, professional())
    refused(await http.post("Practitioner", json=professional(IDNPS, PREFIXED, "60")), 409, "identifier-taken")
    refused(await http.post("Practitioner", json=professional(IDNPS, PREFIXED)), 409, "identifier-taken")


async def test_structures_are_compared_by_finess_and_siret(http: httpx.AsyncClient) -> None:
    await created(http, structure(FINESS, "259999068"))
    refused(await http.post("Organization", json=structure(IDNST, "1259999068")), 409, "identifier-taken")
    await created(http, structure(IDNST, "399999901400015"))
    refused(
        await http.post("Organization", json=structure("http://sirene.fr", "99999901400015")), 409, "identifier-taken"
    )
    for _ in range(2):
        await created(http, structure("https://sirene.fr", "999999014"))  # a SIREN is its establishments'


async def test_transaction_is_compared_with_itself_and_with_what_it_leaves(http: httpx.AsyncClient) -> None:
    both = [entry("POST", "Practitioner", professional()), entry("POST", "Practitioner", professional(IDNPS, PREFIXED))]
    answer = await post(http, "transaction", *both)
    refused(answer, 409, "identifier-taken")
    assert expressions(answer) == ["Bundle.entry[1].resource.identifier[0]"]
    assert await found(http, "Practitioner") == []
    first = (await created(http, professional()))["id"]
    handed_on = [
        entry("PUT", f"Practitioner/{first}", professional(id=first, active=False)),
        entry("POST", "Practitioner", professional(IDNPS, PREFIXED)),
    ]
    assert [status(one) for one in await done(http, "transaction", *handed_on)] == [200, 201]
    again = [entry("DELETE", "Practitioner?active:missing=true"), entry("POST", "Practitioner", professional())]
    assert [status(one) for one in await done(http, "transaction", *again)] == [204, 201]


async def test_of_many_who_race_for_a_number_one_has_it(http: httpx.AsyncClient) -> None:
    bodies = [professional() if rank % 2 else professional(IDNPS, PREFIXED) for rank in range(16)]
    answers = await asyncio.gather(*(http.post("Practitioner", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15
    assert len(await found(http, f"Practitioner?identifier={RPPS}|{NUMBER}")) == 1


async def test_mirror_takes_what_others_keep(serve: Serve) -> None:
    async with serve(unique_identifiers=False) as server:
        for _ in range(2):
            await created(server.http, professional())
        answer = await server.http.put(f"Practitioner?identifier={IDNPS}|{PREFIXED}", json=professional())
        refused(answer, 412, "multiple-matches")
        assert issues(answer)[0]["diagnostics"].count("Practitioner/") == 2
        made = await found(server.http, "Practitioner")
    async with serve() as server:
        refused(await put(server.http, made[0], professional(active=True)), 409, "identifier-taken")
        assert (await put(server.http, made[0], professional(active=False))).status_code == 200


@pytest.mark.parametrize("type_", ["batch", "transaction"])
async def test_many_are_written_together(http: httpx.AsyncClient, type_: str) -> None:
    numbers = [fictitious_rpps(rank) for rank in range(50)]
    answers = await done(http, type_, *(entry("POST", "Practitioner", professional(value=one)) for one in numbers))
    assert {status(answer) for answer in answers} == {201}
    again = await done(http, "batch", *(entry("POST", "Practitioner", professional(value=one)) for one in numbers[:5]))
    assert {status(answer) for answer in again} == {409}
