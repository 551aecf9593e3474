"""Stores for the tests: each test of the contract runs on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fhir_server.storage.protocol import Store, StoreLimits
from fhir_server.storage.sqlite import SqliteStore
from tests.storage.writing import FixedClock

OpenStore = Callable[..., Store]
"""(name, limits, definition_types) -> a store that is not open yet; the same name is the same data."""

DEFINITIONS = frozenset({"SearchParameter"})


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["sqlite"], scope="session")
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(engine: str, tmp_path: Path) -> str:
    """What ``stores.open_place`` finds the test's data by, in another process too."""
    return f"{engine}:{tmp_path}"


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
    assert engine == "sqlite"
    return SqliteStore(
        Path(where) / f"{name}.db", clock=clock, limits=limits or StoreLimits(), definition_types=DEFINITIONS
    )
