"""Bookings over HTTP: what appointments do to their slots, by each interaction and under races, on each engine."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.rest.asking import BASE, Json, created, done, entry, etag, found, ids, post, refused, status, urn
from tests.rest.conftest import Serve
from tests.rounds import FULL
from tests.scheduling.worlds import appointment, seen, slot


async def stored(http: httpx.AsyncClient, *resources: Json) -> None:
    """Have resources; all of them are allowed."""
    await done(http, "transaction", *(entry("PUT", f"{r['resourceType']}/{r['id']}", r) for r in resources))


async def statuses(http: httpx.AsyncClient, *slots: str) -> list[str]:
    return [seen((await http.get(f"Slot/{id_}")).json()) for id_ in slots]


async def test_create_takes_the_slot_in_the_same_commit(http: httpx.AsyncClient) -> None:
    await stored(http, slot("a"))
    answer = await http.post("Appointment", json=appointment("x", "a"))
    assert answer.json()["resourceType"] == "Appointment"
    after = (await http.get("Slot/a")).json()
    assert (seen(after), after["meta"]["versionId"]) == ("busy*", "2")
    assert after["meta"]["lastUpdated"] == answer.json()["meta"]["lastUpdated"]
    refused(await http.post("Appointment", json=appointment("y", "a")), 409, "slot-full")
    assert len(await found(http, "Appointment?slot=Slot/a")) == 1
    versions = (await http.get("Slot/a/_history")).json()["entry"]
    assert [one["request"]["method"] for one in versions] == ["PUT", "PUT"]


async def test_slot_that_ends_long_before_it_starts_is_refused(http: httpx.AsyncClient) -> None:
    refused(await http.post("Slot", json={**slot("a"), "end": "2019-01-05T09:00:00Z"}), 422, "booking-times")


async def test_bytes_of_the_slot_stay_as_they_came(http: httpx.AsyncClient) -> None:
    security = [
        {"system": "https://mos.esante.gouv.fr/NOS/TRE_R314-TypeCreneau/FHIR/TRE-R314-TypeCreneau", "code": "SNP"}
    ]
    meta = {"profile": ["http://sas.fr/fhir/StructureDefinition/FrSlotAgregateur"], "security": security}
    note = {"url": "https://example.org/StructureDefinition/note", "valueDecimal": 0}
    body = {"comment": "é", **slot("a"), "extension": [note], "overbooked": False, "meta": meta}
    text = httpx.Request("PUT", BASE, json=body).content.replace(b'"valueDecimal":0', b'"valueDecimal":1.50')
    headers = {"Content-Type": "application/fhir+json"}
    assert (await http.put("Slot/a", content=text, headers=headers)).status_code == 201
    before = (await http.get("Slot/a")).content
    await created(http, appointment("x", "a"))
    mark = b',{"url":"https://cpts.example.org/fhir/StructureDefinition/slot-booked","valueBoolean":true}'
    during = (await http.get("Slot/a")).content
    assert during.count(mark) == 1 and b"1.50" in during
    unmarked = during.replace(mark, b"").replace(b'"status":"busy"', b'"status":"free"')
    assert _without_stamp(unmarked) == _without_stamp(before)
    (held,) = await found(http, "Appointment?slot=Slot/a")
    assert (await http.delete(f"Appointment/{held}")).status_code == 204
    assert _without_stamp((await http.get("Slot/a")).content) == _without_stamp(before)


def _without_stamp(body: bytes) -> tuple[bytes, bytes]:
    before, _, rest = body.partition(b'"versionId"')
    return before, rest.partition(b'"profile"')[2]


async def test_life_of_a_booking_by_every_interaction(http: httpx.AsyncClient) -> None:
    await stored(http, slot("a"), slot("b", "10:00", "10:30"))
    assert (await http.put("Appointment/x", json=appointment("x", "a"))).status_code == 201
    again = await http.put("Appointment/x", json=appointment("x", "a"))
    assert (again.status_code, again.headers["ETag"]) == (200, etag(1))  # nothing has changed
    assert (await http.get("Slot/a")).headers["ETag"] == etag(2)

    json_patch = {"Content-Type": "application/json-patch+json"}
    moved = [{"op": "replace", "path": "/slot/0/reference", "value": f"{BASE}/Slot/b"}]
    assert (await http.patch("Appointment/x", json=moved, headers=json_patch)).status_code == 200
    assert await statuses(http, "a", "b") == ["free", "busy*"]
    for state, wanted in (("arrived", "busy*"), ("fulfilled", "busy*"), ("noshow", "free"), ("booked", "busy*")):
        change = [{"op": "replace", "path": "/status", "value": state}]
        assert (await http.patch("Appointment/x", json=change, headers=json_patch)).status_code == 200
        assert await statuses(http, "b") == [wanted], state

    freed = [{"op": "replace", "path": "/status", "value": "free"}]
    refused(await http.patch("Slot/b", json=freed, headers=json_patch), 409, "slot-held")
    refused(await http.delete("Slot/b"), 409, "slot-held")
    refused(await http.put("Slot/b", json=slot("b", "10:05", "10:35", "busy")), 409, "slot-held")
    refused(
        await http.put("Slot/b", json=slot("b", "10:00", "10:30"), headers={"If-Match": etag(1)}), 412, "precondition"
    )
    assert (await http.delete("Slot?schedule=Schedule/s")).status_code == 204
    assert await found(http, "Slot?schedule=Schedule/s") == ["b"]

    assert (await http.delete("Appointment?status=booked")).status_code == 204
    assert await statuses(http, "b") == ["free"]
    assert (await http.delete("Slot/b")).status_code == 204


async def test_a_transaction_books_what_it_makes(http: httpx.AsyncClient) -> None:
    """By ``urn:uuid``, with the slot free or busy; by criteria; with the client's own busy of a slot under If-Match."""
    await stored(http, slot("c", "11:00", "11:30", identifier=[{"system": "https://example.org/fictif", "value": "c"}]))
    await stored(http, slot("d", "12:00", "12:30"))
    answers = await done(
        http,
        "transaction",
        entry("POST", "Appointment", appointment("w", urn(1))),
        entry("POST", "Slot", slot("a"), urn(1)),
        entry("POST", "Appointment", appointment("x", urn(2))),
        entry("POST", "Slot", slot("b", "10:00", "10:30", "busy"), urn(2)),
        entry("POST", "Appointment", appointment("y", "Slot?identifier=https://example.org/fictif|c")),
        entry("PUT", "Slot/d", slot("d", "12:00", "12:30", "busy"), ifMatch=etag(1)),
        entry("PUT", "Appointment/z", appointment("z", "d"), ifNoneMatch="*"),
    )
    assert [status(answer) for answer in answers] == [201, 201, 201, 201, 201, 200, 201]
    slots = (await http.get("Slot?schedule=Schedule/s&_sort=start")).json()["entry"]
    assert [seen(one["resource"]) for one in slots] == ["busy*"] * 4
    assert [one["resource"]["meta"]["versionId"] for one in slots] == ["1", "1", "2", "2"]


async def test_refusals_of_a_transaction_tell_their_entries(http: httpx.AsyncClient) -> None:
    await stored(http, slot("a"))
    await created(http, appointment("x", "a"))
    answer = await post(
        http,
        "transaction",
        entry("POST", "Slot", slot("n", "12:00", "12:30")),
        entry("POST", "Appointment", appointment("y", "a")),
        entry("DELETE", "Slot/a"),
    )
    refused(answer, 409, "slot-held")
    issue = answer.json()["issue"][0]
    assert issue["expression"] == ["Bundle.entry[2].request.url"]
    answer = await post(http, "transaction", entry("POST", "Appointment", appointment("y", "a", "q")))
    refused(answer, 422, "slot-missing")
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.slot[1].reference"]
    assert await found(http, "Slot?schedule=Schedule/s") == ["a"]


async def test_two_bookings_of_one_bundle_are_told_of_each_other(http: httpx.AsyncClient) -> None:
    """In a transaction none is stored, so each is called by its entry; in a batch one is."""
    await stored(http, slot("a"))
    both = [entry("POST", "Appointment", appointment(one, "a"), urn(place)) for place, one in enumerate("xy")]
    answer = await post(http, "transaction", *both)
    refused(answer, 409, "slot-full")
    assert {(tuple(one["expression"]), one["diagnostics"]) for one in answer.json()["issue"]} == {
        (
            (f"Bundle.entry[{place}].resource.slot[0].reference",),
            f"Slot/a has 1 place, held by the Appointment of Bundle.entry[{1 - place}]",
        )
        for place in (0, 1)
    }
    assert (await statuses(http, "a"), await found(http, "Appointment?slot=Slot/a")) == (["free"], [])
    answers = (await post(http, "batch", *both)).json()["entry"]
    assert sorted(map(status, answers)) == [201, 409]
    (holder,) = await found(http, "Appointment?slot=Slot/a")
    (lost,) = (one["response"]["outcome"]["issue"][0] for one in answers if status(one) == 409)
    assert lost["diagnostics"] == f"Slot/a has 1 place, held by Appointment/{holder}"


async def test_publishing_replaces_what_is_not_held_and_says_what_stays(http: httpx.AsyncClient) -> None:
    await stored(http, slot("a"), slot("b", "10:00", "10:30"), slot("c", "11:00", "12:00", capacity=3))
    await created(http, appointment("x", "a"))
    await created(http, appointment("y", "c"))
    window = "Slot?schedule=Schedule/s&start=ge2030-01-15&start=lt2030-01-16"
    answers = await done(
        http,
        "transaction",
        entry("DELETE", window),
        entry("POST", "Slot", slot("n", "09:30", "10:00")),
        entry("POST", "Slot", slot("m", "10:00", "11:00")),
    )
    assert [status(answer) for answer in answers] == [204, 201, 201]
    assert ids(answers[0]["response"]["outcome"]) == ["slot-kept", "slot-kept"]
    slots = (await http.get("Slot?schedule=Schedule/s&_sort=start")).json()["entry"]
    assert [seen(one["resource"]) for one in slots] == ["busy*", "free", "free", "free"]
    again = (entry("DELETE", f"{window}&status=free"), entry("POST", "Slot", slot("n", "11:30", "12:30")))
    answer = await post(http, "transaction", *again)
    refused(answer, 409, "slot-overlap")
    assert "Slot/c" in answer.text
    assert len(await found(http, "Slot?schedule=Schedule/s&status=free")) == 3


async def test_a_booking_closes_what_overlaps_and_a_move_opens_it(http: httpx.AsyncClient) -> None:
    await stored(http, slot("a"), slot("b", "09:15", "09:45"), slot("c", "08:00", "12:00"), slot("d", "09:30", "10:00"))
    await stored(http, appointment("x", "a"))
    assert await statuses(http, "a", "b", "c", "d") == ["busy*", "busy*", "busy*", "free"]
    await stored(http, appointment("x", "d"))
    assert await statuses(http, "a", "b", "c", "d") == ["free", "busy*", "busy*", "busy*"]
    await stored(http, appointment("x", "d", status="cancelled"))
    assert await statuses(http, "a", "b", "c", "d") == ["free"] * 4


async def test_a_capacity_is_a_number_from_one_on(http: httpx.AsyncClient) -> None:
    url = "https://cpts.example.org/fhir/StructureDefinition/slot-capacity"
    for value in ({"valueInteger": 0}, {"valueString": "3"}, {"valueBoolean": True}):
        refused(await http.post("Slot", json=slot("a", extension=[{"url": url, **value}])), 422, "slot-capacity-value")
    both = [{"url": url, "valuePositiveInt": 2}, {"url": url, "valuePositiveInt": 3}]
    refused(await http.post("Slot", json=slot("a", extension=both)), 422, "slot-capacity-value")


async def test_a_mirror_of_another_agenda_stores_what_it_is_told(serve: Serve) -> None:
    async with serve(booking=False) as server:
        await stored(server.http, slot("a", status="busy"), appointment("x", "a"), appointment("y", "a"))
        assert (await server.http.delete("Slot/a")).status_code == 204


async def test_profiles_are_demanded_of_those_who_write_slots_not_of_those_who_book_them(serve: Serve) -> None:
    async with serve() as server:
        await stored(server.http, slot("a"))
    async with serve(profiles=("Slot=https://example.org/StructureDefinition/absent",)) as server:
        refused(await server.http.put("Slot/a", json=slot("a", comment="x")), 422, "profile-not-checked")
        await created(server.http, appointment("x", "a"))
        assert await statuses(server.http, "a") == ["busy*"]


async def test_somebody_in_two_appointments_at_once_is_a_setting(serve: Serve) -> None:
    declined = [{"actor": {"reference": "Practitioner/p"}, "status": "declined"}]
    async with serve(actor_overlap="refuse") as server:
        http = server.http
        await stored(http, appointment("x"), slot("a", capacity=2, schedule="t"))
        refused(await http.post("Appointment", json=appointment("y", start="09:15", end="10:00")), 409, "actor-overlap")
        assert (await http.post("Appointment", json=appointment("y", start="09:30", end="10:00"))).status_code == 201
        assert (await http.post("Appointment", json=appointment("y", participant=declined))).status_code == 201
        assert (await http.put("Appointment/x", json=appointment("x", status="arrived"))).status_code == 200
        both = [entry("POST", "Appointment", appointment(one, start="11:00", end="12:00")) for one in "vw"]
        refused(await post(http, "transaction", *both), 409, "actor-overlap")
        session = [entry("POST", "Appointment", appointment(o, "a", start="14:00", end="15:00")) for o in "vw"]
        assert (await post(http, "transaction", *session)).status_code == 200
    async with serve(actor_overlap="warn") as server:
        answer = await server.http.post(
            "Appointment", json=appointment("z"), headers={"Prefer": "return=OperationOutcome"}
        )
        assert answer.status_code == 201
        assert "Appointment/x" in answer.json()["issue"][1]["diagnostics"]


# --- races -----------------------------------------------------------------------------------------------------------


async def _race(clients: Sequence[httpx.AsyncClient], many: int, slots: int) -> Counter[tuple[int, str]]:
    """Have many bookings of a few slots at once; return how they were answered."""

    async def book(number: int) -> tuple[int, str]:
        http = clients[number % len(clients)]
        answer = await http.put(f"Appointment/r{number}", json=appointment(f"r{number}", f"a{number % slots}"))
        return answer.status_code, "" if answer.status_code == 201 else ids(answer)[0]

    return Counter(await asyncio.gather(*map(book, range(many))))


async def _winners(http: httpx.AsyncClient) -> Counter[str]:
    answer = (await http.get("Appointment?_count=1000")).json().get("entry", ())
    return Counter(one["resource"]["slot"][0]["reference"] for one in answer)


@pytest.mark.torture
async def test_every_slot_has_one_winner_and_everybody_else_is_told_so(http: httpx.AsyncClient) -> None:
    many, few = (500, 50) if FULL else (50, 5)
    hours = [f"{8 + n // 5:02}" for n in range(few)]
    await stored(http, *(slot(f"a{n}", f"{h}:00", f"{h}:30", schedule=f"s{n % 5}") for n, h in enumerate(hours)))
    assert await _race([http], many, few) == {(201, ""): few, (409, "slot-full"): many - few}
    assert set((await _winners(http)).values()) == {1}
    assert set(await statuses(http, *(f"a{n}" for n in range(few)))) == {"busy*"}


