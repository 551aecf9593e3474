"""OpenAPI and its page: what they tell is what is served. https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi.openapi.models import OpenAPI

from fhir_server.interactions.routes import BY_SHAPE, LEVELS, route
from fhir_server.model.interaction import Interaction
from fhir_server.rest.docs_page import page as page_of
from fhir_server.search.criteria import Kind
from tests.rest.asking import Json, created, ids, practitioner
from tests.rest.conftest import Serve, Server

METHODS = ("get", "post", "put", "patch", "delete")
FIELDS = {
    "document": {"openapi", "info", "servers", "paths", "components", "tags"},
    "path": {*METHODS, "parameters", "servers"},
    "operation": {
        *("operationId", "summary", "description", "externalDocs", "tags"),
        *("parameters", "requestBody", "responses"),
    },
    "parameter": {"name", "in", "description", "required", "schema"},
    "response": {"description", "headers", "content"},
    "header": {"description", "schema"},
    "media": {"schema"},
}
"""The fields of each kind of object that the specification has and this document uses."""


@pytest.fixture
def document(server: Server) -> Json:
    return server.app.openapi()


def fhir(document: Json) -> Iterator[tuple[str, Json]]:
    """Yield the FHIR paths."""
    return ((path, item) for path, item in document["paths"].items() if path not in {"/health", "/ready"})


def operations(document: Json) -> Iterator[tuple[str, str, Json, list[Json]]]:
    """Yield path, method, operation, and the parameters that hold for it, of all FHIR paths."""
    for path, item in fhir(document):
        for method in METHODS:
            if method in item:
                given = [*item.get("parameters", ()), *item[method]["parameters"]]
                yield path, method, item[method], [resolved(document, one) for one in given]


def resolved(document: Json, value: Json) -> Json:
    for part in value["$ref"].removeprefix("#/").split("/") if "$ref" in value else ():
        document = document[part]
    return document if "$ref" in value else value


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


# --- the document is valid -------------------------------------------------------------------------------------------


def test_document_has_the_structure_that_the_specification_gives(document: Json) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    OpenAPI.model_validate(document)
    assert set(document) <= FIELDS["document"]
    for path, item in fhir(document):
        assert path.startswith("/")
        assert set(item) <= FIELDS["path"]
    for _, _, operation, _ in operations(document):
        assert set(operation) <= FIELDS["operation"]
        assert operation["summary"]
        for response in operation["responses"].values():
            assert "$ref" in response or set(response) <= FIELDS["response"]
            assert "$ref" in response or response["description"]
    components = document["components"]
    for kind, known in (("parameters", "parameter"), ("headers", "header"), ("responses", "response")):
        for name, value in components[kind].items():
            assert re.fullmatch(r"[A-Za-z0-9._\-]+", name)
            assert set(value) <= FIELDS[known], name


def test_each_reference_of_the_document_leads_somewhere(document: Json) -> None:
    for text in set(references(document)):
        assert text.startswith("#/components/")
        assert resolved(document, {"$ref": text})


def test_no_component_is_left_over(document: Json) -> None:
    used = set(references(document))
    ours = {f"#/components/{kind}/{name}" for kind, values in document["components"].items() for name in values}
    assert {name for name in ours - used if "/schemas/" not in name} == set()


def test_each_operation_has_an_id_of_its_own(document: Json) -> None:
    named = [operation["operationId"] for _, _, operation, _ in operations(document)]
    assert len(named) == len(set(named)) > 300


def test_each_part_of_a_path_is_a_parameter_and_none_stands_twice(document: Json) -> None:
    for path, _, _, parameters in operations(document):
        places = [(one["in"], one["name"]) for one in parameters]
        assert len(places) == len(set(places))
        told = {one["name"] for one in parameters if one["in"] == "path"}
        assert told == set(re.findall(r"\{(\w+)\}", path))
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert all(one["description"] for one in parameters if one["in"] != "path")


def test_each_tag_is_declared_and_used(document: Json) -> None:
    used = {tag for _, _, operation, _ in operations(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}


# --- the document is true --------------------------------------------------------------------------------------------


def test_each_path_is_routed_to_what_its_operation_says(document: Json, server: Server) -> None:
    registry = server.service.context.registry
    reached = set()
    for path, method, operation, _ in operations(document):
        asked = path.replace("{id}", "x").replace("{vid}", "1").replace("{type}", "Schedule").strip("/")
        found = route(method.upper(), asked, registry)
        assert operation["operationId"].startswith(found.interaction.value)
        reached.add((found.interaction, method.upper()))
    table = {(interaction, method) for told in BY_SHAPE.values() for method, interaction in told.items()}
    assert {pair for pair in table - reached if pair[0] is not Interaction.OPERATION} == set()
    assert reached <= table


def test_each_type_has_its_paths_and_no_other_has(document: Json, server: Server) -> None:
    served = server.service.context.registry.types
    shapes = [shape for shape in BY_SHAPE if shape.startswith("type") and shape not in LEVELS]
    for type_ in served:
        under = (path for path, _ in fhir(document) if path.split("/")[1] == type_)
        own = [path for path in under if "{type}" not in path and "$" not in path]
        assert len(own) == len(shapes)
    assert {path.split("/")[1] for path, _ in fhir(document)} - served <= {"", "metadata", "_search", "_history"}


def test_each_search_parameter_of_a_type_is_told(document: Json, server: Server) -> None:
    registry = server.service.context.registry
    for type_ in registry.types:
        search = document["paths"][f"/{type_}"]["get"]
        told = {resolved(document, one)["name"] for one in search["parameters"]}
        codes = {code for code, one in registry.parameters(type_).items() if one.type is not Kind.COMPOSITE}
        assert codes <= told
        conditional = document["paths"][f"/{type_}"]["delete"]
        assert codes <= {resolved(document, one)["name"] for one in conditional["parameters"]}


def test_media_types_are_those_of_the_server(document: Json) -> None:
    sent = {media for _, _, one, _ in operations(document) for media in one.get("requestBody", {}).get("content", ())}
    assert sent == {"application/fhir+json", "application/json-patch+json", "application/x-www-form-urlencoded"}
    for _, _, operation, _ in operations(document):
        for response in operation["responses"].values():
            assert set(resolved(document, response).get("content", ())) <= {"application/fhir+json"}


VALUES = {
    "_sort": "_lastUpdated",
    "_count": "1",
    "_include": "*",
    "_revinclude": "*",
    "_total": "none",
    "_summary": "true",
    "_elements": "id",
    "_format": "json",
    "_pretty": "true",
    "_type": "Practitioner",
    "_since": "2026-01-05T08:00:00Z",
    "_at": "2026-01-05",
    "_after": "0",
    "mode": "full",
}


async def test_each_parameter_that_is_told_is_understood(document: Json, http: httpx.AsyncClient) -> None:
    made = await created(http, practitioner("Décrite"))
    tried = 0
    for path, method, _, parameters in operations(document):
        if method != "get" or not path.startswith(("/Practitioner", "/_", "/metadata")) or "Role" in path:
            continue
        if "$" in path:  # some need parameters of their own: test_operations
            continue
        url = path.replace("{id}", made["id"]).replace("{vid}", "1").replace("{type}", "Schedule").strip("/")
        for one in parameters:
            if one["in"] == "query" and one["name"] in VALUES:
                answer = await http.get(url, params={one["name"]: VALUES[one["name"]]})
                assert answer.status_code == 200, (url, one["name"], answer.text)
                tried += 1
    assert tried > 40


async def test_each_search_parameter_that_is_told_is_understood(document: Json, http: httpx.AsyncClient) -> None:
    for one in document["paths"]["/Slot"]["get"]["parameters"]:
        name = resolved(document, one)["name"]
        if resolved(document, one)["in"] == "query" and name not in VALUES:
            answer = await http.get("Slot", params={name: "2026-01-05"})
            assert answer.status_code == 200 or "search-parameter-unknown" not in ids(answer), name


# --- how it is served ------------------------------------------------------------------------------------------------


async def test_document_and_page_are_served_beside_the_base(server: Server, document: Json) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url="http://127.0.0.1:8080") as http:
        assert (await http.get("/openapi.json")).json() == document
        page = await http.get("/docs")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        for path, method, operation, _ in operations(document):
            assert f"<th>{method.upper()}</th>" in page.text
            assert escape(operation["summary"]) in page.text
            assert f"<code>{path}</code>" in page.text
        assert (await http.get("/redoc")).status_code == 404


class Loaded(HTMLParser):
    """What a browser would load or run for a page: every element but text and links."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


