"""The FHIR base path as an ASGI application: one request in, one answer out, every failure an OperationOutcome.

It stands beside FastAPI's own routes: parameter injection costs more than half of a read.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from fhir_server.interactions.conditional import pairs
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.routes import methods
from fhir_server.model.formats import parse, serialize
from fhir_server.outcome import (
    FhirError,
    HeadersTooLarge,
    Issue,
    IssueType,
    Severity,
    operation_outcome,
)
from fhir_server.rest.negotiation import (
    FHIR_JSON,
    compressed,
    decoded,
    request_type,
    response_type,
    takes_gzip,
    too_large,
)
from fhir_server.service import Service

log = logging.getLogger("fhir_server.request")

GZIP_FROM: Final = 1_024
"""Bytes; smaller answers are not compressed."""

_THREAD_FROM: Final = 100_000
"""Bytes; larger answers are compressed beside the event loop."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9\-._]{1,64}")
_BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class FhirApi:
    """Serves one service under one base path."""

    def __init__(self, service: Service, base_path: str, header_bytes: int) -> None:
        """``base_path`` starts with a slash and has none at its end: ``/fhir``."""
        self._service = service
        self._prefix = base_path.encode()
        self._header_bytes = header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = _request_id(headers)
        method = scope["method"]
        try:
            response = await self._answer(scope, receive, headers, request_id)
        except ClientGone:
            return
        status = await _send(send, response, headers, request_id, is_head=method == "HEAD")
        if log.isEnabledFor(logging.INFO):
            type_ = self._logged_type(scope)
            duration = round((perf_counter() - started) * 1000, 2)
            log.info(
                "request",
                extra={"request_id": request_id, "method": method, "type": type_, "status": status, "ms": duration},
            )

    async def _answer(
        self, scope: Scope, receive: Receive, headers: dict[str, str], request_id: str
    ) -> tuple[Response, str]:
        """Return the response and its media type; whatever is raised becomes an OperationOutcome."""
        media = FHIR_JSON
        try:
            self._check_headers(scope)
            query = scope["query_string"].decode("latin-1")
            shaping = dict(pairs(query)) if "_format" in query or "_pretty" in query else {}
            media = response_type(headers, shaping.get("_format"))
            request = await self._request(scope, receive, headers, query, request_id)
            if request.method == "OPTIONS":
                return Response(200, {"Allow": methods(request.path, self._service.context.registry)}), media
            response = await self._service.perform(request)
            return (_pretty(response) if shaping.get("_pretty") == "true" else response), media
        except FhirError as error:
            return _refusal(error, request_id), media
        except ClientGone:
            raise
        except Exception:
            log.exception("unexpected", extra={"request_id": request_id})
            return _failure(request_id), media

    def _check_headers(self, scope: Scope) -> None:
        size = len(scope["query_string"]) + sum(len(name) + len(value) for name, value in scope["headers"])
        if size > self._header_bytes:
            raise HeadersTooLarge(
                f"URL and headers are {size} bytes; the limit is {self._header_bytes}; "
                "a long search can be sent as POST [type]/_search"
            )

    async def _request(
        self, scope: Scope, receive: Receive, headers: dict[str, str], query: str, request_id: str
    ) -> Request:
        method = scope["method"]
        path = scope.get("raw_path", scope["path"].encode())[len(self._prefix) :].decode("latin-1")
        body, content_type = b"", ""
        if method in _BODY_METHODS:
            limit = self._service.context.limits.body_bytes
            body = decoded(await _body(receive, headers, limit), headers, limit)
            is_search = path.rstrip("/").endswith("/_search")
            if body or "content-type" in headers:
                content_type = request_type(headers, method=method, is_search=is_search)
        return Request(method, path.strip("/"), query, headers, body, content_type, id=request_id)

    def _logged_type(self, scope: Scope) -> str:
        """Return the resource type of a path, the only part of it that is never personal."""
        part = scope["path"][len(self._prefix) :].strip("/").partition("/")[0]
        return part if part in self._service.context.registry.types else ""


async def _body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the whole body. Raises ``TooLarge`` as soon as it passes the limit, before it is read."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _send(
    send: Send, answer: tuple[Response, str], headers: Mapping[str, str], request_id: str, *, is_head: bool
) -> int:
    response, media = answer
    body = b"".join(response.body)
    out = [(b"x-request-id", request_id.encode())]
    out.extend((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items())
    if body:
        out.append((b"content-type", f"{media}; charset=utf-8".encode()))
        if len(body) >= GZIP_FROM:
            out.append((b"vary", b"Accept-Encoding"))
            if takes_gzip(headers):
                large = len(body) >= _THREAD_FROM
                body = await asyncio.to_thread(compressed, body) if large else compressed(body)
                out.append((b"content-encoding", b"gzip"))
    if response.status not in {204, 304}:
        out.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": out})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
    return response.status


def _refusal(error: FhirError, request_id: str) -> Response:
    outcome: dict[str, Any] = operation_outcome(error.issues)
    return Response(error.status, error.headers, (serialize({**outcome, "id": request_id}),))


def _failure(request_id: str) -> Response:
    """A bug of ours: the client gets the request id, the log has the trace."""
    issue = Issue(
        IssueType.EXCEPTION,
        f"the server failed; tell its operator the request id {request_id}",
        severity=Severity.FATAL,
    )
    return Response(500, {}, (serialize({**operation_outcome([issue]), "id": request_id}),))


def _pretty(response: Response) -> Response:
    if not response.body:
        return response
    body = serialize(parse(b"".join(response.body)), pretty=True)
    return Response(response.status, response.headers, (body,), response.modified, response.issues)


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex
