"""Methods and paths: what there is, what is allowed on it. https://hl7.org/fhir/R4/http.html#summary"""

from __future__ import annotations

import httpx
import pytest

from fhir_server.interactions.routes import route
from fhir_server.model.interaction import Interaction
from fhir_server.service import HANDLERS
from tests.rest.asking import BASE, practitioner, refused
from tests.rest.conftest import Server

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FETCH")

ALLOWED = {
    "": "GET, HEAD, OPTIONS, POST",
    "metadata": "GET, HEAD, OPTIONS",
    "_search": "OPTIONS, POST",
    "_history": "GET, HEAD, OPTIONS",
    "Practitioner": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
    "Practitioner/_search": "OPTIONS, POST",
    "Practitioner/_history": "GET, HEAD, OPTIONS",
    "Practitioner/p": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    "Practitioner/p/_history": "GET, HEAD, OPTIONS",
    "Practitioner/p/_history/1": "GET, HEAD, OPTIONS",
    "Practitioner/p/Appointment": "GET, HEAD, OPTIONS",
    "Practitioner/p/Appointment/_search": "OPTIONS, POST",
    "Practitioner/p/*": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize(("path", "allow"), ALLOWED.items())
async def test_a_method_that_a_url_does_not_have_is_not_allowed(http: httpx.AsyncClient, path: str, allow: str) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    for method in METHODS:
        if method in allow.split(", "):
            continue
        response = await http.request(method, path, content=b"{}")
        assert response.status_code == 405
        assert response.headers["allow"] == allow
        if response.request.method != "HEAD":
            refused(response, 405, "method-not-allowed")


@pytest.mark.parametrize(("path", "allow"), ALLOWED.items())
async def test_options_tells_what_is_allowed(http: httpx.AsyncClient, path: str, allow: str) -> None:
    response = await http.options(f"{path}?any=query", headers={"Accept": "text/html"})
    assert response.status_code == 200
    assert response.headers["allow"] == allow
    assert response.headers["content-length"] == "0"


async def test_options_of_what_is_not_there_is_not_found(http: httpx.AsyncClient) -> None:
    assert (await http.options("Praktitioner")).status_code == 404
    assert (await http.options("Practitioner/a_b")).status_code == 400


async def test_each_interaction_of_the_table_has_a_handler(server: Server) -> None:
    reached = set()
    for path, allow in ALLOWED.items():
        for method in set(allow.split(", ")) - {"OPTIONS"}:
            reached.add(route(method, path, server.service.context.registry).interaction)
    assert reached - HANDLERS.keys() == {Interaction.BATCH}
    assert HANDLERS.keys() - reached <= {Interaction.OPERATION}, "see test_operations"


@pytest.mark.parametrize("path", ["metadata", "Practitioner", "_history", "Practitioner/p/*"])
async def test_head_is_get_without_the_body(http: httpx.AsyncClient, path: str) -> None:
    head = await http.head(path)
    assert head.status_code == 200
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("url", [BASE, BASE + "/", BASE + "//"])
async def test_base_with_and_without_slash_is_the_same(http: httpx.AsyncClient, url: str) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    response = await http.get(f"{url}?_type=Practitioner&_id=p")
    assert response.status_code == 200
    assert response.json()["total"] == 1


async def test_body_of_a_get_or_delete_is_of_no_interest(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/p", json=practitioner(id="p"))
    headers = {"Content-Type": "application/json"}
    for method, status in (("GET", 200), ("DELETE", 204)):
        response = await http.request(method, "Practitioner/p", content=b"{oops", headers=headers)
        assert response.status_code == status


async def test_request_id_of_the_client_comes_back_if_it_is_one(http: httpx.AsyncClient) -> None:
    given = await http.get("Practitioner/none", headers={"X-Request-Id": "abc-1.2_3"})
    assert given.headers["x-request-id"] == given.json()["id"] == "abc-1.2_3"
    for odd in ("x" * 65, "a b", "a\tb", ""):
        response = await http.get("Practitioner/none", headers={"X-Request-Id": odd})
        assert response.headers["x-request-id"] not in {odd, ""}
