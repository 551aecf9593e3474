"""HTTP to the server that is checked: no redirect is followed, and time and size have their bounds.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from fhir_server.france.sas.checking.answer import Answer
from fhir_server.model.formats import serialize

ACCEPT: Final = "application/json+fhir"
SENT: Final = "application/json+fhir"
SECONDS: Final = 30
"""How long a request may take in all."""
BYTES: Final = 64 * 1024 * 1024
"""How large an answer may be."""


class NotFhir(Exception):
    """There is nothing to check: the text, in both languages, says why."""

    def __init__(self, fr: str, en: str) -> None:
        super().__init__(en)
        self.fr, self.en = fr, en


class Caller:
    """Sends requests to one base URL, one after the other. Enter it with ``async with``."""

    def __init__(
        self, base: str, tls: ssl.SSLContext | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """``transport``: the way to a server in process, for tests."""
        self.base = base
        self._target = urlsplit(base).path
        self._http = httpx.AsyncClient(
            verify=tls or False, transport=transport, follow_redirects=False, timeout=SECONDS, trust_env=False
        )

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, accept: str = ACCEPT) -> Answer:
        """Read; ``path`` goes into the request line as it stands."""
        return await self._call("GET", path, {"Accept": accept})

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None, kind: str = SENT) -> Answer:
        """Write; ``kind`` is the media type of the body."""
        if body is None:
            return await self._call(method, path, {"Accept": ACCEPT})
        return await self._call(method, path, {"Accept": ACCEPT, "Content-Type": kind}, serialize(dict(body)))

    async def _call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        began = perf_counter()
        # The target is written as it is: a client library would encode a bare `|`, which the platform does not.
        extensions = {"target": f"{self._target}/{path}".encode("ascii")}
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._http.stream(method, self.base, headers=headers, content=body, extensions=extensions) as response,
            ):
                content = await _bounded(response)
                took = perf_counter() - began
                return Answer(response.status_code, _lower(response), content, took)
        except TimeoutError:
            failure = f"no answer in {SECONDS} s"
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            failure = _reason(error)
        except _TooLarge:
            failure = f"more than {BYTES >> 20} MB"
        return Answer(0, {}, b"", perf_counter() - began, failure)


class _TooLarge(Exception):
    """An answer without end."""


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > BYTES:
            raise _TooLarge
    return bytes(content)


def _lower(response: httpx.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"no answer in {SECONDS} s"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({error})"
    return type(error).__name__
