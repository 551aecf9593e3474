"""The FHIR base path as an ASGI application: one request in, one answer out, every failure an OperationOutcome.

It stands beside FastAPI's own routes: parameter injection costs more than half of a read.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from secrets import token_hex
from time import perf_counter
from typing import Any, Final
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.failure import failure
from fhir_server.interactions.pace import READS, aside
from fhir_server.interactions.query_string import form
from fhir_server.logs import tell
from fhir_server.model.formats import parse, serialize
from fhir_server.model.media_types import FHIR_JSON, FORM
from fhir_server.outcome import (
    FhirError,
    HeadersTooLarge,
    Issue,
    IssueType,
    RequestTimeout,
    Unavailable,
    operation_outcome,
)
from fhir_server.rest.negotiation import (
    FORM_BYTES,
    compressed,
    decoded,
    request_type,
    response_type,
    takes_gzip,
    too_large,
)
from fhir_server.rest.patience import BODY_SECONDS
from fhir_server.rest.shaping import Shape, ascii_text, shape
from fhir_server.service import Service

_LOG: Final = logging.getLogger(__name__)

GZIP_FROM: Final = 1_024
"""Bytes; smaller answers are not compressed."""

_LOOK_AFTER: Final = 0.1
"""Seconds after which a read is dropped when its client goes away."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9\-._]{1,64}")
_BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
_METHODS: Final = _BODY_METHODS | {"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"}
"""Methods that a log line may name; any other is a text of the client's."""


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class FhirApi:
    """Serves one service under one base path."""

    body_seconds = BODY_SECONDS

    def __init__(self, service: Service, base_path: str, header_bytes: int) -> None:
        """``base_path`` starts with a slash and has none at its end: ``/fhir``."""
        self._service = service
        self._prefix = base_path.encode()
        self._header_bytes = header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        started = perf_counter()
        headers = _headers(scope)
        request_id = _request_id(headers)
        method = scope["method"]
        try:
            response = await self._answer(scope, receive, headers, request_id)
        except ClientGone:
            return
        status = await _send(send, response, headers, request_id, is_head=method == "HEAD")
        if _LOG.isEnabledFor(logging.INFO):
            type_ = self._logged_type(scope)
            duration = round((perf_counter() - started) * 1000, 2)
            named = method if method in _METHODS else ""
            fields = {"request_id": request_id, "method": named, "type": type_, "status": status, "ms": duration}
            tell(_LOG, "request", fields)

    async def _answer(
        self, scope: Scope, receive: Receive, headers: dict[str, str], request_id: str
    ) -> tuple[Response, str]:
        """Return the response and its media type; whatever is raised becomes an OperationOutcome."""
        media = FHIR_JSON
        try:
            self._check_headers(scope)
            path, query = self._path(scope), ascii_text(scope["query_string"])
            if scope["method"] == "OPTIONS":
                return Response(200, {"Allow": self._service.methods(path)}), media
            wish = shape(query)
            media = response_type(headers, wish.format)
            request = await self._request(scope["method"], path, query, receive, headers, request_id)
            if request.content_type == FORM and request.body:
                wish = shape(query, form(request.body))
                media = response_type(headers, wish.format)
            if _is_read(request):
                return await _while_there(receive, self._performed(request, wish)), media
            return await self._performed(request, wish), media
        except FhirError as error:
            return _refusal(error, request_id), media
        except ClientGone:
            raise
        except Exception:
            return _refusal(failure(request_id), request_id), media

    def _check_headers(self, scope: Scope) -> None:
        url = len(scope.get("raw_path", b"")) + len(scope["query_string"])
        size = url + sum(len(name) + len(value) for name, value in scope["headers"])
        if size > self._header_bytes:
            text = (
                f"URL and headers are {size} bytes; the limit is {self._header_bytes}; "
                "a long search can be sent as POST [type]/_search"
            )
            raise HeadersTooLarge(Issue(IssueType.TOO_LONG, text, ("http",), id="header-limit"))

    def _path(self, scope: Scope) -> str:
        """Return the path below the base, percent-encoded, without slashes at its ends."""
        raw = scope.get("raw_path") or b""
        if not raw.startswith(self._prefix):  # the base path itself was percent-encoded, or no raw path is known
            raw = quote(scope["path"]).encode()
        return ascii_text(raw[len(self._prefix) :]).strip("/")

    async def _request(
        self, method: str, path: str, query: str, receive: Receive, headers: dict[str, str], request_id: str
    ) -> Request:
        body, content_type = b"", ""
        if method in _BODY_METHODS:
            is_search = path.rpartition("/")[2] == "_search"
            limit = self._service.context.limits.body_bytes
            limit = min(limit, FORM_BYTES) if is_search else limit
            body = decoded(await _body(receive, headers, limit, self.body_seconds), headers, limit)
            if body or ("content-type" in headers and not is_search):
                content_type = request_type(headers, method=method, is_search=is_search)
        return Request(method, path, query, headers, body, content_type, id=request_id)

    async def _performed(self, request: Request, wish: Shape) -> Response:
        response = await self._service.perform(request)
        return await _pretty(response) if wish.is_pretty else response

    def _logged_type(self, scope: Scope) -> str:
        """Return the resource type of a path, the only part of it that is never personal."""
        part = scope["path"][len(self._prefix) :].strip("/").partition("/")[0]
        return part if part in self._service.context.registry.types else ""


