"""A request as a listener hands it to the application, byte for byte: no client that tidies it first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

import httpx

from tests.rest.conftest import Server
from tests.rest.rules import check_answer


async def send(
    server: Server,
    method: str,
    raw_path: bytes,
    query: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    base: bytes = b"/fhir/",
) -> httpx.Response:
    """Return the answer to a request below the base; it is held against what all answers keep."""
    path = base + raw_path
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": [(b"host", b"127.0.0.1:8080"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
        "state": {},
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def keep(message: Any) -> None:
        sent.append(message)

    await server.app(scope, receive, keep)
    response = httpx.Response(
        sent[0]["status"],
        headers=sent[0]["headers"],
        content=b"".join(message.get("body", b"") for message in sent[1:]),
        request=httpx.Request(method, "http://127.0.0.1:8080/fhir"),
    )
    check_answer(response)
    assert response.status_code < 500, response.text
    return response
