"""Stores for the tests: each test of the contract runs on each engine."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from fhir_server.storage.mongo import MongoStore
from fhir_server.storage.protocol import Store, StoreLimits
from fhir_server.storage.sqlite import SqliteStore
from tests.mongo_server import server
from tests.storage.writing import FixedClock

OpenStore = Callable[..., Store]
"""(name, limits, definition_types) -> a store that is not open yet; the same name is the same data."""

DEFINITIONS = frozenset({"SearchParameter"})


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["sqlite", "mongo"], scope="session")
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


NewPlace = Callable[[], AbstractContextManager[str]]
"""Gives what ``store_at`` finds data by, in another process too; the data is gone afterwards."""


@pytest.fixture(scope="session")
def new_place(engine: str, request: pytest.FixtureRequest) -> NewPlace:
    if engine == "mongo":
        return partial(_mongo_place, request.getfixturevalue("mongo_uri"))
    return _sqlite_place


@contextmanager
def _sqlite_place() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:{folder}"


@contextmanager
def _mongo_place(uri: str) -> Iterator[str]:
    with server.database(uri) as place:
        yield f"mongo:{place}"


@pytest.fixture
def place(new_place: NewPlace) -> Iterator[str]:
    with new_place() as found:
        yield found


@pytest.fixture
async def make_store(place: str, clock: FixedClock) -> AsyncIterator[OpenStore]:
    """Make stores, each closed at the end of the test."""
    made: list[Store] = []

    def make(name: str = "store", limits: StoreLimits | None = None) -> Store:
        store = store_at(place, clock, name, limits)
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()


@pytest.fixture
async def store(make_store: OpenStore) -> Store:
    opened = make_store()
    await opened.open()
    return opened


def store_at(place: str, clock: Callable[[], int], name: str = "store", limits: StoreLimits | None = None) -> Store:
    engine, _, where = place.partition(":")
    options = limits or StoreLimits()
    if engine == "mongo":
        return MongoStore(server.named(where, name), clock=clock, limits=options, definition_types=DEFINITIONS)
    return SqliteStore(Path(where) / f"{name}.db", clock=clock, limits=options, definition_types=DEFINITIONS)
