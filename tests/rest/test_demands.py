"""Profiles that are demanded of what is written, and those that resources claim."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.interactions.context import Context
from fhir_server.interactions.writing import conforming
from fhir_server.interactions.writing.intents import Prepared
from tests.rest.asking import Json, created, done, entry, expressions, ids, organization, practitioner, refused, status
from tests.rest.conftest import Serve
from tests.rest.test_validate import NAMED, defined

URL = NAMED["url"]
OUTCOME = {"Prefer": "return=OperationOutcome"}


@pytest.mark.parametrize("demand", [URL, f"Practitioner={URL}"])
async def test_resource_of_the_type_must_conform(serve: Serve, demand: str) -> None:
    async with serve(profiles=(demand,)) as running:
        http = running.http
        await created(http, defined(NAMED))
        answer = await http.post("Practitioner", json=practitioner())
        refused(answer, 422, "profile-min")
        assert expressions(answer) == ["Practitioner.identifier"]
        stored = await created(http, practitioner(value="1"))
        without = {name: value for name, value in stored.items() if name != "identifier"}
        refused(await http.put(f"Practitioner/{stored['id']}", json=without), 422, "profile-min")
        assert (await http.get("Practitioner?_summary=count")).json()["total"] == 1
        await created(http, organization())


async def test_what_is_no_fhir_is_told_before_the_profile(serve: Serve) -> None:
    async with serve(profiles=(URL,)) as running:
        await created(running.http, defined(NAMED))
        refused(await running.http.post("Practitioner", json=practitioner(gender="a")), 400, "code-required")


async def test_transaction_is_refused_with_the_entries_that_do_not_conform(serve: Serve) -> None:
    async with serve(profiles=(URL,)) as running:
        http = running.http
        await created(http, defined(NAMED))
        entries = [entry("POST", "Practitioner", practitioner(value=value)) for value in ("1", None, "3", None)]
        answer = await http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        refused(answer, 422, "profile-min")
        assert expressions(answer) == [f"Bundle.entry[{place}].resource.identifier" for place in (1, 3)]
        assert [status(one) for one in await done(http, "batch", *entries)] == [201, 422, 201, 422]


async def test_demand_of_a_type_whose_profile_is_not_loaded_lets_nothing_pass(serve: Serve) -> None:
    async with serve(profiles=(f"Practitioner={URL}",)) as running:
        refused(await running.http.post("Practitioner", json=practitioner(value="1")), 422, "profile-not-checked")
        await created(running.http, organization())


async def test_demand_without_a_type_warns_until_its_profile_is_loaded(serve: Serve) -> None:
    async with serve(profiles=(URL,)) as running:
        answer = await running.http.post("Practitioner", json=practitioner(), headers=OUTCOME)
        assert (answer.status_code, ids_of_warnings(answer.json())) == (201, ["profile-not-checked"])


def ids_of_warnings(outcome: Json) -> list[str]:
    return ids({**outcome, "issue": [one for one in outcome["issue"] if one["severity"] == "warning"]})


@pytest.mark.parametrize(
    ("claims", "expected"),
    [("ignore", (201, [])), ("note", (201, [])), ("warn", (201, ["profile-min"])), ("enforce", (422, []))],
)
async def test_profile_that_is_claimed(serve: Serve, claims: str, expected: tuple[int, list[str]]) -> None:
    async with serve(claimed_profiles=claims) as running:
        http = running.http
        await created(http, defined(NAMED))
        claiming = practitioner(meta={"profile": [URL]})
        answer = await http.post("Practitioner", json=claiming, headers=OUTCOME)
        assert (answer.status_code, ids_of_warnings(answer.json())) == expected


@pytest.mark.parametrize(
    ("claims", "expected"),
    [("ignore", []), ("note", ["profile-not-checked"]), ("enforce", ["profile-not-checked"])],
)
async def test_profile_that_is_claimed_and_not_loaded_is_a_warning(
    serve: Serve, claims: str, expected: list[str]
) -> None:
    async with serve(claimed_profiles=claims) as running:
        core = "http://hl7.org/fhir/StructureDefinition/Practitioner"
        claiming = practitioner(meta={"profile": [URL, core]})
        answer = await running.http.post("Practitioner", json=claiming, headers=OUTCOME)
        assert (answer.status_code, ids_of_warnings(answer.json())) == (201, expected)


@pytest.mark.parametrize("edition", ["another version of it", "another resource"])
async def test_profile_that_changes_meanwhile_is_the_one_that_counts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, edition: str
) -> None:
    async with serve(profiles=(URL,)) as running:
        http = running.http
        loose = defined(NAMED)
        del loose["snapshot"]["element"][1]
        id_ = (await created(http, loose))["id"]
        changes = [defined(NAMED)]

        async def then_changed(context: Context, prepared: Prepared, **options: Any) -> None:
            await conforming.demand_profiles(context, prepared, **options)
            if prepared.steps[0].intent.type == "Practitioner" and changes:
                key = id_ if edition == "another version of it" else "second"
                change = {**changes.pop(), "id": key, "version": "2"}
                assert (await http.put(f"StructureDefinition/{key}", json=change)).status_code in {200, 201}

        monkeypatch.setattr("fhir_server.interactions.writing.write.demand_profiles", then_changed)
        refused(await http.post("Practitioner", json=practitioner()), 422, "profile-min")
        assert not changes


async def test_nothing_that_does_not_conform_is_stored_after_the_profile(serve: Serve) -> None:
    async with serve(profiles=(URL,)) as running:
        http = running.http
        strict = defined(NAMED)
        loose = {**strict, "snapshot": {"element": strict["snapshot"]["element"][:1]}}
        id_ = (await created(http, loose))["id"]

        async def writes() -> None:
            for _ in range(8):
                assert (await http.post("Practitioner", json=practitioner())).status_code in {201, 422}

        async def change() -> None:
            answer = await http.put(f"StructureDefinition/{id_}", json={**strict, "id": id_})
            assert answer.status_code == 200, answer.text

        await asyncio.gather(writes(), writes(), change(), writes())
        entries = (await http.get("_history?_count=100")).json()["entry"]
        types = [one["resource"]["resourceType"] for one in reversed(entries)]
        assert types[0] == "StructureDefinition"
        assert types.count("StructureDefinition") == 2
        assert types[-1] == "StructureDefinition", "a Practitioner was stored that the profile forbids"
