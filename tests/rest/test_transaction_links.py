"""References inside a transaction. https://hl7.org/fhir/R4/http.html#trules and bundle.html#references"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.rest.asking import (
    BASE,
    EXTENSION,
    SYSTEM,
    Json,
    created,
    done,
    entry,
    expressions,
    found,
    organization,
    place,
    post,
    practitioner,
    refused,
    role,
    status,
    urn,
)

A, B = urn(1), urn(2)
TARGET = entry("POST", "Organization", organization("Cible"), A)


async def linked(http: httpx.AsyncClient, resource: Json, *others: Json) -> tuple[Json, str]:
    """Post a resource beside ``TARGET``; return it as it was stored, and what ``A`` has become."""
    answers = await done(http, "transaction", entry("POST", resource["resourceType"], resource), TARGET, *others)
    stored: Json = (await http.get(place(answers[0]))).json()
    return stored, place(answers[1])


def at(resource: Any, path: str) -> Any:
    for step in path.split("."):
        resource = resource[int(step)] if step.isdigit() else resource[step]
    return resource


NARRATIVE = '<div xmlns="http://www.w3.org/1999/xhtml">{0}<a href="{0}">x</a><img src=\'{0}\' alt="{0}"/></div>'


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (role(organization={"reference": A}), "organization.reference"),
        (role(endpoint=[{"display": "x"}], organization={"reference": A, "display": "y"}), "organization.reference"),
        (
            practitioner(qualification=[{"code": {"text": "q"}, "issuer": {"reference": A}}]),
            "qualification.0.issuer.reference",
        ),
        (
            role(
                organization={"reference": "#o"},
                contained=[{**organization("Contenue"), "id": "o", "partOf": {"reference": A}}],
            ),
            "contained.0.partOf.reference",
        ),
        (
            practitioner(extension=[{"url": EXTENSION, "valueReference": {"reference": A}}]),
            "extension.0.valueReference.reference",
        ),
        (practitioner(extension=[{"url": EXTENSION, "valueUri": A}]), "extension.0.valueUri"),
        (practitioner(extension=[{"url": EXTENSION, "valueUrl": A}]), "extension.0.valueUrl"),
        (practitioner(extension=[{"url": EXTENSION, "valueCanonical": A}]), "extension.0.valueCanonical"),
        (
            practitioner(extension=[{"url": EXTENSION, "extension": [{"url": "a", "valueUri": A}]}]),
            "extension.0.extension.0.valueUri",
        ),
        (
            practitioner(birthDate="1970-01-01", _birthDate={"extension": [{"url": EXTENSION, "valueUri": A}]}),
            "_birthDate.extension.0.valueUri",
        ),
        (practitioner(photo=[{"url": A}]), "photo.0.url"),
        (
            role(meta={"extension": [{"url": EXTENSION, "valueReference": {"reference": A}}]}),
            "meta.extension.0.valueReference.reference",
        ),
    ],
)
async def test_urn_is_rewritten(http: httpx.AsyncClient, resource: Json, path: str) -> None:
    stored, target = await linked(http, resource)
    assert at(stored, path) == target


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ({"resourceType": "HealthcareService", "comment": A}, "comment"),
        (practitioner(extension=[{"url": EXTENSION, "valueString": A}]), "extension.0.valueString"),
        (practitioner(extension=[{"url": EXTENSION, "valueUuid": A}]), "extension.0.valueUuid"),
        (practitioner(identifier=[{"system": "urn:ietf:rfc:3986", "value": A}]), "identifier.0.value"),
        (practitioner(name=[{"family": A}]), "name.0.family"),
        (role(organization={"display": A}), "organization.display"),
    ],
)
async def test_urn_in_a_plain_string_stays(http: httpx.AsyncClient, resource: Json, path: str) -> None:
    stored, _ = await linked(http, resource)
    assert at(stored, path) == A


async def test_links_and_images_of_the_narrative_are_rewritten_and_its_text_is_not(http: httpx.AsyncClient) -> None:
    text = {"status": "additional", "div": NARRATIVE.format(A)}
    stored, target = await linked(http, practitioner(text=text))
    wanted = NARRATIVE.format(A).replace(f'href="{A}"', f'href="{target}"').replace(f"src='{A}'", f"src='{target}'")
    assert stored["text"]["div"] == wanted


async def test_entries_refer_to_each_other_in_a_circle(http: httpx.AsyncClient) -> None:
    answers = await done(
        http,
        "transaction",
        entry("POST", "Organization", organization("A", partOf={"reference": B}), A),
        entry("POST", "Organization", organization("B", partOf={"reference": A}), B),
        entry("POST", "Organization", organization("C", partOf={"reference": urn(3)}), urn(3)),
    )
    places = [place(answer) for answer in answers]
    parts = [(await http.get(url)).json()["partOf"]["reference"] for url in places]
    assert parts == [places[1], places[0], places[2]]


@pytest.mark.parametrize(
    ("full_url", "reference"),
    [
        ("http://source.example.org/fhir/Practitioner/7", "http://source.example.org/fhir/Practitioner/7"),
        ("http://source.example.org/fhir/Practitioner/7", "Practitioner/7"),
        (f"{BASE}/Practitioner/7", "Practitioner/7"),
        ("urn:oid:1.2.3.4", "urn:oid:1.2.3.4"),
        ("https://example.org/anything", "https://example.org/anything"),
    ],
)
async def test_reference_to_the_full_url_of_an_entry_is_rewritten(
    http: httpx.AsyncClient, full_url: str, reference: str
) -> None:
    root = full_url.rpartition("Practitioner/")[0]
    answers = await done(
        http,
        "transaction",
        entry("POST", "PractitionerRole", role(reference), f"{root}PractitionerRole/9" if root else None),
        entry("POST", "Practitioner", practitioner(), full_url),
    )
    stored = (await http.get(place(answers[0]))).json()
    assert stored["practitioner"]["reference"] == place(answers[1])


async def test_reference_to_what_is_not_in_the_bundle_stays(http: httpx.AsyncClient) -> None:
    texts = ("Practitioner/there", "http://elsewhere.example/fhir/Practitioner/1", "Practitioner/there/_history/1")
    for text in texts:
        (answer, _) = await done(
            http,
            "transaction",
            entry("POST", "PractitionerRole", role(text), "http://source.example.org/fhir/PractitionerRole/1"),
            TARGET,
        )
        assert (await http.get(place(answer))).json()["practitioner"]["reference"] == text


async def test_fragment_of_a_reference_stays(http: httpx.AsyncClient) -> None:
    stored, target = await linked(http, practitioner(extension=[{"url": EXTENSION, "valueUri": f"{A}#part"}]))
    assert stored["extension"][0]["valueUri"] == f"{target}#part"


@pytest.mark.parametrize("text", [urn(9), "urn:oid:1.2.3"])
async def test_urn_that_is_no_entry_is_refused(http: httpx.AsyncClient, text: str) -> None:
    response = await post(http, "transaction", TARGET, entry("POST", "PractitionerRole", role(text)))
    refused(response, 400, "reference-dangling")
    assert expressions(response) == ["Bundle.entry[1].resource"]
    assert await found(http, "Organization") == []


async def test_urn_of_a_deletion_is_no_target(http: httpx.AsyncClient) -> None:
    deletion = entry("DELETE", "Practitioner/p", None, B)
    response = await post(http, "transaction", deletion, entry("POST", "PractitionerRole", role(B)))
    refused(response, 400, "reference-dangling")


async def test_reference_is_to_the_resource_that_a_conditional_write_found(http: httpx.AsyncClient) -> None:
    there = await created(http, practitioner("Là", "x"))
    for method, more in (("POST", {"ifNoneExist": f"identifier={SYSTEM}|x"}), ("PUT", {})):
        url = "Practitioner" if method == "POST" else f"Practitioner?identifier={SYSTEM}|x"
        answers = await done(
            http,
            "transaction",
            entry("POST", "PractitionerRole", role(A)),
            entry(method, url, practitioner("Là", "x"), A, **more),
        )
        assert status(answers[1]) == 200
        stored = (await http.get(place(answers[0]))).json()
        assert stored["practitioner"]["reference"] == f"Practitioner/{there['id']}"


def conditional(value: str) -> Json:
    return entry("POST", "PractitionerRole", role(f"Practitioner?identifier={SYSTEM}|{value}"))


async def test_reference_by_criteria_becomes_the_one_match(http: httpx.AsyncClient) -> None:
    there = await created(http, practitioner("Cible", "x"))
    await created(http, practitioner("Autre", "xy"))
    answers = await done(http, "transaction", conditional("x"), conditional("x"))
    for answer in answers:
        stored = (await http.get(place(answer))).json()
        assert stored["practitioner"]["reference"] == f"Practitioner/{there['id']}"


async def test_reference_by_criteria_finds_what_the_transaction_writes(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("Autre", "y", id="p"))
    answers = await done(
        http,
        "transaction",
        conditional("x"),
        conditional("z"),
        entry("POST", "Practitioner", practitioner("Cible", "x")),
        entry("PUT", "Practitioner/p", practitioner("Autre", "z", id="p")),
    )
    for answer, target in zip(answers[:2], answers[2:], strict=True):
        stored = (await http.get(place(answer))).json()
        assert stored["practitioner"]["reference"] == place(target)


@pytest.mark.parametrize(
    "query", ["family=cib&active=true", "family:exact=Cible", "_id=p", "gender:missing=true&family=cible"]
)
async def test_any_criteria_find_what_the_transaction_writes(http: httpx.AsyncClient, query: str) -> None:
    await created(http, practitioner("Autre", active=True))
    answers = await done(
        http,
        "transaction",
        entry("POST", "PractitionerRole", role(f"Practitioner?{query}")),
        entry("PUT", "Practitioner/p", practitioner("Cible", id="p", active=True)),
        entry("POST", "Practitioner", practitioner("Cibler", gender="male", active=False)),
    )
    assert (await http.get(place(answers[0]))).json()["practitioner"] == {"reference": "Practitioner/p"}


async def test_reference_by_criteria_does_not_find_what_the_transaction_takes_away(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner("Cible", "x", id="p"))
    for other in (
        entry("DELETE", "Practitioner/p"),
        entry("PUT", "Practitioner/p", practitioner("Cible", "y", id="p")),
    ):
        response = await post(http, "transaction", conditional("x"), other)
        refused(response, 412, "reference-no-match")
        assert expressions(response) == ["Bundle.entry[0].resource"]


@pytest.mark.parametrize(("matches", "id_"), [(0, "reference-no-match"), (2, "multiple-matches")])
async def test_reference_by_criteria_needs_one_match(http: httpx.AsyncClient, matches: int, id_: str) -> None:
    for _ in range(matches):
        await created(http, practitioner("Cible", "x"))
    response = await post(http, "transaction", TARGET, conditional("x"))
    refused(response, 412, id_)
    assert expressions(response) == ["Bundle.entry[1].resource"]
    assert await found(http, "Organization") == [] and await found(http, "PractitionerRole") == []


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("Practitioner?nam=x", "search-parameter-unknown"),
        ("Practitioner?_count=1", "criteria-result"),
        ("Observation?code=x", "type-not-served"),
    ],
)
async def test_reference_by_criteria_that_cannot_be_asked_is_refused(
    http: httpx.AsyncClient, text: str, id_: str
) -> None:
    response = await post(http, "transaction", TARGET, entry("POST", "PractitionerRole", role(text)))
    refused(response, 400, id_)
    assert expressions(response) == ["Bundle.entry[1].resource"]