async def test_page_needs_no_network_and_runs_nothing(server: Server) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url="http://127.0.0.1:8080") as http:
        page = await http.get("/docs")
    loaded = Loaded()
    loaded.feed(page.text)
    assert not loaded.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert loaded.attributes == {"charset", "content", "href", "id", "lang", "name"}
    style = re.search("<style>(.*)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert page.headers["content-security-policy"].startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


def test_what_a_definition_says_is_text_in_the_page() -> None:
    parameter = {"name": "<b>", "in": "query", "description": '`a<script>` & "b"'}
    told = {
        "info": {"title": "<i>", "version": "1"},
        "servers": [{"url": '"><script>'}],
        "tags": [{"name": "Slot"}],
        "paths": {
            "/Slot": {"get": {"tags": ["Slot"], "summary": "<u>", "parameters": [{"$ref": "#/x/Slot.b"}]}},
        },
        "components": {"parameters": {"Slot.b": parameter}},
    }
    text = page_of(told).decode()
    assert "<code>a&lt;script&gt;</code> &amp; &quot;b&quot;" in text
    for markup in ("<b>", "<i>", "<u>", "<script"):
        assert markup not in text


def test_document_is_made_once_and_when_it_is_asked_for(server: Server) -> None:
    assert server.app.openapi() is server.app.openapi()


async def test_servers_are_the_base_urls(serve: Serve, document: Json) -> None:
    assert document["servers"] == [{"url": "/fhir"}]
    async with serve(base_url=("https://a.example.org/r4", "http://b.example.org/fhir")) as server:
        told = server.app.openapi()
        assert [one["url"] for one in told["servers"]] == ["https://a.example.org/r4", "http://b.example.org/fhir"]
        assert told["paths"]["/health"]["servers"] == [{"url": "/"}]


async def test_only_what_is_served_is_told(serve: Serve) -> None:
    async with serve(types=("Practitioner", "Slot")) as server:
        told = server.app.openapi()
        assert {"/Practitioner/{id}", "/Slot/{id}"} <= set(told["paths"])
        assert "/Patient/{id}" not in told["paths"]
        for text in set(references(told)):
            assert resolved(told, {"$ref": text})
        named = {operation["operationId"].partition("-")[0] for _, _, operation, _ in operations(told)}
        assert named == {interaction.value.partition("-")[0] for interaction in Interaction} - {"transaction"}
