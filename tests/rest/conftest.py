"""The whole server in process, on each engine: a fixed clock, sequential ids, a client that keeps nothing from view."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.app import Parts, build
from fhir_server.settings import Settings

BASE = "http://127.0.0.1:8080/fhir"
START = 1_767_600_000_000_000
"""2026-01-05T08:00:00Z, in microseconds; each look at the clock is one second later."""


def parts() -> Parts:
    """Return a clock that moves a second a look, and ids that count."""
    seconds, numbers = itertools.count(), itertools.count(1)
    return Parts(clock=lambda: START + next(seconds) * 1_000_000, new_id=lambda: f"id-{next(numbers)}")


@pytest.fixture(params=["sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The store of one engine, empty."""
    return f"{request.param}:{tmp_path / 'store.db'}"


Serve = Callable[..., "Server"]


class Server:
    """One server in process; ``http`` calls it, the base URL is ``BASE``."""

    def __init__(self, store_url: str, **settings: Any) -> None:
        self.app = build(Settings(store=store_url, **settings), parts())
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE + "/")
        self._lifespan = self.app.router.lifespan_context(self.app)

    async def __aenter__(self) -> Server:
        await self._lifespan.__aenter__()
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.http.aclose()
        await self._lifespan.__aexit__(None, None, None)


@pytest.fixture
async def server(store_url: str) -> AsyncIterator[Server]:
    async with Server(store_url) as running:
        yield running


@pytest.fixture
def http(server: Server) -> httpx.AsyncClient:
    return server.http
