"""The whole server in process, on each engine: a fixed clock, sequential ids, a client that checks every answer."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from fhir_server.app import Parts, build
from fhir_server.definitions.structures import Structures
from fhir_server.service import Service
from fhir_server.settings import Settings
from fhir_server.validation.validator import Validator
from tests.mongo_server import server as mongo_server
from tests.rest.asking import BASE
from tests.rest.rules import check_answer

START = 1_767_600_000_000_000
"""2026-01-05T08:00:00Z, in microseconds; each look at the clock is one second later."""


def parts() -> Parts:
    """Return a clock that moves a second a look, and ids that count."""
    seconds, numbers = itertools.count(), itertools.count(1)
    return Parts(clock=lambda: START + next(seconds) * 1_000_000, new_id=lambda: f"id-{next(numbers)}")


MEMORY = Path("/dev/shm")  # noqa: S108 what is made there has a name of its own


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for stores, in memory where the machine has such a place: these tests are not about its disk."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(prefix="fhir-tests-", dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture(params=["sqlite", "mongo"])
def store_url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The store of one engine, empty."""
    if request.param == "sqlite":
        yield f"sqlite:{folder / 'store.db'}"
    else:
        with mongo_server.database(request.getfixturevalue("mongo_uri")) as uri:
            yield uri


@pytest.fixture(scope="session", autouse=True)
def _one_validator() -> Iterator[None]:
    """Let all servers share one validator: it never changes, and compiling its invariants takes longer than a test."""

    @functools.cache
    def validator(served: frozenset[str]) -> Validator:
        return Validator(Structures.load(), served)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fhir_server.app.Validator", lambda _structures, served: validator(served))
        yield


Serve = Callable[..., "Server"]


class Server:
    """One server in process, its store empty at first; ``http`` calls it, the base URL is ``BASE``.

    Every answer is held against what all answers keep; one of 500 and above is a failure unless it ``may_fail``.
    """

    def __init__(self, store_url: str, **settings: Any) -> None:
        self.app = build(Settings(store=store_url, **{"definitions": False, **settings}), parts())
        self.may_fail = False
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url=BASE + "/",
            event_hooks={"response": [self._check]},
        )
        self._lifespan = self.app.router.lifespan_context(self.app)

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    async def _check(self, response: httpx.Response) -> None:
        await response.aread()
        check_answer(response)
        assert self.may_fail or response.status_code < 500, response.text

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


@pytest.fixture
def serve(store_url: str) -> Serve:
    """Return what makes a server with settings of one's own, over the same store; enter it with ``async with``."""
    return lambda **settings: Server(store_url, **settings)
