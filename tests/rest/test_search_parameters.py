"""SearchParameters created at run time: checked when they are written, answered when their reindex is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from fhir_server.maintenance.reindexing import CatchingUp, in_turn
from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Head, StoreUnavailable
from tests.rest.asking import (
    Json,
    bundle,
    created,
    done,
    entry,
    etag,
    expressions,
    found,
    ids,
    issues,
    practitioner,
    refused,
    status,
)
from tests.rest.conftest import Serve, Server

URL = "https://example.org/fictif/SearchParameter/"


def parameter(code: str = "colour", **more: Any) -> Json:
    """Return a SearchParameter of the eye colour that practitioners have by an extension."""
    return {
        "resourceType": "SearchParameter",
        "id": code,
        "url": URL + code,
        "name": "Fictif",
        "status": "active",
        "description": "Fictif",
        "code": code,
        "base": ["Practitioner"],
        "type": "string",
        "expression": f"Practitioner.extension.where(url='{URL}{code}').value",
        **more,
    }


def coloured(colour: str, code: str = "colour", **more: Any) -> Json:
    return practitioner(extension=[{"url": URL + code, "valueString": colour}], **more)


async def put(http: httpx.AsyncClient, body: Json, expected: int = 201) -> httpx.Response:
    answer = await http.put(f"{body['resourceType']}/{body['id']}", json=body)
    assert answer.status_code == expected, answer.text
    return answer


async def indexed(server: Server) -> None:
    """Wait until no search parameter waits for a reindex."""
    async with asyncio.timeout(20):
        while (await server.service.context.followed()).registry.oldest:  # noqa: ASYNC110 as clients do
            await asyncio.sleep(0.01)


@asynccontextmanager
async def nobody_reindexes(server: Server) -> AsyncIterator[None]:
    async with in_turn(server.service.context.store):
        yield


# --- from its creation to its end ------------------------------------------------------------------------------------


async def test_a_new_parameter_is_refused_until_its_resources_are_indexed(server: Server) -> None:
    http = server.http
    red = (await created(http, coloured("Red")))["id"]
    refused(await http.get("Practitioner?colour=red"), 400, "search-parameter-unknown")
    async with nobody_reindexes(server):
        await put(http, parameter())
        blue = (await created(http, coloured("Blue")))["id"]
        for query in ("colour=red", "_sort=colour", "family=x&colour:missing=true"):
            answer = await http.get(f"Practitioner?{query}")
            refused(answer, 400, "search-parameter-reindexing")
            assert "being reindexed" in issues(answer)[0]["diagnostics"]
        lenient = await http.get("Practitioner?colour=red", headers={"Prefer": "handling=lenient"})
        refused(lenient, 400, "search-parameter-reindexing")
        assert await found(http, "Practitioner?family=Fictif") == [red, blue]
    await indexed(server)
    assert await found(http, "Practitioner?colour=red") == [red]
    assert await found(http, "Practitioner?_sort=-colour") == [red, blue]
    assert await found(http, "Practitioner?colour=blue") == [blue]


async def test_criteria_wait_for_the_index_too(server: Server) -> None:
    http = server.http
    body = await created(http, coloured("Red"))
    async with nobody_reindexes(server):
        await put(http, parameter())
        for answer in (
            await http.post("Practitioner", json=coloured("Red"), headers={"If-None-Exist": "colour=red"}),
            await http.put("Practitioner?colour=red", json=coloured("Red")),
            await http.delete("Practitioner?colour=red"),
        ):
            refused(answer, 400, "search-parameter-reindexing")
    await indexed(server)
    again = await http.post("Practitioner", json=coloured("Red"), headers={"If-None-Exist": "colour=red"})
    assert (again.status_code, again.json()["id"]) == (200, body["id"])


async def test_a_parameter_on_an_empty_server_answers_at_once(http: httpx.AsyncClient) -> None:
    await put(http, parameter())
    body = await created(http, coloured("Red"))
    assert await found(http, "Practitioner?colour=red") == [body["id"]]


async def test_a_changed_expression_is_indexed_anew(server: Server) -> None:
    http = server.http
    body = await created(http, coloured("Red", code="hair"))
    await put(http, parameter())
    await indexed(server)
    assert await found(http, "Practitioner?colour=red") == []
    async with nobody_reindexes(server):
        await put(http, parameter(expression=parameter("hair")["expression"]), 200)
        refused(await http.get("Practitioner?colour=red"), 400, "search-parameter-reindexing")
    await indexed(server)
    assert await found(http, "Practitioner?colour=red") == [body["id"]]


async def test_what_does_not_change_the_index_needs_no_reindex(server: Server) -> None:
    http = server.http
    body = await created(http, coloured("Red"))
    await put(http, parameter())
    await indexed(server)
    async with nobody_reindexes(server):
        await put(http, parameter(description="Said better"), 200)
        assert await found(http, "Practitioner?colour=red") == [body["id"]]


@pytest.mark.parametrize("end", ["delete", "retired", "draft", "unknown"])
async def test_an_ended_parameter_is_unknown_and_its_values_are_dropped(server: Server, end: str) -> None:
    http = server.http
    body = await created(http, coloured("Red"))
    await put(http, parameter())
    await indexed(server)
    if end == "delete":
        assert (await http.delete("SearchParameter/colour")).status_code == 204
    else:
        await put(http, parameter(status=end), 200)
    refused(await http.get("Practitioner?colour=red"), 400, "search-parameter-unknown")
    await indexed(server)
    assert not await entries_of(server, body["id"], "colour")
    await put(http, parameter(), 201 if end == "delete" else 200)
    await indexed(server)
    assert await found(http, "Practitioner?colour=red") == [body["id"]]
    assert await entries_of(server, body["id"], "colour")


async def entries_of(server: Server, id_: str, code: str) -> list[object]:
    async with server.service.context.store.snapshot() as snapshot:
        (stored,) = (await snapshot.read([key_of(id_)])).values()
        return [entry for entry in (await snapshot.entries([stored.key]))[stored.key] if entry.parameter == code]


def key_of(id_: str) -> Key:
    return Key("Practitioner", id_)


async def test_a_parameter_can_be_patched_and_part_of_a_transaction(server: Server) -> None:
    http = server.http
    answers = await done(
        http,
        "transaction",
        entry("PUT", "SearchParameter/colour", parameter(status="draft")),
        entry("POST", "Practitioner", coloured("Red")),
    )
    assert [status(answer) for answer in answers] == [201, 201]
    refused(await http.get("Practitioner?colour=red"), 400, "search-parameter-unknown")
    patch = [{"op": "replace", "path": "/status", "value": "active"}]
    headers = {"Content-Type": "application/json-patch+json", "If-Match": etag(1)}
    assert (await http.patch("SearchParameter/colour", json=patch, headers=headers)).status_code == 200
    await indexed(server)
    assert len(await found(http, "Practitioner?colour=red")) == 1


# --- what works with it ----------------------------------------------------------------------------------------------


async def test_references_in_extensions_can_be_followed(server: Server) -> None:
    """What the SAS asks for: a reference to a HealthcareService inside an extension."""
    http = server.http
    service = await created(http, {"resourceType": "HealthcareService", "name": "Garde"})
    schedule = await created(http, {"resourceType": "Schedule", "actor": [{"display": "Fictif"}]})
    url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Slot.serviceType"
    own = {"reference": f"HealthcareService/{service['id']}"}
    slot = await created(
        http,
        {
            "resourceType": "Slot",
            "schedule": {"reference": f"Schedule/{schedule['id']}"},
            "status": "free",
            "start": "2026-01-13T09:00:00Z",
            "end": "2026-01-13T09:15:00Z",
            "serviceType": [{"text": "Garde", "extension": [{"url": url, "valueReference": own}]}],
        },
    )
    expression = f"Slot.serviceType.extension.where(url='{url}').value"
    body = parameter("place", base=["Slot"], type="reference", expression=expression, target=["HealthcareService"])
    await put(http, body)
    await indexed(server)
    assert await found(http, f"Slot?place={service['id']}") == [slot["id"]]
    assert await found(http, "Slot?place.name=Garde") == [slot["id"]]
    assert await found(http, "HealthcareService?_has:Slot:place:status=free") == [service["id"]]
    assert await found(http, "Schedule?_has:Slot:schedule:place:HealthcareService.name=garde") == [schedule["id"]]
    for query in ("Slot?_include=Slot:place", "Slot?_include=*", "HealthcareService?_revinclude=Slot:place"):
        answer = await http.get(query)
        types = {one["resource"]["resourceType"] for one in answer.json()["entry"]}
        assert {"Slot", "HealthcareService"} <= types, query


async def test_a_chain_finds_what_is_contained(server: Server) -> None:
    http = server.http
    inside = {**coloured("Red"), "id": "inside"}
    role = await created(
        http, {"resourceType": "PractitionerRole", "contained": [inside], "practitioner": {"reference": "#inside"}}
    )
    await put(http, parameter())
    await indexed(server)
    assert await found(http, "PractitionerRole?practitioner.colour=red") == [role["id"]]


async def test_a_parameter_of_all_resources_is_one_of_each_type_and_of_the_system(server: Server) -> None:
    http = server.http
    body = await created(http, practitioner(language="fr"))
    await put(http, parameter("tongue", base=["Resource"], type="token", expression="Resource.language"))
    await indexed(server)
    assert await found(http, "Practitioner?tongue=fr") == [body["id"]]
    assert await found(http, "?tongue=fr") == [body["id"]]
    assert await found(http, "?tongue:missing=true") == ["tongue"]


async def test_it_is_told_wherever_parameters_are_told(server: Server) -> None:
    http = server.http
    before = server.app.openapi()
    assert "Practitioner.colour" not in before["components"]["parameters"]
    await put(http, parameter())
    resources = (await http.get("metadata")).json()["rest"][0]["resource"]
    (own,) = [one for one in resources if one["type"] == "Practitioner"]
    assert {"name": "colour", "definition": URL + "colour", "type": "string"} in own["searchParam"]
    after = server.app.openapi()
    assert URL + "colour" in after["components"]["parameters"]["Practitioner.colour"]["description"]
    answer = await http.get("Practitioner?color=red")
    assert 'did you mean "colour"' in issues(answer)[0]["diagnostics"]


async def test_large_bundles_are_indexed_by_it_in_their_process(serve: Serve) -> None:
    async with serve(preparers=1) as server:
        http = server.http
        await created(http, coloured("Red"))
        many = [entry("POST", "Practitioner", coloured("Blue")) for _ in range(120)]
        await done(http, "transaction", *many)
        await put(http, parameter())
        await indexed(server)
        await done(http, "transaction", *many)
        assert (await http.get("Practitioner?colour=blue&_summary=count")).json()["total"] == 240


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "path", "told"),
    [
        ({"expression": "Practitioner.colour"}, "expression", "no element colour"),
        ({"expression": "Practitioner.name.("}, "expression", "at 18"),
        ({"type": "composite"}, "type", "cannot be added"),
        ({"base": ["Encounter"]}, "base[0]", "not served"),
        ({"code": "family"}, "code", "http://hl7.org/fhir/SearchParameter/individual-family"),
        ({"code": "a:b"}, "code", "letters"),
    ],
)
async def test_a_definition_that_cannot_be_searched_by_is_refused(
    http: httpx.AsyncClient, more: Json, path: str, told: str
) -> None:
    body = {**parameter(), **more}
    answer = await http.put("SearchParameter/colour", json=body)
    assert answer.status_code == 422, answer.text
    assert ids(answer)[0] == "search-parameter-definition"
    assert expressions(answer)[0] == f"SearchParameter.{path}"
    assert told in issues(answer)[0]["diagnostics"]
    batch = await done(http, "batch", entry("PUT", "SearchParameter/colour", body))
    assert status(batch[0]) == 422
    whole = await http.post("", json=bundle("transaction", entry("PUT", "SearchParameter/colour", body)))
    assert whole.status_code in {400, 422}
    assert expressions(whole)[0] == f"Bundle.entry[0].resource.{path}" or path in expressions(whole)[0]
    await put(http, {**body, "status": "draft"})


async def test_two_active_ones_cannot_have_one_code_for_one_type(http: httpx.AsyncClient) -> None:
    await put(http, parameter())
    other = parameter(id="other", url=URL + "other")
    for body in (other, {**other, "base": ["Resource"], "expression": "id", "type": "token"}):
        answer = await http.put("SearchParameter/other", json=body)
        refused(answer, 409, "search-parameter-clash")
        assert "SearchParameter/colour" in issues(answer)[0]["diagnostics"]
    await put(http, {**other, "status": "draft"})
    await put(http, {**other, "base": ["Organization"], "expression": "Organization.name"}, 200)
    both = [
        entry("PUT", "SearchParameter/a", parameter("hair", id="a")),
        entry("PUT", "SearchParameter/b", parameter("hair", id="b")),
    ]
    refused(await http.post("", json=bundle("transaction", *both)), 409, "search-parameter-clash")


async def test_one_transaction_may_replace_a_parameter_by_another_of_its_code(server: Server) -> None:
    http = server.http
    body = await created(http, coloured("Red"))
    await put(http, parameter())
    await done(
        http,
        "transaction",
        entry("DELETE", "SearchParameter/colour"),
        entry("PUT", "SearchParameter/other", parameter(id="other", url=URL + "other")),
    )
    await indexed(server)
    assert await found(http, "Practitioner?colour=red") == [body["id"]]


async def test_r4s_own_definitions_can_be_stored_and_change_nothing(server: Server) -> None:
    http = server.http
    await created(http, practitioner())
    r4 = parameter(
        id="individual-family",
        url="http://hl7.org/fhir/SearchParameter/individual-family",
        code="family",
        base=["Patient", "Practitioner"],
        expression="Patient.name.family | Practitioner.name.family",
    )
    async with nobody_reindexes(server):
        await put(http, r4)
        assert len(await found(http, "Practitioner?family=fictif")) == 1
        await put(http, {**r4, "status": "retired"}, 200)
        assert len(await found(http, "Practitioner?family=fictif")) == 1


# --- many at once ----------------------------------------------------------------------------------------------------


async def test_many_definitions_at_once_are_all_stored(server: Server) -> None:
    http = server.http
    bodies = [parameter(f"p{number}") for number in range(30)]
    answers = await asyncio.gather(*(http.put(f"SearchParameter/{body['id']}", json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [201] * 30
    batch = [entry("PUT", f"SearchParameter/q{number}", parameter(f"q{number}")) for number in range(30)]
    assert {status(answer) for answer in await done(http, "batch", *batch)} == {201}
    await indexed(server)
    assert await found(http, "Practitioner?p7=x&q29=y") == []


async def test_of_two_that_clash_at_once_one_is_stored(http: httpx.AsyncClient) -> None:
    bodies = [parameter(id=f"a{number}", url=f"{URL}a{number}") for number in range(8)]
    answers = await asyncio.gather(*(http.put(f"SearchParameter/{body['id']}", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_what_is_written_during_a_reindex_is_found_as_it_was_written_last(server: Server) -> None:
    """Every resource is written again while older definitions' entries are being replaced."""
    http = server.http
    many = 300
    await done(
        http,
        "transaction",
        *(entry("PUT", f"Practitioner/p{number}", coloured("Old", id=f"p{number}")) for number in range(many)),
    )
    await put(http, parameter())

    async def write(first: int) -> None:
        for number in range(first, many, 4):
            await put(http, coloured("New" if number % 2 else "Other", id=f"p{number}"), 200)

    async def search() -> None:
        for _ in range(40):
            answer = await http.get("Practitioner?colour=old&_summary=count")
            if answer.status_code == 200:
                assert answer.json()["total"] <= many
            else:
                refused(answer, 400, "search-parameter-reindexing")

    await asyncio.gather(*(write(first) for first in range(4)), search())
    await indexed(server)
    counts = [
        (await http.get(f"Practitioner?colour={colour}&_summary=count")).json()["total"]
        for colour in ("old", "new", "other")
    ]
    assert counts == [0, many // 2, many // 2]


async def test_a_resource_that_cannot_be_indexed_holds_up_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = server.http
    async with nobody_reindexes(server):
        for number in range(70):
            await put(http, coloured("Red", id=f"p{number}"))
        await put(http, parameter())
        context = await server.service.context.followed()
        told: list[str] = []
        entries = context.indexer.entries

        def failing(resource: Json) -> Any:
            if resource["id"] == "p3":
                raise RuntimeError
            return entries(resource)

        monkeypatch.setattr(context.indexer, "entries", failing)
        work = CatchingUp(told.append)
        await work.run(context)
        await work.run(await context.followed())
        assert told == ["Practitioner/p3: its index entries cannot be computed (RuntimeError)"]
        async with context.store.snapshot() as snapshot:
            (left,) = await snapshot.outdated("Practitioner", context.registry.changed, 10)
        assert left.key.id == "p3"
        refused(await http.get("Practitioner?colour=red"), 400, "search-parameter-reindexing")


async def test_a_store_that_cannot_be_read_is_told_once(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing() -> Head:
        raise StoreUnavailable("nothing answers")

    http = server.http
    monkeypatch.setattr("fhir_server.maintenance.reindexing.LOOK_SECONDS", 0.001)
    with monkeypatch.context() as patch:
        patch.setattr(server.service.context.store, "head", failing)
        server.service.context.definitions.news.set()
        await asyncio.sleep(0.1)
        assert (await http.get("metadata")).status_code == 200
    told = [record.getMessage() for record in caplog.records if "definitions" in record.getMessage()]
    assert told == ["definitions cannot be followed now: nothing answers"]
    await put(http, parameter())
    assert await found(http, "Practitioner?colour=red") == []


# --- after a restart -------------------------------------------------------------------------------------------------


async def test_a_reindex_that_was_not_done_goes_on_after_a_restart(serve: Serve) -> None:
    async with serve() as server:
        body = await created(server.http, coloured("Red"))
        async with nobody_reindexes(server):
            await put(server.http, parameter())
    async with serve() as server:
        await indexed(server)
        assert await found(server.http, "Practitioner?colour=red") == [body["id"]]


async def test_another_server_on_the_same_store_follows(serve: Serve) -> None:
    """Two services on one store, as two worker processes have them."""
    async with serve() as one, serve() as other:
        body = await created(one.http, coloured("Red"))
        refused(await other.http.get("Practitioner?colour=red"), 400, "search-parameter-unknown")
        await put(one.http, parameter())
        await indexed(one)
        assert await found(other.http, "Practitioner?colour=red") == [body["id"]]
        assert (await one.http.delete("SearchParameter/colour")).status_code == 204
        refused(await other.http.get("Practitioner?colour=red"), 400, "search-parameter-unknown")
        await put(other.http, parameter(), 201)
        blue = await created(one.http, coloured("Blue"))
        await indexed(one)
        assert await found(one.http, "Practitioner?colour=blue") == [blue["id"]]
