"""patch: which kind a request brings, what it may not change, and how it is answered."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.app import build
from fhir_server.interactions.context import Context, Limits
from fhir_server.interactions.exchange import Request
from fhir_server.interactions.headers import if_match
from fhir_server.interactions.patch import OPERATIONS, patch_intent
from fhir_server.interactions.routes import Route
from fhir_server.interactions.writing.write import Intent
from fhir_server.model.interaction import Interaction
from fhir_server.model.media_types import FHIR_JSON, JSON_PATCH
from fhir_server.outcome import BadRequest, FhirError, TooLarge, Unprocessable, UnsupportedMediaType
from fhir_server.settings import Settings

RENAME = [{"op": "replace", "path": "/name/0/family", "value": "Durand"}]
RENAME_BY_PATH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Practitioner.name[0].family"},
                {"name": "value", "valueString": "Durand"},
            ],
        }
    ],
}
MARTIN = {"resourceType": "Practitioner", "id": "p", "name": [{"family": "Martin"}]}
BY_ID = Route(Interaction.PATCH, "Practitioner", "p")


@pytest.fixture
def app_context(tmp_path: Path) -> Context:
    context: Context = build(Settings(store=f"sqlite:{tmp_path / 'store.db'}")).state.service.context
    return context


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = build(Settings(store=f"sqlite:{tmp_path / 'store.db'}", definitions=False))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080/fhir/") as client,
    ):
        yield client


def asked(document: Any, content_type: str = JSON_PATCH) -> Request:
    return Request("PATCH", "Practitioner/p", body=json.dumps(document).encode(), content_type=content_type)


def entry(resource: Any) -> Request:
    return Request("PATCH", "Practitioner/p", content_type=FHIR_JSON, resource=resource)


def binary(document: Any) -> dict[str, Any]:
    data = b64encode(json.dumps(document).encode()).decode()
    return {"resourceType": "Binary", "contentType": JSON_PATCH, "data": data}


def applied(intent: Intent, resource: Any = MARTIN) -> Any:
    assert intent.patch is not None
    return intent.patch.apply(resource)


@pytest.mark.parametrize(
    "request_",
    [
        asked(RENAME),
        asked(RENAME_BY_PATH, FHIR_JSON),
        asked(RENAME_BY_PATH, "application/json"),
        asked(RENAME_BY_PATH, "application/json+fhir"),
        entry(RENAME_BY_PATH),
        entry(binary(RENAME)),
        entry({**binary(RENAME), "contentType": "application/json-patch+json; charset=utf-8"}),
    ],
)
def test_media_type_tells_the_kind(app_context: Context, request_: Request) -> None:
    intent = patch_intent(app_context, request_, BY_ID)
    assert (intent.interaction, intent.type, intent.id, intent.criteria) == (
        Interaction.PATCH,
        "Practitioner",
        "p",
        None,
    )
    assert applied(intent)["name"] == [{"family": "Durand"}]


def test_criteria_and_version_are_the_write_pipeline_s(app_context: Context) -> None:
    request = Request(
        "PATCH", "Practitioner", "family=M", {"if-match": 'W/"3"'}, json.dumps(RENAME).encode(), JSON_PATCH
    )
    intent = patch_intent(app_context, request, Route(Interaction.PATCH, "Practitioner", conditional=True))
    assert (intent.id, intent.criteria) == (None, "family=M")
    assert intent.if_match == if_match(request.headers) is not None


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (asked(RENAME, "application/xml-patch+xml"), UnsupportedMediaType),
        (asked(RENAME, ""), UnsupportedMediaType),
        (entry({**binary(RENAME), "contentType": FHIR_JSON}), UnsupportedMediaType),
        (entry({**binary(RENAME), "contentType": None}), UnsupportedMediaType),
        (entry({**binary(RENAME), "data": "%%%"}), BadRequest),
        (entry({**binary(RENAME), "data": "é"}), BadRequest),
        (entry({**binary(RENAME), "data": None}), BadRequest),
        (entry({**binary(RENAME), "data": b64encode(b"[{").decode()}), BadRequest),
        (entry(MARTIN), BadRequest),
        (entry([]), BadRequest),
        (asked(binary(RENAME), FHIR_JSON), BadRequest),
        (asked(RENAME_BY_PATH), BadRequest),
        (asked(RENAME, FHIR_JSON), BadRequest),
        (Request("PATCH", "Practitioner/p", content_type=JSON_PATCH), BadRequest),
        (asked(RENAME * (OPERATIONS + 1)), TooLarge),
        (asked({**RENAME_BY_PATH, "parameter": [0] * (OPERATIONS + 1)}, FHIR_JSON), TooLarge),
    ],
)
def test_what_is_no_patch_is_refused(app_context: Context, request_: Request, error: type[FhirError]) -> None:
    with pytest.raises(error):
        patch_intent(app_context, request_, BY_ID)


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ({"op": "replace", "path": "/id", "value": "other"}, "Practitioner.id"),
        ({"op": "remove", "path": "/id"}, "Practitioner.id"),
        ({"op": "replace", "path": "/resourceType", "value": "Patient"}, "resourceType"),
        ({"op": "replace", "path": "", "value": {}}, "resourceType"),
        ({"op": "add", "path": "/meta", "value": {"versionId": "7"}}, "Practitioner.meta.versionId"),
        ({"op": "add", "path": "/meta", "value": {"lastUpdated": "2020-01-01"}}, "Practitioner.meta.lastUpdated"),
    ],
)
def test_identity_cannot_be_changed(app_context: Context, operation: Any, path: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        applied(patch_intent(app_context, asked([operation]), BY_ID))
    (issue,) = caught.value.issues
    assert (issue.id, issue.expression) == ("patch-identity", (path,))


def test_identity_cannot_be_changed_by_path(app_context: Context) -> None:
    parts = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": "Practitioner.id"}]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    with pytest.raises(Unprocessable) as caught:
        applied(patch_intent(app_context, asked(parameters, FHIR_JSON), BY_ID))
    assert caught.value.issues[0].id == "patch-identity"


def test_resource_cannot_outgrow_its_limit(app_context: Context) -> None:
    limit = app_context.limits.resource_bytes
    app_context = Context(
        **{name: getattr(app_context, name) for name in Context.__dataclass_fields__ if name != "limits"},
        limits=Limits(resource_bytes=200),
    )
    assert limit > 200
    add = [{"op": "add", "path": "/name/-", "value": {"family": "x" * 100}}]
    once = applied(patch_intent(app_context, asked(add), BY_ID))
    with pytest.raises(TooLarge) as caught:
        applied(patch_intent(app_context, asked(add), BY_ID), once)
    assert "200" in caught.value.issues[0].diagnostics


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_errors_of_an_entry_lead_into_the_bundle(http: httpx.AsyncClient, kind: str) -> None:
    await http.put("Practitioner/p", json={"resourceType": "Practitioner", "id": "p"})
    broken = {**RENAME_BY_PATH, "parameter": [{"name": "operation"}]}
    elsewhere = {**binary(RENAME), "contentType": FHIR_JSON}
    for resource, path in (
        (broken, ".resource.parameter[0]"),
        (RENAME_BY_PATH, ".resource.parameter[0]"),
        (binary(RENAME), ""),
        (elsewhere, ".resource.contentType"),
    ):
        wish = {"request": {"method": "PATCH", "url": "Practitioner/p"}, "resource": resource}
        body = (await http.post("", json={"resourceType": "Bundle", "type": kind, "entry": [wish]})).json()
        outcome = body["entry"][0]["response"]["outcome"] if kind == "batch" else body
        assert outcome["issue"][0]["expression"] == [f"Bundle.entry[0]{path}"]


async def test_patch_over_http(http: httpx.AsyncClient) -> None:
    created = await http.put("Practitioner/p", json=MARTIN)
    assert created.status_code == 201

    async def send(document: Any, url: str = "Practitioner/p", **headers: str) -> httpx.Response:
        kind = JSON_PATCH if isinstance(document, list) else FHIR_JSON
        return await http.patch(url, content=json.dumps(document), headers={"content-type": kind, **headers})

    assert (await send(RENAME)).json()["meta"]["versionId"] == "2"
    same = await send(RENAME_BY_PATH)
    assert (same.status_code, same.json()["meta"]["versionId"]) == (200, "2")
    invalid = await send([{"op": "add", "path": "/gender", "value": "?"}])
    assert invalid.status_code == 400
    version = [{"op": "add", "path": "/meta/versionId", "value": "9"}, {"op": "add", "path": "/active", "value": True}]
    assert (await send(version)).status_code == 422
    meta = [{"op": "replace", "path": "/meta", "value": {"source": "https://example.org/fictif"}}]
    changed = await send(meta, **{"if-match": 'W/"2"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, 'W/"3"')
    assert (await send(RENAME, **{"if-match": 'W/"2"'})).status_code == 412
    assert (await send(RENAME, "Practitioner/none")).status_code == 404
    assert (await send(RENAME, "Practitioner?family=Durand")).status_code == 200
    assert (await send(RENAME, "Practitioner?family=Nobody")).status_code == 404
    assert (await http.get("Practitioner/p")).json()["meta"]["versionId"] == "3"


async def test_patch_in_a_bundle(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=MARTIN)
    for kind, resource in (("batch", binary(RENAME)), ("transaction", RENAME_BY_PATH)):
        wish = {"request": {"method": "PATCH", "url": "Practitioner/p"}, "resource": resource}
        done = await http.post("", json={"resourceType": "Bundle", "type": kind, "entry": [wish]})
        assert done.json()["entry"][0]["response"]["status"] == "200 OK"
    assert (await http.get("Practitioner/p")).json()["name"] == [{"family": "Durand"}]


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([{"op": "move", "from": "/name", "path": "/name/0/extension"}], 400),
        ([{"op": "copy", "from": "/name", "path": "/name/-"}] * 40, 413),
        ([{"op": "add", "path": "/name/99", "value": {}}], 422),
        ([{"op": "replace", "path": "", "value": []}], 422),
        ([{"op": "test", "path": "/id", "value": "q"}], 422),
    ],
)
async def test_patch_that_cannot_end_well_changes_nothing(
    http: httpx.AsyncClient, operations: Any, status: int
) -> None:
    made = await http.put("Practitioner/p", json=MARTIN)
    answer = await http.patch("Practitioner/p", json=operations, headers={"content-type": JSON_PATCH})
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert (await http.get("Practitioner/p")).json() == made.json()
