"""What the tests send, and how they look at what comes back."""

from __future__ import annotations

from typing import Any

import httpx

BASE = "http://127.0.0.1:8080/fhir"
SYSTEM = "https://example.org/fictif"
EXTENSION = "https://example.org/StructureDefinition/note"

Json = dict[str, Any]


def practitioner(family: str = "Fictif", value: str | None = None, **more: Any) -> Json:
    """Return a Practitioner; ``value`` is its identifier."""
    body: Json = {"resourceType": "Practitioner", "name": [{"family": family}], **more}
    if value is not None:
        body["identifier"] = [{"system": SYSTEM, "value": value}]
    return body


def organization(name: str = "Pôle fictif", **more: Any) -> Json:
    return {"resourceType": "Organization", "name": name, **more}


def role(practitioner: str | None = None, **more: Any) -> Json:
    """Return a PractitionerRole; ``practitioner`` is the text of its reference."""
    body: Json = {"resourceType": "PractitionerRole", **more}
    if practitioner is not None:
        body["practitioner"] = {"reference": practitioner}
    return body


def entry(method: str, url: str, resource: Json | None = None, full_url: str | None = None, **request: Any) -> Json:
    """Return an entry of a Bundle to be posted; ``request`` are further elements of its request."""
    body: Json = {"request": {"method": method, "url": url, **request}}
    if full_url is not None:
        body = {"fullUrl": full_url, **body}
    if resource is not None:
        body["resource"] = resource
    return body


def bundle(type_: str, *entries: Json, **more: Any) -> Json:
    body: Json = {"resourceType": "Bundle", "type": type_, **more}
    if entries:
        body["entry"] = list(entries)
    return body


def urn(number: int) -> str:
    return f"urn:uuid:5b1c0a3e-3f3a-4a9b-9c0e-{number:012d}"


async def post(http: httpx.AsyncClient, type_: str, *entries: Json) -> httpx.Response:
    """Post a batch or transaction."""
    return await http.post("", json=bundle(type_, *entries))


async def done(http: httpx.AsyncClient, type_: str, *entries: Json) -> list[Json]:
    """Post a batch or transaction that must be answered; return the entries of the answer."""
    response = await post(http, type_, *entries)
    assert response.status_code == 200, response.text
    answered: list[Json] = response.json()["entry"]
    assert len(answered) == len(entries)
    return answered


async def created(http: httpx.AsyncClient, body: Json) -> Json:
    """Create a resource and return it as the server has it."""
    response = await http.post(body["resourceType"], json=body)
    assert response.status_code == 201, response.text
    resource: Json = response.json()
    return resource


async def found(http: httpx.AsyncClient, url: str) -> list[str]:
    """Return the ids of the matches on the first page of a search."""
    response = await http.get(url)
    assert response.status_code == 200, response.text
    return [entry["resource"]["id"] for entry in response.json().get("entry", []) if entry["search"]["mode"] == "match"]


def status(entry: Json) -> int:
    """Return the status of an entry of a response Bundle."""
    return int(entry["response"]["status"][:3])


def place(entry: Json) -> str:
    """Return ``Type/id`` of what an entry of a response Bundle has written."""
    location: str = entry["response"]["location"]
    return location.removeprefix(BASE + "/").partition("/_history/")[0]


def issues(answer: httpx.Response | Json) -> list[Json]:
    """Return the issues of an OperationOutcome."""
    outcome = answer.json() if isinstance(answer, httpx.Response) else answer
    assert outcome["resourceType"] == "OperationOutcome", outcome
    found: list[Json] = outcome["issue"]
    return found


def ids(answer: httpx.Response | Json) -> list[str]:
    """Return the stable ids of the issues of an OperationOutcome."""
    return [issue["details"]["coding"][0]["code"] for issue in issues(answer)]


def expressions(answer: httpx.Response | Json) -> list[str]:
    """Return where the issues of an OperationOutcome stand."""
    return [path for issue in issues(answer) for path in issue.get("expression", ())]


def refused(answer: httpx.Response, status: int, *names: str) -> None:
    """Demand that a request was refused, for these reasons and no other."""
    assert answer.status_code == status, answer.text
    assert set(ids(answer)) == set(names), answer.text


def link(answer: httpx.Response, relation: str) -> str | None:
    """Return the URL of a link of a Bundle."""
    return next((link["url"] for link in answer.json().get("link", ()) if link["relation"] == relation), None)


def etag(version: int) -> str:
    return f'W/"{version}"'
