"""Formats asked for and sent, compression. https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

import gzip
import json
import zlib

import httpx
import pytest

from tests.rest.asking import bundle, created, entry, expressions, found, issues, practitioner, refused
from tests.rest.conftest import Serve

FHIR_JSON = "application/fhir+json; charset=utf-8"
JSON = "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", FHIR_JSON),
        ("*/*", FHIR_JSON),
        ("application/*", FHIR_JSON),
        ("application/fhir+json", FHIR_JSON),
        ("Application/FHIR+JSON", FHIR_JSON),
        ("application/fhir+json; charset=utf-8", FHIR_JSON),
        ("application/fhir+json; fhirVersion=4.0", FHIR_JSON),
        ('application/fhir+json; fhirVersion="4.0"', FHIR_JSON),
        ("application/json+fhir", FHIR_JSON),
        ("application/json", JSON),
        ("application/json, application/fhir+json", JSON),
        ("application/fhir+json, application/json", FHIR_JSON),
        ("application/json;q=0.5, application/fhir+json", FHIR_JSON),
        ("application/fhir+json;q=0.1, application/json;q=0.9", JSON),
        ("application/fhir+xml, application/fhir+json;q=0.5", FHIR_JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", FHIR_JSON),
        ("application/fhir+json;q=often", FHIR_JSON),
        ("application/fhir+xml", None),
        ("text/html", None),
        ("application/fhir+json;q=0", None),
        ("application/fhir+json; fhirVersion=3.0", None),
        ("image/png, application/pdf", None),
        ("oops", None),
    ],
)
async def test_accept(http: httpx.AsyncClient, accept: str, answer: str | None) -> None:
    made = await created(http, practitioner())
    for path in (f"Practitioner/{made['id']}", "Practitioner", "metadata"):
        response = await http.get(path, headers={"Accept": accept})
        if answer is None:
            refused(response, 406, "format-not-supported")
            assert expressions(response) == ["http.Accept"]
            assert f'received "{accept}"' in issues(response)[0]["diagnostics"]
        else:
            assert response.status_code == 200
            assert response.headers["content-type"] == answer


@pytest.mark.parametrize(
    ("format_", "answer"),
    [
        ("json", FHIR_JSON),
        ("application/json", JSON),
        ("application/fhir%2Bjson", FHIR_JSON),
        ("application/fhir+json", FHIR_JSON),
        ("application/json+fhir", FHIR_JSON),
        ("application/fhir%2Bjson;%20fhirVersion=4.0", FHIR_JSON),
        ("xml", None),
        ("application/fhir%2Bxml", None),
        ("application/fhir%2Bjson;%20fhirVersion=3.0", None),
        ("html", None),
        ("", None),
    ],
)
async def test_format_wins_over_accept(http: httpx.AsyncClient, format_: str, answer: str | None) -> None:
    made = await created(http, practitioner())
    for path in (f"Practitioner/{made['id']}", "Practitioner", "metadata", "_history"):
        for accept in ("application/fhir+xml", "*/*"):
            response = await http.get(f"{path}?_format={format_}", headers={"Accept": accept})
            if answer is None:
                refused(response, 406, "format-not-supported")
            else:
                assert response.headers["content-type"] == answer


async def test_format_in_the_form_of_a_search_counts(http: httpx.AsyncClient) -> None:
    refused(await http.post("Practitioner/_search", data={"_format": "xml"}), 406, "format-not-supported")
    accepted = await http.post(
        "Practitioner/_search", data={"_format": "application/json"}, headers={"Accept": "text/html, */*;q=0.1"}
    )
    assert accepted.headers["content-type"] == JSON
    twice = await http.post("Practitioner/_search?_format=json", data={"_format": "json"})
    refused(twice, 400, "parameter-value")


async def test_nothing_is_written_whose_answer_is_not_acceptable(http: httpx.AsyncClient) -> None:
    headers = {"Accept": "application/fhir+xml"}
    for response in (
        await http.post("Practitioner", json=practitioner(), headers=headers),
        await http.put("Practitioner/p", json=practitioner(id="p"), headers=headers),
        await http.post("", json=bundle("batch", entry("POST", "Practitioner", practitioner())), headers=headers),
        await http.post("Practitioner?_format=xml", json=practitioner()),
    ):
        refused(response, 406, "format-not-supported")
    assert await found(http, "Practitioner") == []


@pytest.mark.parametrize("pretty", ["true", "false"])
async def test_pretty_is_the_same_resource(http: httpx.AsyncClient, pretty: str) -> None:
    made = await created(http, practitioner("Élodie"))
    response = await http.get(f"Practitioner/{made['id']}?_pretty={pretty}")
    assert response.json() == made
    assert ("\n" in response.text) == (pretty == "true")
    assert (await http.post("Practitioner?_pretty=true", json=practitioner())).text.startswith("{\n")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/fhir+json", 201),
        ("application/fhir+json; charset=utf-8", 201),
        ('application/fhir+json;charset="UTF-8"', 201),
        ("application/json", 201),
        ("application/json+fhir", 201),
        ("application/fhir+json; fhirVersion=4.0", 201),
        ("application/fhir+json; fhirVersion=5.0", 415),
        ("application/fhir+json; charset=iso-8859-1", 415),
        ("application/fhir+xml", 415),
        ("application/xml", 415),
        ("text/plain", 415),
        ("application/json-patch+json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_content_type(http: httpx.AsyncClient, content_type: str, status: int) -> None:
    for method, path in (("POST", "Practitioner"), ("PUT", "Practitioner/p")):
        response = await http.request(
            method, path, content=json.dumps(practitioner(id="p")), headers={"Content-Type": content_type}
        )
        assert response.status_code == status
        if status == 415:
            refused(response, 415, "content-type")
            assert expressions(response) == ["http.Content-Type"]
            told = issues(response)[0]["diagnostics"]
            assert f'received "{content_type}"; expected is application/fhir+json' in told


@pytest.mark.parametrize("content_type", ["é", "x" * 5_000])
async def test_content_type_that_cannot_be_shown_is_not(http: httpx.AsyncClient, content_type: str) -> None:
    headers = {b"Content-Type": content_type.encode()}
    response = await http.post("Practitioner", content=b"{}", headers=headers)
    refused(response, 415, "content-type")
    assert "received what cannot be shown" in response.text and len(response.text) < 1_000


async def test_search_by_post_takes_a_form_only(http: httpx.AsyncClient) -> None:
    for path in ("Practitioner/_search", "_search"):
        refused(await http.post(path, json={"family": "x"}), 415, "content-type")
        empty = await http.post(f"{path}?_id=x", headers={"Content-Type": "application/fhir+json"})
        assert empty.status_code == 200


async def test_answers_are_compressed_for_those_who_take_it(http: httpx.AsyncClient) -> None:
    for accept, coded in (
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
    ):
        response = await http.get("metadata", headers={"Accept-Encoding": accept})
        assert (response.headers.get("content-encoding") == "gzip") == coded
        assert response.headers["vary"] == "Accept-Encoding"
        assert response.json()["resourceType"] == "CapabilityStatement"
    small = await http.get("Practitioner/none", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity"])
async def test_bodies_may_be_compressed(http: httpx.AsyncClient, coding: str) -> None:
    body = json.dumps(practitioner("Serré")).encode()
    content = body if coding == "identity" else gzip.compress(body)
    headers = {"Content-Encoding": coding, "Content-Type": "application/fhir+json"}
    response = await http.post("Practitioner", content=content, headers=headers)
    assert response.status_code == 201
    assert response.json()["name"] == [{"family": "Serré"}]


PACKED = gzip.compress(json.dumps(practitioner()).encode(), mtime=0)


@pytest.mark.parametrize(
    ("coding", "content", "status"),
    [
        ("gzip", json.dumps(practitioner()).encode(), 400),
        ("gzip", PACKED[:-5], 400),
        ("gzip", PACKED[:3], 400),
        ("gzip", PACKED + b"more", 400),
        ("gzip", PACKED + PACKED, 400),
        ("gzip", zlib.compress(b"{}"), 400),
        ("br", PACKED, 415),
        ("gzip, gzip", gzip.compress(PACKED, mtime=0), 415),
        ("deflate", zlib.compress(b"{}"), 415),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_compressed_body_that_cannot_be_read(
    http: httpx.AsyncClient, coding: str, content: bytes, status: int
) -> None:
    headers = {"Content-Encoding": coding, "Content-Type": "application/fhir+json"}
    response = await http.post("Practitioner", content=content, headers=headers)
    refused(response, status, "content-encoding")
    assert expressions(response) == ["http.Content-Encoding"]


async def test_compressed_body_is_bounded_by_what_it_holds(serve: Serve) -> None:
    async with serve(body_bytes=10_000) as server:
        bomb = gzip.compress(b'{"resourceType":"Practitioner","language":"' + b"f" * 50_000_000 + b'"}')
        assert len(bomb) > 10_000
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/fhir+json"}
        refused(await server.http.post("Practitioner", content=bomb, headers=headers), 413, "body-limit")
        smaller = gzip.compress(b" " * 1_000_000)
        response = await server.http.post("Practitioner", content=smaller, headers=headers)
        refused(response, 413, "body-limit")
        assert "10000" in response.text and "10001" in response.text


async def test_quality_that_is_no_number_counts_as_one(http: httpx.AsyncClient) -> None:
    response = await http.get("metadata", headers={"Accept": "application/json;q=nan, application/fhir+json;q=0.5"})
    assert response.headers["content-type"].startswith("application/json")


async def test_patch_without_a_content_type_is_told_what_it_needs(http: httpx.AsyncClient) -> None:
    response = await http.patch("Organization/o", content=b"[]")
    refused(response, 415, "content-type")
    assert "a PATCH needs a Content-Type" in response.text
