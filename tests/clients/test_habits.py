"""What clients that are not driven here send, as seen: the HAPI client, fhir-kit-client, Medplum, the SAS platform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

HAPI: Final = {
    "Accept-Charset": "utf-8",
    "Accept": "application/fhir+xml;q=1.0, application/fhir+json;q=1.0, application/xml+fhir;q=0.9, "
    "application/json+fhir;q=0.9",
    "User-Agent": "HAPI-FHIR/7.6.0 (FHIR Client; FHIR 4.0.1/R4; apache)",
    "Accept-Encoding": "gzip",
}
PERSON: Final = {"resourceType": "Practitioner", "name": [{"family": "EXEMPLE", "given": ["Claire"]}]}


@pytest.fixture
def http(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base) as client:
        yield client


def test_hapi_asks_for_the_capability_statement_first_and_accepts_xml_as_well(http: httpx.Client) -> None:
    answer = http.get("/metadata", headers=HAPI)
    assert (answer.status_code, answer.json()["fhirVersion"]) == (200, "4.0.1")
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"


def test_hapi_sends_the_whole_url_as_if_none_exist(http: httpx.Client, base: str) -> None:
    number = uuid4().hex
    criteria = f"{base}/Practitioner?identifier=https%3A%2F%2Fexample.org%2Ffictif%7C{number}"
    body = {**PERSON, "identifier": [{"system": "https://example.org/fictif", "value": number}]}
    headers = {**HAPI, "Content-Type": "application/fhir+json; charset=UTF-8", "If-None-Exist": criteria}
    statuses = [http.post("/Practitioner", json=body, headers=headers).status_code for _ in range(2)]
    assert statuses == [201, 200]


def test_hapi_searches_by_form_and_by_format(http: httpx.Client) -> None:
    form = http.post("/Practitioner/_search", data={"family": "Personne"}, params={"_format": "json"}, headers=HAPI)
    assert (form.status_code, form.json()["total"]) == (200, 0)


def test_hapi_deletes_and_reads_the_outcome_if_there_is_one(http: httpx.Client) -> None:
    location = http.post("/Practitioner", json=PERSON, headers=HAPI).headers["location"]
    assert "/_history/1" in location
    gone = http.delete(location.partition("/_history")[0], headers=HAPI)
    assert (gone.status_code, gone.content) == (204, b"")


@pytest.mark.parametrize("slash", ["", "/"])
def test_bundles_are_posted_to_the_base_with_and_without_slash(base: str, slash: str) -> None:
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "Slot"}}]}
    answer = httpx.post(base + slash, json=bundle, headers={"Content-Type": "application/json+fhir"})
    assert (answer.status_code, answer.json()["entry"][0]["response"]["status"]) == (200, "200 OK")


def test_medplum_needs_the_resource_back_from_every_write(http: httpx.Client) -> None:
    created = http.post("/Practitioner", json=PERSON).json()
    assert created["name"] == PERSON["name"]
    url = f"/Practitioner/{created['id']}"
    changed: dict[str, Any] = {**created, "active": True}
    assert http.put(url, json=changed).json()["active"] is True
    patch = [{"op": "replace", "path": "/active", "value": False}]
    patched = http.patch(url, json=patch, headers={"Content-Type": "application/json-patch+json"})
    assert patched.json()["active"] is False
    unchanged = http.put(url, json=patched.json())
    assert (unchanged.status_code, unchanged.json()) == (200, patched.json())


def test_sas_platform_sends_its_old_media_type_and_a_content_type_on_get(http: httpx.Client) -> None:
    headers = {"Accept": "application/json+fhir", "Content-Type": "application/json"}
    answer = http.get("/Slot", params={"status": "free", "_count": "1"}, headers=headers)
    assert (answer.status_code, answer.json()["resourceType"]) == (200, "Bundle")