def _is_read(request: Request) -> bool:
    """Tell whether a request changes nothing, so that it may be dropped at any moment."""
    return request.method in {"GET", "HEAD"} or request.path.rpartition("/")[2] == "_search"


async def _while_there(receive: Receive, reading: Coroutine[Any, Any, Response]) -> Response:
    """Return what a read finds. Raises ``ClientGone``, and cancels the read, when its client closes the connection.

    Most reads are over before it is worth to look.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is a coroutine
    loop = asyncio.get_running_loop()
    watches: list[asyncio.Task[None]] = []
    is_gone = False

    async def watch() -> None:
        nonlocal is_gone
        if await _gone(receive):
            is_gone = True
            task.cancel()

    timer = loop.call_later(_LOOK_AFTER, lambda: watches.append(loop.create_task(watch())))
    try:
        with READS:
            return await reading
    except asyncio.CancelledError:
        if not is_gone or task.uncancel():  # the server stops too
            raise
        raise ClientGone from None
    finally:
        timer.cancel()
        for watching in watches:
            watching.cancel()


async def _gone(receive: Receive) -> bool:
    """Wait until the client closes the connection; return False if that cannot be told."""
    ends = 0
    while ends < 2:  # the first is that of a body which nobody has read
        message = await receive()
        if message["type"] == "http.disconnect":
            return True
        ends += not message.get("more_body", False)
    return False


async def _body(receive: Receive, headers: Mapping[str, str], limit: int, patience: float) -> bytes:
    """Return the whole body. Raises ``TooLarge``, or ``RequestTimeout`` after ``patience`` seconds."""
    try:
        async with asyncio.timeout(patience):
            return await _whole(receive, headers, limit)
    except TimeoutError:
        told = f"the body was not whole after {patience:g} seconds; send less at once, or over a faster line"
        issue = Issue(IssueType.TIMEOUT, told, id="body-timeout")
        raise RequestTimeout(issue, headers={"Connection": "close"}) from None
    except asyncio.CancelledError:  # the server stops, and has waited for as long as it was told
        told = "the server stopped before the request was whole; send it again"
        raise Unavailable(Issue(IssueType.TRANSIENT, told, id="server-stopping")) from None


async def _whole(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the whole body. Raises ``TooLarge`` as soon as it passes the limit, before it is read."""
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise too_large(int(length), limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(size, limit)
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
                body = await aside(len(body), compressed, body)
                out.append((b"content-encoding", b"gzip"))
    if response.status not in {204, 304}:
        out.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": out})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
    return response.status


def _refusal(error: FhirError, request_id: str) -> Response:
    return Response(error.status, error.headers, (_outcome(error.issues, request_id),))


def _outcome(issues: tuple[Issue, ...], request_id: str) -> bytes:
    """Return an OperationOutcome whose id is the request's: it is what a client quotes to the operator."""
    return serialize({"resourceType": "OperationOutcome", "id": request_id, **operation_outcome(issues)})


async def _pretty(response: Response) -> Response:
    if not response.body:
        return response
    body = b"".join(response.body)
    return replace(response, body=(await aside(len(body), _with_line_breaks, body),))


def _with_line_breaks(body: bytes) -> bytes:
    return serialize(parse(body), pretty=True)


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by their names; one that stands several times is one list, as RFC 7230 says."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else token_hex(16)