@pytest.mark.torture
async def test_a_session_takes_as_many_as_it_has_places_and_overlapping_slots_one(serve: Serve) -> None:
    """By two servers on one store; and everybody is told what is so, nobody that something has moved."""
    many, places = (200, 40) if FULL else (40, 9)
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(serve()) for _ in range(2)]
        await stored(one.http, slot("a0", capacity=places, schedule="t"))
        answers = await _race([one.http, other.http], many, 1)
        assert answers == {(201, ""): places, (409, "slot-full"): many - places}
        assert await statuses(one.http, "a0") == ["busy*"]
        beside = [slot(f"a{n}", f"09:{n:02}", f"09:{n + 30}") for n in range(10, 20)]
        await stored(one.http, *beside, slot("a1", "09:25", "09:26"))
        clients = [one.http, other.http] * len(beside)
        booked = [appointment(f"b{n}", beside[n // 2]["id"]) for n in range(len(clients))]
        tries = [h.put(f"Appointment/{b['id']}", json=b) for h, b in zip(clients, booked, strict=True)]
        got = Counter(answer.status_code for answer in await asyncio.gather(*tries))
        assert got == {201: 1, 409: 19}


async def test_bookings_that_share_a_commit_see_each_other(serve: Serve) -> None:
    """With parallel slots a booking searches nothing, so MongoDB too writes many of them together."""
    async with serve(parallel_slots=True) as server:
        await stored(server.http, slot("a0"), slot("a1", capacity=6), slot("a2", capacity=3))
        assert await _race([server.http], 60, 3) == {(201, ""): 10, (409, "slot-full"): 50}
        winners = await _winners(server.http)
        assert winners == {"Slot/a0": 1, "Slot/a1": 6, "Slot/a2": 3}


@pytest.mark.torture
async def test_a_booked_time_is_never_offered_while_bookings_race_with_publications(serve: Serve) -> None:
    """Publications replace what is free, or add to it: neither reads what the other request writes."""
    rounds = 20 if FULL else 6
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(serve()) for _ in range(2)]
        for turn in range(rounds):
            schedule = f"s{turn}"
            await stored(one.http, *(slot(f"{turn}a{n}", *time, schedule=schedule) for n, time in enumerate(TIMES)))
            shifted = [slot("n", f"{hour:02}:15", f"{hour:02}:44", schedule=schedule) for hour in (8, 9)]
            entries = [entry("PUT", f"Slot/{turn}n{n}", {**new, "id": f"{turn}n{n}"}) for n, new in enumerate(shifted)]
            if turn % 2:
                entries.append(entry("DELETE", f"Slot?schedule=Schedule/{schedule}&status=free"))
            booked = [appointment(f"{turn}r{n}", f"{turn}a{n}") for n in range(len(TIMES))]
            publishing = post(other.http, "transaction", *entries)
            bookings = [one.http.put(f"Appointment/{body['id']}", json=body) for body in booked]
            answers = await asyncio.gather(publishing, *bookings)
            assert all(answer.status_code in (200, 201, 409, 422) for answer in answers)
            assert not any("moved" in ids(answer) for answer in answers if answer.status_code == 409)
            held = {
                body["slot"][0]["reference"][5:] for body, a in zip(booked, answers[1:], strict=True) if a.is_success
            }
            there = (await one.http.get(f"Slot?schedule=Schedule/{schedule}")).json()["entry"]
            slots = [found["resource"] for found in there]
            busy = [found for found in slots if found["id"] in held]
            free = [found for found in slots if found["status"] == "free"]
            assert {found["status"] for found in busy} <= {"busy"} and len(busy) == len(held)
            assert not [(b, f) for b in busy for f in free if b["start"] < f["end"] and f["start"] < b["end"]]


TIMES = [(f"{hour:02}:{minute:02}", f"{hour:02}:{minute + 29}") for hour in (8, 9) for minute in (0, 30)]
