"""The log of requests says what was asked for, and of nobody."""

from __future__ import annotations

import json
import logging

import httpx
import pytest

from fhir_server.logs import FIELDS, JsonLines, TextLines
from tests.rest.asking import SYSTEM, bundle, entry, practitioner

NAME, NUMBER = "Zwentibold", "269054958815780"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="fhir_server")
    return caplog


async def everything(http: httpx.AsyncClient) -> None:
    """Send a name and a number by every way that leads in."""
    body = practitioner(NAME, NUMBER, id=NAME)
    await http.put(f"Practitioner/{NAME}", json=body)
    await http.get(f"Practitioner/{NAME}")
    await http.get(f"Practitioner?name={NAME}&identifier={SYSTEM}|{NUMBER}")
    await http.get(f"Practitioner?{NAME}={NUMBER}")
    await http.post("Practitioner/_search", data={"name": NAME})
    await http.post("Practitioner", json=body, headers={"If-None-Exist": f"identifier={NUMBER}"})
    await http.post("Practitioner", json=practitioner(NAME, gender=NUMBER))
    await http.post("Practitioner", content=f'{{"{NAME}": "{NUMBER}'.encode())
    await http.post("", json=bundle("batch", entry("PUT", f"Practitioner/{NAME}", body), entry("GET", NAME)))
    await http.post("", json=bundle("transaction", entry("PUT", f"Practitioner/{NAME}", body)))
    await http.get(f"{NAME}/{NUMBER}")
    await http.get(f"Practitioner/{NAME}/{NUMBER}")
    await http.request(NAME.upper(), "Practitioner")
    await http.get("Practitioner", headers={"Accept": NAME, "Prefer": NAME, "User-Agent": NAME})
    await http.delete(f"Practitioner/{NAME}")


async def test_no_line_holds_what_is_personal(http: httpx.AsyncClient, lines: pytest.LogCaptureFixture) -> None:
    await everything(http)
    records = [record for record in lines.records if record.name.startswith("fhir_server")]
    assert len(records) == 15
    for record in records:
        for formatter in (JsonLines(), TextLines()):
            line = formatter.format(record).lower()
            assert NAME.lower() not in line and NUMBER not in line


async def test_a_line_tells_method_type_status_and_time(
    http: httpx.AsyncClient, lines: pytest.LogCaptureFixture
) -> None:
    response = await http.get("Practitioner/none")
    (record,) = [record for record in lines.records if record.name == "fhir_server.rest.api"]
    line = json.loads(JsonLines().format(record))
    assert (line["method"], line["type"], line["status"]) == ("GET", "Practitioner", 404)
    assert line["request_id"] == response.headers["x-request-id"]
    assert line["ms"] >= 0
    assert line.keys() <= {"time", "level", "logger", "message", *FIELDS}


async def test_errors_do_not_repeat_the_body(http: httpx.AsyncClient) -> None:
    for body in (practitioner(active=NUMBER), practitioner(birthDate=NUMBER), practitioner(telecom=NUMBER)):
        response = await http.post("Practitioner", json=body)
        assert response.status_code == 400
        assert NUMBER not in response.text
