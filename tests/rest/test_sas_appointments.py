"""INT_R03 on the platform's side: appointments that editors tell are created and updated, without races.

Rows are those of the exchange that an ordinary server does not do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.france.sas.telling import EDITOR, told
from tests.rest.asking import BASE, Json, created, found, refused
from tests.rest.conftest import Serve, Server

SAS = "http://127.0.0.1:8080/sas"


@pytest.fixture
async def rdv(serve: Serve) -> AsyncIterator[Server]:
    """A server that receives appointments, and whose client calls it as the platform is called."""
    async with serve(sas_rdv=True) as server:
        server.http.base_url = httpx.URL(f"{SAS}/")
        yield server


@pytest.fixture
def sas(rdv: Server) -> httpx.AsyncClient:
    return rdv.http


async def put(http: httpx.AsyncClient, body: Json, value: str = "rdv-1", name: str = "identifier") -> httpx.Response:
    return await http.put(f"Appointment?{name}={EDITOR}|{value}", json=body)


async def statuses(http: httpx.AsyncClient, value: str = "rdv-1") -> list[str]:
    page = (await http.get(f"{BASE}/Appointment?identifier={EDITOR}|{value}")).json()
    return [one["resource"]["status"] for one in page.get("entry", ())]


async def test_facts_9_row_37_create_is_201_with_location_and_again_409(sas: httpx.AsyncClient) -> None:
    answer = await sas.post("Appointment", json=told())
    assert answer.status_code == 201
    assert answer.headers["location"].startswith(f"{SAS}/Appointment/{answer.json()['id']}/")
    refused(await sas.post("Appointment", json=told()), 409, "sas-appointment-exists")
    refused(await sas.post("Appointment", json=told("cancelled")), 409, "sas-appointment-exists")
    assert await statuses(sas) == ["booked"]


async def test_facts_10_rows_7_and_8_conditional_update_ignores_the_id_and_tells_the_location(
    sas: httpx.AsyncClient,
) -> None:
    first = await put(sas, told(), name="Identifier")
    again = await put(sas, told(id="theirs"))
    moved = await put(sas, told(start="2026-01-06T13:00:00+01:00"))
    ended = await put(sas, told("fulfilled", id="theirs"))
    assert [one.status_code for one in (first, again, moved, ended)] == [201, 200, 200, 200]
    id_ = first.json()["id"]
    assert all(one.headers["location"].startswith(f"{SAS}/Appointment/{id_}/") for one in (again, moved, ended))
    assert again.headers["etag"] == first.headers["etag"]
    assert await statuses(sas) == ["fulfilled"]


async def test_life_cycle_has_one_way(sas: httpx.AsyncClient) -> None:
    for end, other in (("fulfilled", "noshow"), ("noshow", "cancelled"), ("cancelled", "booked")):
        for status in ("booked", "booked", end, end):
            assert (await put(sas, told(status, end), end)).status_code in {200, 201}
        answer = await put(sas, told(other, end), end)
        refused(answer, 409, "sas-appointment-status")
        told_text = answer.json()["issue"][0]["diagnostics"]
        assert end in told_text
        assert other in told_text
        id_ = (await found(sas, f"{BASE}/Appointment?identifier={EDITOR}|{end}"))[0]
        refused(await sas.put(f"Appointment/{id_}", json=told(other, end, id=id_)), 409, "sas-appointment-status")


async def test_what_is_wrong_is_422_and_not_stored(sas: httpx.AsyncClient) -> None:
    wrong: list[tuple[Json, tuple[str, ...]]] = [
        (told(extension=None, identifier=None), ("sas-appointment-field",)),
        (told(comment="x", slot=[{"reference": "Slot/none"}]), ("sas-appointment-minimal",)),
        (told("pending"), ("sas-appointment-field",)),
    ]
    for body, ids in wrong:
        refused(await sas.post("Appointment", json=body), 422, *ids)
        refused(await put(sas, body), 422, *ids)
    for unsound in (told(meta=[]), told(participant="x"), told(extension=[1])):
        assert (await sas.post("Appointment", json=unsound)).status_code in {400, 422}
    assert await statuses(sas) == []


async def test_rule_is_one_of_the_sas_path_alone(sas: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await sas.post(f"{BASE}/Appointment", json=told("pending", comment="x"))).status_code == 201


async def test_appointments_of_our_own_agendas_are_neither_found_nor_changed(sas: httpx.AsyncClient) -> None:
    sas.base_url = httpx.URL(f"{BASE}/")
    ours = await created(sas, told(comment="ours"))
    sas.base_url = httpx.URL(f"{SAS}/")
    answer = await put(sas, told())
    assert (answer.status_code, answer.json()["id"] != ours["id"]) == (201, True)
    assert (await put(sas, told("cancelled"))).status_code == 200
    refused(await sas.put(f"Appointment/{ours['id']}", json=told(id=ours["id"])), 409, "sas-appointment-own")
    assert (await sas.get(f"{BASE}/Appointment/{ours['id']}")).json() == ours


async def test_each_path_has_its_version(serve: Serve) -> None:
    body = told(participant=[{**told()["participant"][0], "status": "needs-action"}])
    async with serve(sas_paths=("/sas;guide=1.1.0;actors=rdv", "/sas/new;actors=rdv", "/sas/none")) as server:
        refused(await server.http.post(f"{SAS}/Appointment", json=body), 422, "sas-appointment-field")
        assert (await server.http.post(f"{SAS}/new/Appointment", json=body)).status_code == 201
        assert (await server.http.post(f"{SAS}/none/Appointment", json=body)).status_code == 405


async def race(*asked: Any) -> list[int]:
    return sorted(answer.status_code for answer in await asyncio.gather(*asked))


async def test_of_many_creates_of_one_identifier_one_wins(sas: httpx.AsyncClient) -> None:
    assert await race(*(sas.post("Appointment", json=told()) for _ in range(10))) == [201, *[409] * 9]
    updates = await race(*(put(sas, told(value="rdv-2"), "rdv-2") for _ in range(10)))
    assert updates == [*[200] * 9, 201]
    assert await statuses(sas) == await statuses(sas, "rdv-2") == ["booked"]


async def test_of_many_ends_of_one_appointment_one_wins(sas: httpx.AsyncClient) -> None:
    await sas.post("Appointment", json=told())
    ends = ("fulfilled", "noshow", "cancelled")
    assert await race(*(put(sas, told(end)) for end in ends)) == [200, 409, 409]
    (last,) = await statuses(sas)
    assert last in ends
