"""If-Unmodified-Since on writes. https://www.rfc-editor.org/rfc/rfc9110#section-13.1.4"""

from __future__ import annotations

import httpx
import pytest

from tests.rest.asking import SYSTEM, etag, expressions, practitioner, refused

OLD = "Sun, 04 Jan 2026 00:00:00 GMT"
NEW = "Thu, 01 Jan 2099 00:00:00 GMT"
JSON_PATCH = "application/json-patch+json"

WRITES = [
    ("PUT", "Practitioner/p"),
    ("PUT", f"Practitioner?identifier={SYSTEM}|p"),
    ("PATCH", "Practitioner/p"),
    ("PATCH", f"Practitioner?identifier={SYSTEM}|p"),
    ("DELETE", "Practitioner/p"),
    ("DELETE", f"Practitioner?identifier={SYSTEM}|p"),
]


async def write(http: httpx.AsyncClient, method: str, url: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if method == "PATCH":
        patch = [{"op": "add", "path": "/active", "value": True}]
        return await http.patch(url, json=patch, headers={**named, "Content-Type": JSON_PATCH})
    body = practitioner("Neuf", "p", id="p") if method == "PUT" else None
    return await http.request(method, url, json=body, headers=named)


@pytest.fixture
async def modified(http: httpx.AsyncClient) -> str:
    """The date of the one resource there is."""
    made = await http.put("Practitioner/p", json=practitioner("Avant", "p", id="p"))
    return str(made.headers["last-modified"])


@pytest.mark.parametrize(("method", "url"), WRITES)
async def test_what_was_modified_since_is_not_written(
    http: httpx.AsyncClient, modified: str, method: str, url: str
) -> None:
    response = await write(http, method, url, If_Unmodified_Since=OLD)
    refused(response, 412, "precondition")
    assert response.headers["etag"] == etag(1)
    assert expressions(response) == ["http.If-Unmodified-Since"]
    assert (await http.get("Practitioner/p")).headers["last-modified"] == modified


@pytest.mark.parametrize(("method", "url"), WRITES)
async def test_what_was_not_modified_since_is_written(
    http: httpx.AsyncClient, modified: str, method: str, url: str
) -> None:
    response = await write(http, method, url, If_Unmodified_Since=modified)
    assert response.status_code in {200, 204} and response.headers["etag"] == etag(2)


async def test_version_decides_where_both_are_given(http: httpx.AsyncClient, modified: str) -> None:
    refused(await write(http, "PUT", "Practitioner/p", If_Unmodified_Since=NEW, If_Match=etag(7)), 412, "precondition")
    response = await write(http, "PUT", "Practitioner/p", If_Unmodified_Since=OLD, If_Match=etag(1))
    assert response.status_code == 200


async def test_what_is_not_there_was_not_modified(http: httpx.AsyncClient) -> None:
    assert (await write(http, "PUT", "Practitioner/p", If_Unmodified_Since=OLD)).status_code == 201
    await http.delete("Practitioner/p")
    assert (await write(http, "DELETE", "Practitioner/p", If_Unmodified_Since=OLD)).status_code == 204


@pytest.mark.parametrize("date", ["", "yesterday", "2026-01-05T08:00:00Z", "Sun, 99 Jan 2026 00:00:00 GMT"])
async def test_date_that_cannot_be_read_is_refused(http: httpx.AsyncClient, modified: str, date: str) -> None:
    refused(await write(http, "PUT", "Practitioner/p", If_Unmodified_Since=date), 400, "header-value")
