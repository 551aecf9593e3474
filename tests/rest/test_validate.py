"""$validate, at the type and at an instance. https://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

import httpx
import pytest

from tests.rest.asking import Json, bundle, created, done, entry, ids, organization, practitioner, refused
from tests.rest.conftest import Serve
from tests.validation.profiles.defining import BASE, profile

NAMED = profile("named", "Practitioner", {"path": "identifier", "min": 1}, status="active", abstract=False)
"""Demands an identifier."""


def defined(definition: Json) -> Json:
    """Return a definition as it is stored: valid R4."""
    elements = [
        {"min": 0, "max": "*", "base": {"path": one["path"], "min": 0, "max": "*"}, "definition": "a", **one}
        for one in definition["snapshot"]["element"]
    ]
    return {**definition, "name": "Named", "snapshot": {"element": elements}}


def asking(resource: Json | None = None, *profiles: str, mode: str | None = None) -> Json:
    parameters: list[Json] = [{"name": "profile", "valueUri": one} for one in profiles]
    if mode is not None:
        parameters.append({"name": "mode", "valueCode": mode})
    if resource is not None:
        parameters.append({"name": "resource", "resource": resource})
    return {"resourceType": "Parameters", "parameter": parameters}


async def said(http: httpx.AsyncClient, url: str, body: Json | None = None) -> list[tuple[str, str, str]]:
    """Return severity, id and first path of each issue of a validation that was done."""
    answer = await (http.get(url) if body is None else http.post(url, json=body))
    assert answer.status_code == 200, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    return [
        (one["severity"], one["details"]["coding"][0]["code"], one.get("expression", [""])[0])
        for one in answer.json()["issue"]
    ]


FINE = [("information", "valid", "")]
NO_IDENTIFIER = ("error", "profile-min", "Practitioner.identifier")


async def test_resource_is_validated_and_nothing_is_written(http: httpx.AsyncClient) -> None:
    wrong = practitioner(gender="femme", colour="red")
    assert await said(http, "Practitioner/$validate", practitioner()) == FINE
    assert await said(http, "Practitioner/$validate", asking(practitioner())) == FINE
    assert await said(http, "Practitioner/$validate", wrong) == [
        ("error", "code-required", "Practitioner.gender"),
        ("error", "structure-unknown-element", "Practitioner.colour"),
    ]
    assert (await http.get("Practitioner?_summary=count")).json()["total"] == 0


async def test_profiles_that_are_named_and_claimed_are_checked(http: httpx.AsyncClient) -> None:
    await created(http, defined(NAMED))
    url = NAMED["url"]
    claiming = practitioner(meta={"profile": [url]})
    assert await said(http, "Practitioner/$validate", asking(practitioner(value="1"), url)) == FINE
    assert await said(http, "Practitioner/$validate", asking(practitioner(), url)) == [NO_IDENTIFIER]
    assert await said(http, f"Practitioner/$validate?profile={url}", practitioner()) == [NO_IDENTIFIER]
    assert await said(http, "Practitioner/$validate", asking(practitioner(), url, mode="profile")) == [NO_IDENTIFIER]
    assert await said(http, "Practitioner/$validate", claiming) == [NO_IDENTIFIER]
    inside = bundle("collection", {"resource": claiming})
    assert await said(http, "Bundle/$validate", inside) == [
        ("error", "profile-min", "Bundle.entry[0].resource.identifier")
    ]
    entries = await done(http, "batch", entry("POST", "Practitioner/$validate", claiming))
    assert ids(entries[0]["resource"]) == ["profile-min"]
    assert "outcome" not in entries[0]["response"]


async def test_profile_is_not_checked_until_it_is_loaded(http: httpx.AsyncClient) -> None:
    missing = asking(practitioner(), NAMED["url"], BASE + "other")
    told = ("warning", "profile-not-checked", "Practitioner")
    assert await said(http, "Practitioner/$validate", missing) == [told, told]
    await created(http, defined(NAMED))
    assert await said(http, "Practitioner/$validate", missing) == [NO_IDENTIFIER, told]


async def test_stored_resource_is_validated_where_it_stands(http: httpx.AsyncClient) -> None:
    await created(http, defined(NAMED))
    id_ = (await created(http, practitioner()))["id"]
    url = f"Practitioner/{id_}/$validate"
    assert await said(http, url) == FINE
    assert await said(http, f"{url}?profile={NAMED['url']}") == [NO_IDENTIFIER]
    assert await said(http, url, asking(None, NAMED["url"])) == [NO_IDENTIFIER]
    assert await said(http, url, practitioner(gender="a", id=id_)) == [
        ("error", "code-required", "Practitioner.gender")
    ]
    assert await said(http, url, practitioner(id="other")) == [("error", "id-mismatch", "Practitioner.id")]
    assert await said(http, url, asking(practitioner(), mode="update")) == [("error", "id-mismatch", "Practitioner.id")]
    refused(await http.get("Practitioner/nobody/$validate"), 404, "resource-unknown")


async def test_mode_asks_what_a_write_would_be_told(http: httpx.AsyncClient) -> None:
    id_ = (await created(http, practitioner()))["id"]
    url = f"Practitioner/{id_}/$validate"
    assert await said(http, "Practitioner/$validate?mode=create", practitioner()) == FINE
    assert await said(http, "Practitioner/$validate?mode=update", practitioner(id="new")) == FINE
    assert await said(http, "Practitioner/$validate?mode=update", practitioner()) == [
        ("error", "id-mismatch", "Practitioner.id")
    ]
    assert await said(http, f"{url}?mode=update") == FINE
    assert await said(http, f"{url}?mode=delete") == FINE
    assert await said(http, "Bundle/$validate?mode=create", bundle("collection")) == [
        ("error", "type-not-served", "http")
    ]
    assert (await http.get(f"Practitioner/{id_}")).json()["meta"]["versionId"] == "1"
    assert (await http.get("Practitioner?_summary=count")).json()["total"] == 1


async def test_mode_tells_what_would_refuse_the_write(serve: Serve) -> None:
    async with serve(integrity="enforce", update_create=False) as running:
        http = running.http
        target = (await created(http, organization()))["id"]
        role = {"resourceType": "PractitionerRole", "organization": {"reference": f"Organization/{target}"}}
        await created(http, role)
        assert await said(http, f"Organization/{target}/$validate?mode=delete") == [("error", "reference-held", "http")]
        lost = {**role, "organization": {"reference": "Organization/nowhere"}}
        assert await said(http, "PractitionerRole/$validate", lost) == FINE
        assert await said(http, "PractitionerRole/$validate?mode=create", lost) == [
            ("error", "reference-missing", "PractitionerRole.organization.reference")
        ]
        updated = await said(http, "Organization/$validate?mode=update", organization(id="new"))
        assert [(severity, id_) for severity, id_, _ in updated] == [("error", "update-create")]


@pytest.mark.parametrize(
    ("method", "url", "body", "id_"),
    [
        ("GET", "Practitioner/$validate", None, "operation-parameters"),
        ("POST", "Practitioner/$validate?mode=delete", practitioner(), "operation-parameters"),
        ("POST", "Practitioner/$validate?mode=profile", practitioner(), "operation-parameters"),
        ("POST", "Practitioner/$validate?mode=merge", practitioner(), "operation-parameters"),
        ("POST", "Practitioner/a/$validate?mode=create", practitioner(), "operation-parameters"),
        ("POST", "Practitioner/$validate?profil=a", practitioner(), "operation-parameter-unknown"),
    ],
)
async def test_what_cannot_be_validated_is_refused(
    http: httpx.AsyncClient, method: str, url: str, body: Json | None, id_: str
) -> None:
    refused(await http.request(method, url, json=body), 400, id_)


async def test_resource_of_another_type_or_of_none_is_an_issue(http: httpx.AsyncClient) -> None:
    assert ("error", "resource-type-mismatch", "Practitioner.resourceType") in await said(
        http, "Practitioner/$validate", organization()
    )
    assert ("error", "structure-resource-type", "Resource.resourceType") in await said(
        http, "Practitioner/$validate", {"resourceType": "Praticien"}
    )
    refused(await http.post("Bundel/$validate", json=practitioner()), 404, "type-unknown")
