"""Whatever is sent: a right answer or a 4xx with an OperationOutcome, never a 5xx.

The client of these tests (``conftest.Server``) fails on any answer of 500 and above, and on one that breaks a rule.
"""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rest.asking import EXTENSION, SYSTEM, bundle, entry, organization, practitioner, role, urn
from tests.rest.conftest import Server
from tests.rest.wire import send

SHARED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FHIR = {"Content-Type": "application/fhir+json"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=20,
)
words = st.sampled_from(
    ["Practitioner", "Bundle", "resourceType", "entry", "request", "method", "url", "id", "meta", "name", "GET", "PUT",
     "transaction", "batch", "_history", "identifier", "reference", urn(1), "", "1", "W/\"1\"", "*", "\u0000", "\ud800"]
)  # fmt: skip

SAMPLES: list[dict[str, Any]] = [
    practitioner("Martin", "x", birthDate="1970-01-01", extension=[{"url": EXTENSION, "valueDecimal": 1.5}]),
    role("Practitioner/p", organization={"reference": "#o"}, contained=[{**organization(), "id": "o"}]),
    bundle(
        "transaction",
        entry("POST", "Practitioner", practitioner("A", "x"), urn(1), ifNoneExist=f"identifier={SYSTEM}|x"),
        entry("PUT", "Practitioner/p", practitioner("B", id="p"), urn(2), ifMatch='W/"1"'),
        entry("POST", "PractitionerRole", role(urn(1))),
        entry("POST", "PractitionerRole", role(f"Practitioner?identifier={SYSTEM}|x")),
        entry("DELETE", "Organization?name=x"),
        entry("GET", "Practitioner?family=a&_sort=family&_include=*"),
        entry("GET", "Practitioner/_history?_since=2026"),
    ),
    bundle("batch", entry("GET", "Practitioner/p", ifModifiedSince="2026-01-05T08:00:00Z"), entry("GET", "metadata")),
]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Return a sample with something taken away, replaced, or added, in a few places."""
    sample: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = sample
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and draw(st.booleans()):
                node = node[key]
                continue
            if draw(st.integers(0, 3)) == 0:
                del node[key]
            else:
                node[key] = draw(json_values | words)
            break
    return sample


@given(body=st.binary(max_size=200))
@SHARED
async def test_random_bytes(server: Server, body: bytes) -> None:
    for method, path in (("POST", "Practitioner"), ("PUT", "Practitioner/p"), ("POST", "")):
        response = await server.http.request(method, path, content=body, headers=FHIR)
        assert response.status_code == 400
    for headers in ({"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Encoding": "gzip"}):
        assert (await server.http.post("Practitioner/_search", content=body, headers=headers)).status_code < 500


@given(value=json_values)
@SHARED
async def test_random_json(server: Server, value: Any) -> None:
    body = json.dumps(value).encode()
    for method, path in (
        ("POST", "Practitioner"),
        ("PUT", "Practitioner/p"),
        ("POST", ""),
        ("PATCH", "Practitioner/p"),
    ):
        for content_type in ("application/fhir+json", "application/json-patch+json"):
            response = await server.http.request(method, path, content=body, headers={"Content-Type": content_type})
            assert 400 <= response.status_code < 500


@given(body=mutated())
@settings(SHARED, max_examples=150)
async def test_mutated_resources_and_bundles(server: Server, body: dict[str, Any]) -> None:
    type_ = body.get("resourceType")
    path = "" if type_ not in ("Practitioner", "PractitionerRole") else type_
    content = json.dumps(body).encode()
    response = await server.http.post(path, content=content, headers=FHIR)
    assert response.status_code < 500
    for item in response.json().get("entry", ()):
        assert int(item["response"]["status"][:3]) < 500, item


segment = st.sampled_from(
    ["Practitioner", "Patient", "Praktitioner", "p", "metadata", "_history", "_search", "1", "*", "$x", "%00", "%FF",
     "..", ".", "", "%2F", "a b", "é", "%C3%A9", "x" * 70, "Appointment", "%22%00x"]
) | st.text(st.characters(exclude_characters="#?", exclude_categories=["Cs"]), max_size=8)  # fmt: skip
names = st.sampled_from(
    ["_count", "_since", "_at", "_after", "_page", "_cursor", "_sort", "_include", "_revinclude:iterate", "_has:x:y:z",
     "_format", "_pretty", "_summary", "_elements", "_id", "_lastUpdated", "_tag", "_total", "family:exact",
     "name:missing", "identifier", "practitioner.family", "date", "birthdate", "_type", "near", "mode", ""]
) | st.text(max_size=8)  # fmt: skip
values = st.sampled_from(
    ["0", "-1", "1", "9" * 30, "2026", "ge2026-01-05T08:00:00+01:00", "a,b\\,c", "|", "x|y", "x|", "*",
     "Practitioner:*", "true", "json", "xml", "\u0000", "\ud7ff", "%", "a$b", "47.2|6.0|1|km", "\\", ",", "(((",
     "1e400"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # fmt: skip


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"]),
    segments=st.lists(segment | st.binary(max_size=6), max_size=5),
    pairs=st.lists(st.tuples(names, values), max_size=4),
)
@settings(SHARED, max_examples=300)
async def test_random_urls(
    server: Server, method: str, segments: list[str | bytes], pairs: list[tuple[str, str]]
) -> None:
    path = b"/".join(part if isinstance(part, bytes) else part.encode() for part in segments)
    await send(server, method, path, urlencode(pairs).encode(), body=b"{}")


@given(
    path=st.sampled_from([b"Practitioner", b"_history", b"Practitioner/p", b"", b"metadata"]),
    query=st.binary(max_size=40),
)
@settings(SHARED, max_examples=150)
async def test_random_query_bytes(server: Server, path: bytes, query: bytes) -> None:
    await send(server, "GET", path, query)


async def test_letters_that_nobody_percent_encoded_are_utf8(server: Server) -> None:
    made = await server.http.post("Practitioner", json=practitioner("Élodie"))
    for query in ("family=Élodie".encode(), b"family=%C3%89lodie", "family:exact=Élodie".encode()):
        assert (await send(server, "GET", b"Practitioner", query)).json()["total"] == 1
    latin = await send(server, "GET", b"Practitioner", "family=Élodie".encode("latin-1"))
    assert latin.status_code == 400
    assert made.status_code == 201


async def test_base_path_may_be_percent_encoded(server: Server) -> None:
    await server.http.put("Practitioner/p", json=practitioner(id="p"))
    response = await server.http.get("http://127.0.0.1:8080/%66hir/Practitioner/p")
    assert response.status_code == 200


HEADERS = [
    "Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "If-Match", "If-None-Match", "If-Modified-Since",
    "If-None-Exist", "Prefer", "X-Request-Id", "Content-Length", "Host",
]  # fmt: skip
header_values = st.binary(max_size=30)


@given(pairs=st.lists(st.tuples(st.sampled_from(HEADERS), header_values), min_size=1, max_size=4))
@settings(SHARED, max_examples=150)
async def test_random_headers(server: Server, pairs: list[tuple[str, bytes]]) -> None:
    headers = [(name.lower().encode(), value) for name, value in pairs]
    body = json.dumps(practitioner(id="p")).encode()
    for method, path in (
        ("GET", b"Practitioner/p"),
        ("PUT", b"Practitioner/p"),
        ("POST", b"Practitioner"),
        ("GET", b"Slot"),
    ):
        await send(server, method, path, headers=headers, body=body)
