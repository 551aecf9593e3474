"""The ASGI application: FHIR under its base paths, beside it health and documentation.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_server.definitions.installed import Installed
from fhir_server.model.formats import serialize
from fhir_server.rest import docs_page
from fhir_server.rest.door import Door
from fhir_server.rest.openapi import described
from fhir_server.service import Service

OPENAPI: Final = "/openapi.json"
DOCS: Final = "/docs"


@dataclass(frozen=True, slots=True)
class _Written:
    """The document of all paths as it is sent: for machines, and for people."""

    document: dict[str, Any]
    openapi: bytes
    page: bytes


class Application(FastAPI):
    """FastAPI for health and documentation; what is under the FHIR base path never enters its routing.

    That routing costs more than a read: ``docs/decisions/0010-fhir-paths-before-fastapi.md``.
    """

    def __init__(
        self,
        fhir: Mapping[str, ASGIApp],
        service: Service,
        base_urls: Sequence[str],
        *,
        door: Door | None = None,
        **settings: Any,
    ) -> None:
        """``fhir`` is what answers under each base path; without a ``door`` everybody comes in."""
        super().__init__(openapi_url=OPENAPI, docs_url=None, redoc_url=None, **settings)
        self._door = door
        self._fhir = {f"{path}/": fhir[path] for path in sorted(fhir, key=len, reverse=True)}
        self._service = service
        self._base_urls = base_urls
        self._document: dict[str, Any] | None = None
        self._written: _Written | None = None
        self._described = Installed()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self._door is not None and await self._door.refuses(scope, send):
                return
            path = scope["path"] + "/"
            for base, app in self._fhir.items():
                if path.startswith(base):
                    await app(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the document of all paths, made when it is first asked for under other definitions."""
        registry = self._service.context.registry
        if self._document is None or self._described != registry.installed:
            self._document = described(super().openapi(), registry, self._base_urls)
            self._described = registry.installed
        return self._document

    def setup(self) -> None:
        """Serve the document as bytes, written once: FastAPI's own route would write it for each request, and its page
        has a script from elsewhere."""
        self.add_route(OPENAPI, self._openapi_bytes, include_in_schema=False)
        self.add_route(DOCS, self._page, include_in_schema=False)
        super().setup()

    async def _openapi_bytes(self, _request: Request) -> Response:
        return Response((await to_thread(self._write)).openapi, media_type="application/json")

    async def _page(self, _request: Request) -> Response:
        return Response((await to_thread(self._write)).page, headers=docs_page.HEADERS, media_type="text/html")

    def _write(self) -> _Written:
        document = self.openapi()
        if self._written is None or self._written.document is not document:
            self._written = _Written(document, serialize(document), docs_page.page(document))
        return self._written
