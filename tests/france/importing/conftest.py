"""Stores for the imports, one of each engine where a rule stands on the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.france.importing.importing_world import World, world
from tests.mongo_server import server as mongo_server


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[World]:
    """An empty store of SQLite."""
    async with world(f"sqlite:{tmp_path}/store.db") as found:
        yield found


@pytest.fixture(params=["sqlite", "mongo"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The store of one engine, empty."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/store.db"
    else:
        with mongo_server.database(request.getfixturevalue("mongo_uri")) as uri:
            yield uri
