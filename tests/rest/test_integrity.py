"""Referential integrity: off, warn, enforce. https://hl7.org/fhir/R4/references.html"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable

import httpx
import pytest

from fhir_server.app import opened
from fhir_server.interactions.writing.integrity import REFERENCES
from fhir_server.maintenance.reindex import reindex
from fhir_server.search.query import Equality
from fhir_server.settings import Settings
from tests.rest.asking import (
    BASE,
    EXTENSION,
    Json,
    bundle,
    created,
    done,
    entry,
    expressions,
    ids,
    issues,
    organization,
    practitioner,
    refused,
    role,
    status,
    urn,
)
from tests.rest.conftest import Serve, Server, parts

TOLD = {"Prefer": "return=OperationOutcome"}


@pytest.fixture
async def strict(serve: Serve) -> AsyncIterator[Server]:
    async with serve(integrity="enforce") as server:
        await server.http.put("Practitioner/p", json=practitioner(id="p"))
        yield server


def transaction(*entries: Json) -> Json:
    return bundle("transaction", *entries)


# --- what is written -------------------------------------------------------------------------------------------------


async def test_references_are_not_looked_for_unless_it_is_asked_for(http: httpx.AsyncClient) -> None:
    made = await created(http, role("Practitioner/nobody"))
    await http.put("Practitioner/p", json=practitioner(id="p"))
    await created(http, role("Practitioner/p"))
    assert (await http.delete("Practitioner/p")).status_code == 204
    assert (await http.get(f"PractitionerRole/{made['id']}")).status_code == 200


@pytest.mark.parametrize(
    "reference", ["Practitioner/nobody", f"{BASE}/Practitioner/nobody", "Practitioner/p/_history/2"]
)
async def test_reference_to_what_is_not_there_is_refused(strict: Server, reference: str) -> None:
    answer = await strict.http.post("PractitionerRole", json=role(reference))
    refused(answer, 422, "reference-missing")
    assert expressions(answer) == ["PractitionerRole.practitioner.reference"]
    assert (await strict.http.get("PractitionerRole?_summary=count")).json()["total"] == 0


@pytest.mark.parametrize(
    "reference",
    ["Practitioner/p", f"{BASE}/Practitioner/p", "Practitioner/p/_history/1", f"{BASE}/Practitioner/p/_history/1"],
)
async def test_reference_to_what_is_there_is_stored(strict: Server, reference: str) -> None:
    await created(strict.http, role(reference))


@pytest.mark.parametrize("version", ["0", "01", "x", "9" * 30, "3", "2"])
async def test_reference_to_a_version_needs_that_version(strict: Server, version: str) -> None:
    await strict.http.delete("Practitioner/p")
    await strict.http.put("Practitioner/p", json=practitioner("Revenu", id="p"))
    answer = await strict.http.post("PractitionerRole", json=role(f"Practitioner/p/_history/{version}"))
    assert answer.status_code == (201 if version == "3" else 422), "version 2 is the deletion"


async def test_reference_to_what_was_deleted_is_refused(strict: Server) -> None:
    await strict.http.delete("Practitioner/p")
    refused(await strict.http.post("PractitionerRole", json=role("Practitioner/p")), 422, "reference-missing")


async def test_reference_to_a_type_that_is_not_served_is_refused(strict: Server) -> None:
    body = {
        "resourceType": "Provenance",
        "recorded": "2026-01-05T08:00:00Z",
        "target": [{"reference": "Observation/o"}],
    }
    body["agent"] = [{"who": {"reference": "Practitioner/p"}}]
    answer = await strict.http.post("Provenance", json=body)
    refused(answer, 422, "reference-missing")
    assert "not served" in issues(answer)[0]["diagnostics"]
    assert expressions(answer) == ["Provenance.target[0].reference"]


async def test_references_that_are_not_local_and_literal_do_not_count(strict: Server) -> None:
    await created(
        strict.http,
        role(
            "https://other.example.org/fhir/Practitioner/nobody",
            contained=[organization(id="o")],
            organization={"reference": "#o"},
            location=[{"identifier": {"system": "urn:x", "value": "y"}}, {"display": "là"}],
            healthcareService=[{"reference": "urn:uuid:5b1c0a3e-3f3a-4a9b-9c0e-000000000001"}],
            meta={"profile": ["StructureDefinition/nowhere"]},
        ),
    )


async def test_references_in_extensions_and_contained_resources_count(strict: Server) -> None:
    lost = {"url": EXTENSION, "valueReference": {"reference": "Practitioner/nobody"}}
    inside = organization(id="o", partOf={"reference": "Organization/nobody"})
    answer = await strict.http.post(
        "PractitionerRole", json=role(extension=[lost], contained=[inside], organization={"reference": "#o"})
    )
    refused(answer, 422, "reference-missing")
    assert sorted(expressions(answer)) == [
        "PractitionerRole.contained[0].partOf.reference",
        "PractitionerRole.extension[0].valueReference.reference",
    ]


async def test_updates_and_patches_are_held_to_the_same(strict: Server) -> None:
    made = await created(strict.http, role("Practitioner/p"))
    url = f"PractitionerRole/{made['id']}"
    refused(await strict.http.put(url, json={**made, **role("Practitioner/q")}), 422, "reference-missing")
    change = [{"op": "replace", "path": "/practitioner/reference", "value": "Practitioner/q"}]
    patch = await strict.http.patch(url, json=change, headers={"Content-Type": "application/json-patch+json"})
    refused(patch, 422, "reference-missing")
    assert (await strict.http.get(url)).json()["meta"]["versionId"] == "1"


async def test_resource_may_refer_to_itself(strict: Server) -> None:
    body = organization(id="o", partOf={"reference": "Organization/o"})
    assert (await strict.http.put("Organization/o", json=body)).status_code == 201
    assert (await strict.http.delete("Organization/o")).status_code == 204


# --- what is deleted -------------------------------------------------------------------------------------------------


async def test_what_is_referred_to_is_not_deleted(strict: Server) -> None:
    made = await created(strict.http, role("Practitioner/p"))
    answer = await strict.http.delete("Practitioner/p")
    refused(answer, 409, "reference-held")
    assert f"PractitionerRole/{made['id']}" in issues(answer)[0]["diagnostics"]
    assert (await strict.http.get("Practitioner/p")).status_code == 200
    assert (await strict.http.delete(f"PractitionerRole/{made['id']}")).status_code == 204
    assert (await strict.http.delete("Practitioner/p")).status_code == 204


async def test_some_of_many_referring_resources_are_named(strict: Server) -> None:
    for _ in range(7):
        await created(strict.http, role("Practitioner/p"))
    (issue,) = issues(await strict.http.delete("Practitioner/p"))
    assert issue["diagnostics"].count("PractitionerRole/") == 5
    assert issue["diagnostics"].endswith("and 2 more")


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "CareTeam", "managingOrganization": [{"reference": "Organization/o"}]},
        {
            "resourceType": "Practitioner",
            "qualification": [{"code": {"text": "c"}, "issuer": {"reference": "Organization/o"}}],
        },
        practitioner(identifier=[{"value": "1", "assigner": {"reference": "Organization/o"}}]),
        practitioner(extension=[{"url": EXTENSION, "valueReference": {"reference": f"{BASE}/Organization/o"}}]),
        role(
            contained=[organization(id="i", partOf={"reference": "Organization/o"})], organization={"reference": "#i"}
        ),
        role(organization={"reference": "Organization/o/_history/1"}),
    ],
    ids=["no parameter", "backbone", "identifier", "extension", "contained", "version"],
)
async def test_references_without_a_search_parameter_hold_their_target_too(strict: Server, body: Json) -> None:
    await strict.http.put("Organization/o", json=organization(id="o"))
    made = await created(strict.http, body)
    refused(await strict.http.delete("Organization/o"), 409, "reference-held")
    assert (await strict.http.delete(f"{made['resourceType']}/{made['id']}")).status_code == 204
    assert (await strict.http.delete("Organization/o")).status_code == 204


async def test_conditional_delete_is_held_to_the_same(strict: Server) -> None:
    await strict.http.put("Practitioner/q", json=practitioner(id="q"))
    await created(strict.http, role("Practitioner/p"))
    refused(await strict.http.delete("Practitioner?family=fictif"), 409, "reference-held")
    assert (await strict.http.get("Practitioner/q")).status_code == 200, "all or none"


async def test_resource_that_refers_no_more_holds_nothing(strict: Server) -> None:
    await strict.http.put("Practitioner/q", json=practitioner(id="q"))
    made = await created(strict.http, role("Practitioner/p"))
    url = f"PractitionerRole/{made['id']}"
    assert (await strict.http.put(url, json=role("Practitioner/q", id=made["id"]))).status_code == 200
    assert (await strict.http.delete("Practitioner/p")).status_code == 204
    refused(await strict.http.delete("Practitioner/q"), 409, "reference-held")


# --- in one commit ---------------------------------------------------------------------------------------------------


async def test_entries_of_a_transaction_may_refer_to_each_other(strict: Server) -> None:
    await done(
        strict.http,
        "transaction",
        entry("POST", "PractitionerRole", role(urn(1)), urn(2)),
        entry("POST", "Practitioner", practitioner("Neuf"), urn(1)),
        entry("PUT", "PractitionerRole/r", role("Practitioner/q", id="r")),
        entry("PUT", "Practitioner/q", practitioner(id="q")),
    )


async def test_transaction_is_judged_by_what_it_leaves(strict: Server) -> None:
    made = await created(strict.http, role("Practitioner/p"))
    url = f"PractitionerRole/{made['id']}"
    both = (entry("DELETE", "Practitioner/p"), entry("DELETE", url))
    await done(strict.http, "transaction", *both)
    await strict.http.put("Practitioner/p", json=practitioner(id="p"))
    await strict.http.put("Practitioner/q", json=practitioner(id="q"))
    await strict.http.put(url, json=role("Practitioner/p", id=made["id"]))
    moved = entry("PUT", url, role("Practitioner/q", id=made["id"]))
    await done(strict.http, "transaction", entry("DELETE", "Practitioner/p"), moved)


async def test_transaction_that_breaks_references_names_the_entries(strict: Server) -> None:
    answer = await strict.http.post(
        "",
        json=transaction(
            entry("DELETE", "Practitioner/p"),
            entry("POST", "PractitionerRole", role("Practitioner/p")),
            entry("POST", "PractitionerRole", role("Practitioner/nobody")),
        ),
    )
    refused(answer, 422, "reference-missing")
    assert sorted(expressions(answer)) == [f"Bundle.entry[{n}].resource.practitioner.reference" for n in (1, 2)]
    await created(strict.http, role("Practitioner/p"))
    answer = await strict.http.post("", json=transaction(entry("DELETE", "Practitioner/p")))
    refused(answer, 409, "reference-held")
    assert expressions(answer) == ["Bundle.entry[0].request.url"]


async def test_entry_of_a_batch_fails_alone(strict: Server) -> None:
    answers = await done(
        strict.http,
        "batch",
        entry("POST", "PractitionerRole", role("Practitioner/nobody")),
        entry("POST", "PractitionerRole", role("Practitioner/p")),
    )
    assert [status(answer) for answer in answers] == [422, 201]


# --- at the same time ------------------------------------------------------------------------------------------------


async def staggered(
    requests: Iterable[Coroutine[None, None, httpx.Response]], seconds: float | None
) -> list[httpx.Response]:
    """Start each request that much after the one before it, or as soon as that is answered; None: not before."""
    tasks: list[asyncio.Task[httpx.Response]] = []
    for request in requests:
        tasks.append(asyncio.create_task(request))
        await asyncio.wait(tasks[-1:], timeout=seconds)
    return await asyncio.gather(*tasks)


async def test_reference_and_deletion_of_its_target_never_both_pass(strict: Server) -> None:
    told = []
    for round_ in range(30):
        url = f"Practitioner/p{round_}"
        await strict.http.put(url, json=practitioner(id=f"p{round_}"))
        requests = [
            strict.http.post("PractitionerRole", json=role(url)),
            strict.http.delete(url),
            strict.http.post("", json=transaction(entry("POST", "PractitionerRole", role(url)))),
        ]
        order = [0, 1, 2][round_ % 3 :] + [0, 1, 2][: round_ % 3]
        apart = None if round_ >= 27 else round_ // 3 / 1000
        answers = dict(zip(order, await staggered((requests[n] for n in order), apart), strict=True))
        is_deleted = (await strict.http.get(url)).status_code == 410
        holders = (await strict.http.get(f"PractitionerRole?practitioner={url}")).json()["total"]
        assert is_deleted == (answers[1].status_code == 204)
        assert holders == (answers[0].status_code == 201) + (answers[2].status_code == 200)
        assert not (is_deleted and holders)
        told.append(is_deleted)
    assert set(told) == {True, False}, "the last rounds are no race: whoever is first wins"


async def test_update_that_moves_a_reference_races_with_the_deletion(strict: Server) -> None:
    for round_ in range(20):
        old, new = f"Practitioner/a{round_}", f"Practitioner/b{round_}"
        for url in (old, new):
            await strict.http.put(url, json=practitioner(id=url.partition("/")[2]))
        made = await created(strict.http, role(old))
        url = f"PractitionerRole/{made['id']}"
        await asyncio.gather(
            strict.http.put(url, json=role(new, id=made["id"])), strict.http.delete(old), strict.http.delete(new)
        )
        target = (await strict.http.get(url)).json()["practitioner"]["reference"]
        assert (await strict.http.get(target)).status_code == 200


# --- warn ------------------------------------------------------------------------------------------------------------


async def test_warnings_forbid_nothing_and_are_told(serve: Serve) -> None:
    async with serve(integrity="warn") as server:
        http = server.http
        made = await http.post("PractitionerRole", json=role("Practitioner/p"), headers=TOLD)
        assert made.status_code == 201
        (issue,) = [issue for issue in issues(made) if issue["severity"] == "warning"]
        assert issue["details"]["coding"][0]["code"] == "reference-missing"
        await http.put("Practitioner/p", json=practitioner(id="p"))
        assert (await http.post("PractitionerRole", json=role("Practitioner/p"))).status_code == 201
        (answer,) = await done(http, "transaction", entry("DELETE", "Practitioner/p"))
        assert status(answer) == 204
        assert ids(answer["response"]["outcome"]) == ["reference-held"]
        await http.put("Practitioner/p", json=practitioner("Revenu", id="p"))
        gone = await http.delete("Practitioner/p", headers=TOLD)
        assert gone.status_code == 200
        assert [issue["severity"] for issue in issues(gone)] == ["information", "warning"]


@pytest.mark.parametrize(("integrity", "policy"), [("off", False), ("warn", False), ("enforce", True)])
async def test_statement_tells_whether_references_are_enforced(serve: Serve, integrity: str, policy: bool) -> None:
    async with serve(integrity=integrity) as server:
        statement = (await server.http.get("metadata")).json()
        for described in statement["rest"][0]["resource"]:
            assert ("enforced" in described["referencePolicy"]) == policy


# --- what was stored before ------------------------------------------------------------------------------------------


async def test_references_stored_before_are_seen_by_their_parameter_and_after_a_reindex_all(
    serve: Serve, store_url: str
) -> None:
    async with serve() as server:
        for id_ in ("by-parameter", "otherwise"):
            await server.http.put(f"Organization/{id_}", json=organization(id=id_))
        await created(server.http, role(organization={"reference": "Organization/by-parameter"}))
        await created(
            server.http, {"resourceType": "CareTeam", "managingOrganization": [{"reference": "Organization/otherwise"}]}
        )
    async with opened(Settings(store=store_url, integrity="enforce"), parts()) as service:
        await reindex(service.context, sorted(service.context.registry.types), tell=print)
    async with serve(integrity="enforce") as server:
        for id_ in ("by-parameter", "otherwise"):
            refused(await server.http.delete(f"Organization/{id_}"), 409, "reference-held")


async def test_references_stored_before_are_seen_by_their_parameter_without_a_reindex(serve: Serve) -> None:
    async with serve() as server:
        await server.http.put("Organization/o", json=organization(id="o"))
        await created(server.http, role(organization={"reference": "Organization/o"}))
    async with serve(integrity="enforce") as server:
        refused(await server.http.delete("Organization/o"), 409, "reference-held")


async def test_nothing_more_is_indexed_unless_it_is_asked_for(server: Server, serve: Serve) -> None:
    body = role("Practitioner/p", id="r")
    assert not [entry for entry in server.service.context.indexer.entries(body) if entry.parameter == REFERENCES]
    indexer = serve(integrity="warn").service.context.indexer
    assert Equality(REFERENCES, "Practitioner/p") in indexer.entries(body)
