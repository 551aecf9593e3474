"""fhirpy, as its own documentation uses it."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import pytest

from tests.clients.serving import client_library

fhirpy: Final[Any] = client_library("fhirpy")
errors: Final[Any] = client_library("fhirpy.base.exceptions")

SYSTEM: Final = "https://example.org/fictif"


@pytest.fixture
def client(base: str) -> Any:
    return fhirpy.AsyncFHIRClient(base)


def fresh(prefix: str) -> str:
    """Return a word that nothing else in the store has."""
    return f"{prefix}{uuid4().hex}"


async def agenda(client: Any, family: str, slots: int = 3) -> Any:
    """Write a practitioner with an agenda; return the practitioner."""
    person = client.resource("Practitioner", name=[{"family": family, "given": ["Claire"]}])
    await person.save()
    schedule = client.resource("Schedule", actor=[person.to_reference()])
    await schedule.save()
    for minute in range(slots):
        start, end = f"2030-01-15T09:{minute:02}:00+01:00", f"2030-01-15T09:{minute + 1:02}:00+01:00"
        slot = client.resource("Slot", schedule=schedule.to_reference(), status="free", start=start, end=end)
        await slot.save()
    return person


async def test_save_returns_the_resource_with_id_and_version(client: Any) -> None:
    person = client.resource("Practitioner", active=True, name=[{"family": "EXEMPLE", "given": ["Claire"]}])
    await person.save()
    assert person.id
    assert person["meta"]["versionId"] == "1"
    person["active"] = False
    await person.save()
    assert person["meta"]["versionId"] == "2"
    read = await client.get("Practitioner", person.id)
    assert (read["active"], read["name"]) == (False, [{"family": "EXEMPLE", "given": ["Claire"]}])


async def test_refresh_of_what_did_not_change_keeps_it(client: Any) -> None:
    """It sends the bare version as If-None-Match, and expects 304."""
    person = client.resource("Practitioner", active=True)
    await person.save()
    person["active"] = False
    await person.refresh()
    assert person["active"] is False
    await person.save()
    person["active"] = True
    person["meta"]["versionId"] = "1"
    await person.refresh()
    assert person["active"] is False


async def test_count_first_and_get(client: Any) -> None:
    family = fresh("Compte")
    await agenda(client, family)
    people = client.resources("Practitioner").search(family=family)
    assert await people.count() == 1
    assert (await people.first())["name"][0]["family"] == family
    assert (await people.get())["name"][0]["family"] == family
    assert await client.resources("Practitioner").search(family=fresh("Personne")).count() == 0


async def test_chained_search_over_several_pages(client: Any) -> None:
    family = fresh("Chaine")
    person = await agenda(client, family, slots=5)
    slots = client.resources("Slot").search(
        schedule__actor__Practitioner__family=family,
        status="free",
        start__ge="2030-01-15T09:01:00+01:00",
    )
    found = await slots.sort("-start").limit(2).fetch_all()
    assert [slot["start"][14:16] for slot in found] == ["04", "03", "02", "01"]
    assert await client.resources("Slot").search(schedule__actor=person).count() == 5


async def test_include_and_has(client: Any) -> None:
    family = fresh("Inclus")
    person = await agenda(client, family)
    schedules = client.resources("Schedule").search(actor=person)
    bundle = await schedules.include("Schedule", "actor").revinclude("Slot", "schedule").fetch_raw()
    modes = [(entry["search"]["mode"], entry["resource"]["resourceType"]) for entry in bundle["entry"]]
    assert modes == [("match", "Schedule"), ("include", "Practitioner"), *[("include", "Slot")] * 3]
    people = client.resources("Practitioner").has("Schedule", "actor", "Slot", "schedule", status="free")
    assert person.id in {one.id for one in await people.fetch_all()}


async def test_reference_leads_to_the_resource(client: Any) -> None:
    family = fresh("Renvoi")
    person = await agenda(client, family)
    schedule = await client.resources("Schedule").search(actor=person).get()
    actor = schedule["actor"][0]
    assert (await actor.to_resource())["name"][0]["family"] == family


async def test_elements(client: Any) -> None:
    family = fresh("Elements")
    await agenda(client, family)
    (person,) = await client.resources("Practitioner").search(family=family).elements("name").fetch()
    assert set(person) == {"resourceType", "id", "meta", "name"}


async def test_delete(client: Any) -> None:
    person = client.resource("Practitioner", name=[{"family": "EXEMPLE"}])
    await person.save()
    await person.delete()
    with pytest.raises(errors.ResourceNotFound, match="deleted"):
        await client.get("Practitioner", person.id)


async def test_conditional_update_and_delete(client: Any) -> None:
    number = fresh("")
    criteria = client.resources("Practitioner").search(identifier=f"{SYSTEM}|{number}")
    person = client.resource("Practitioner", identifier=[{"system": SYSTEM, "value": number}], active=True)
    assert (await criteria.update(person))[1] is True
    person["active"] = False
    changed, created = await criteria.update(person)
    assert (changed["active"], created) == (False, False)
    _, status = await criteria.delete()
    assert status == 204
    assert await criteria.count() == 0


async def test_transaction_to_the_base_with_a_slash(client: Any) -> None:
    full_url = f"urn:uuid:{uuid4()}"
    family = fresh("Transaction")
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": full_url,
                "resource": {"resourceType": "Practitioner", "name": [{"family": family}]},
                "request": {"method": "POST", "url": "Practitioner"},
            },
            {
                "resource": {"resourceType": "Schedule", "actor": [{"reference": full_url}]},
                "request": {"method": "POST", "url": "Schedule"},
            },
        ],
    }
    answer = await client.execute("/", data=bundle)
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["201 Created", "201 Created"]
    assert await client.resources("Schedule").search(actor__Practitioner__family=family).count() == 1


async def test_validation_error_is_an_operation_outcome(client: Any) -> None:
    with pytest.raises(errors.OperationOutcome) as caught:
        await client.resource("Slot", status="libre").save()
    assert {issue["code"] for issue in caught.value.resource["issue"]} >= {"code-invalid", "required"}


async def test_part_of_a_resource_is_no_patch_of_r4_and_changes_nothing(client: Any) -> None:
    """Its ``patch()`` sends a part of the resource as application/json: neither a JSON nor a FHIRPath Patch."""
    person = client.resource("Practitioner", active=True)
    await person.save()
    with pytest.raises(errors.OperationOutcome) as caught:
        await client.patch("Practitioner", person.id, active=False)
    (issue,) = caught.value.resource["issue"]
    assert issue["details"]["coding"][0]["code"] == "patch-document"
    assert (await client.get("Practitioner", person.id))["meta"]["versionId"] == "1"


async def test_criteria_of_a_create_in_the_url_are_refused_not_ignored(client: Any) -> None:
    """Its ``get_or_create()`` puts criteria where R4 has none; ignored, they would make duplicates."""
    number = fresh("")
    criteria = client.resources("Practitioner").search(identifier=number)
    with pytest.raises(errors.OperationOutcome) as caught:
        await criteria.get_or_create(client.resource("Practitioner", identifier=[{"value": number}]))
    assert "parameter-unknown" in str(caught.value.resource)
    assert await criteria.count() == 0


def test_synchronous_client(base: str) -> None:
    client = fhirpy.SyncFHIRClient(base)
    family = fresh("Synchrone")
    people = [client.resource("Practitioner", name=[{"family": family}]) for _ in range(3)]
    for person in people:
        person.save()
    found = client.resources("Practitioner").search(family__exact=family)
    assert found.count() == 3
    assert {one.id for one in found.limit(2).fetch_all()} == {person.id for person in people}
    people[0].delete()
    assert found.count() == 2
