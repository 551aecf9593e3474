"""What is stored comes back as it was sent, apart from id and meta. https://hl7.org/fhir/R4/json.html"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rest.asking import EXTENSION
from tests.rest.conftest import Server

FHIR = {"Content-Type": "application/fhir+json"}


def stored_part(answer: bytes) -> bytes:
    """Return what follows id and meta in the JSON of an answer."""
    resource = json.loads(answer)
    meta = json.dumps(resource["meta"], separators=(",", ":"), ensure_ascii=False).encode()
    return answer[answer.index(meta) + len(meta) :]


async def comes_back(http: httpx.AsyncClient, type_: str, rest: bytes) -> None:
    """Demand that the properties ``rest`` (compact JSON) come back byte for byte, by each way that leads to them."""
    made = await http.post(type_, content=b'{"resourceType":"%b",%b}' % (type_.encode(), rest), headers=FHIR)
    assert made.status_code == 201, made.text
    wanted = b"," + rest + b"}"
    id_ = made.json()["id"]
    assert stored_part(made.content) == wanted
    for url in (f"{type_}/{id_}", f"{type_}/{id_}/_history/1"):
        assert stored_part((await http.get(url)).content) == wanted
    for url in (f"{type_}?_id={id_}", f"{type_}/{id_}/_history", f"{type_}/_history?_count=1"):
        assert wanted in (await http.get(url)).content


NUMBERS = (
    "1.50",
    "0.010",
    "100",
    "12.00",
    "-3.1400",
    "1.23456789012345678",
    "1E2",
    "1e-7",
    "-0",
    "0.0",
    "-0.0",
    "12345678901234567890",
)


@pytest.mark.parametrize("number", NUMBERS)
async def test_numbers_keep_their_text(http: httpx.AsyncClient, number: str) -> None:
    rest = f'"extension":[{{"url":"{EXTENSION}","valueDecimal":{number}}}]'
    await comes_back(http, "Practitioner", rest.encode())


@pytest.mark.parametrize(
    ("type_", "rest"),
    [
        (
            "Practitioner",
            '"birthDate":"1970-03-30","_birthDate":{"id":"b1","extension":[{"url":"u:x","valueCode":"y"}]}',
        ),
        ("Practitioner", '"_birthDate":{"extension":[{"url":"u:x","valueCode":"y"}]}'),
        ("Practitioner", '"name":[{"given":["A",null],"_given":[null,{"extension":[{"url":"u:x","valueCode":"y"}]}]}]'),
        ("Practitioner", '"name":[{"family":"Ordre","given":["B","A"]}],"active":true,"gender":"male"'),
        ("Practitioner", '"gender":"male","active":true'),
        ("HealthcareService", '"comment":"ligne 1\\nligne 2\\r\\n\\tligne 3  deux blancs"'),
        ("HealthcareService", '"comment":"東京 🏥 é ￿ \\" \\\\ / <b>&amp;</b>"'),
        ("HealthcareService", '"comment":"\u2028\u2029\ufeff\u00ad"'),
        ("Location", '"position":{"longitude":6.0240,"latitude":47.23780000}'),
        (
            "Practitioner",
            '"language":"fr-FR","text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">é</div>"}',
        ),
    ],
)
async def test_what_was_sent_comes_back(http: httpx.AsyncClient, type_: str, rest: str) -> None:
    await comes_back(http, type_, rest.encode())


async def test_escapes_mean_the_characters(http: httpx.AsyncClient) -> None:
    body = b'{"resourceType":"HealthcareService","comment":"\\u00e9\\ud83c\\udfe5\\u0041\\/"}'
    made = await http.post("HealthcareService", content=body, headers=FHIR)
    assert made.json()["comment"] == "é🏥A/"


async def test_white_space_and_order_around_do_not_matter(http: httpx.AsyncClient) -> None:
    body = b'\r\n {\t"active" : true , "id" : "p", "meta" : { "tag" : [ ] }, "resourceType" : "Practitioner" } \n'
    response = await http.put("Practitioner/p", content=body.replace(b'"tag" : [ ]', b'"source" : "u:x"'), headers=FHIR)
    assert response.status_code == 201
    assert list(response.json()) == ["resourceType", "id", "meta", "active"]
    assert response.json()["meta"]["source"] == "u:x"


async def test_a_patch_and_a_transaction_keep_numbers(http: httpx.AsyncClient) -> None:
    body = b'{"resourceType":"Location","id":"l","position":{"longitude":6.0240,"latitude":47.23780000}}'
    entry = b'{"request":{"method":"PUT","url":"Location/l"},"resource":%b}' % body
    bundle = b'{"resourceType":"Bundle","type":"transaction","entry":[%b]}' % entry
    assert (await http.post("", content=bundle, headers=FHIR)).status_code == 200
    patch = b'[{"op":"add","path":"/name","value":"Cabinet"}]'
    headers = {"Content-Type": "application/json-patch+json"}
    assert (await http.patch("Location/l", content=patch, headers=headers)).status_code == 200
    for url in ("Location/l", "Location/l?_elements=position", "Location/l?_pretty=true"):
        text = (await http.get(url)).text.replace(" ", "").replace("\n", "")
        assert '"longitude":6.0240,"latitude":47.23780000' in text


strings = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(
    lambda text: text.strip() == text and text.split()
)
values = st.one_of(
    st.builds(lambda text: {"valueString": text}, strings),
    st.builds(lambda flag: {"valueBoolean": flag}, st.booleans()),
    st.builds(lambda number: {"valueInteger": number}, st.integers(-(2**31), 2**31 - 1)),
)


@given(extensions=st.lists(values, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_text_and_number_comes_back(server: Server, extensions: list[dict[str, Any]]) -> None:
    body = [{"url": EXTENSION, **value} for value in extensions]
    rest = json.dumps({"extension": body}, ensure_ascii=False, separators=(",", ":")).encode()[1:-1]
    await comes_back(server.http, "Practitioner", rest)
