"""What every answer of the server keeps, whatever was asked."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
HTTP_DATE = re.compile(rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (?:{MONTHS}) \d{{4}} \d\d:\d\d:\d\d GMT")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def check_answer(response: httpx.Response) -> None:
    """Raise ``AssertionError`` if an answer breaks what all answers keep."""
    headers = response.headers
    assert headers["x-request-id"]
    if "etag" in headers:
        assert re.fullmatch(r'W/"[1-9][0-9]*"', headers["etag"])
    if "last-modified" in headers:
        assert HTTP_DATE.fullmatch(headers["last-modified"])
    if response.status_code == 405:
        assert headers["allow"]
    if response.status_code in {204, 304} or response.request.method == "HEAD":
        assert not response.content
        return
    if not response.content:
        assert 200 <= response.status_code < 300
        return
    assert headers["content-type"] in {"application/fhir+json; charset=utf-8", "application/json; charset=utf-8"}
    check_json(json.loads(response.content))
    body = response.json()
    if response.status_code >= 400:
        check_outcome(body, response)
    if body.get("resourceType") == "Bundle":
        check_bundle(body)


def check_json(value: Any) -> None:
    """Demand what JSON of FHIR never holds: nothing empty, no null outside of a list."""
    if isinstance(value, dict):
        assert value
        for child in value.values():
            assert child is not None and child not in ("", [], {})
            check_json(child)
    elif isinstance(value, list):
        for child in value:
            check_json(child)


def check_outcome(body: dict[str, Any], response: httpx.Response) -> None:
    """An error is an OperationOutcome with the request's id, each issue with a text and a stable id."""
    assert list(body)[:3] == ["resourceType", "id", "issue"]
    assert body["resourceType"] == "OperationOutcome"
    assert body["id"] == response.headers["x-request-id"]
    for issue in body["issue"]:
        assert issue["severity"] in {"fatal", "error", "warning", "information"}
        assert issue["diagnostics"]
        assert issue["details"]["coding"][0]["code"], issue
    assert "Traceback" not in response.text and ".py" not in response.text


def check_bundle(body: dict[str, Any]) -> None:
    """https://hl7.org/fhir/R4/bundle.html#invs"""
    assert INSTANT.fullmatch(body["meta"]["lastUpdated"])
    is_answer = body["type"] in {"batch-response", "transaction-response", "history"}
    is_history = body["type"] == "history"
    for entry in body.get("entry", ()):
        assert ("response" in entry) == is_answer
        assert ("request" in entry) == is_history
        assert ("search" in entry) == (body["type"] == "searchset")
        if is_answer:
            assert re.match(r"[1-5]\d\d", entry["response"]["status"])
    if body["type"] == "searchset":
        urls = [entry["fullUrl"] for entry in body.get("entry", ()) if "fullUrl" in entry]
        assert len(urls) == len(set(urls))
