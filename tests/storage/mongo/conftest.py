"""What only the MongoDB engine's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import MongoClient

from fhir_server.storage.mongo import MongoStore
from fhir_server.storage.protocol import StoreLimits
from tests.mongo_server import server
from tests.storage.conftest import DEFINITIONS
from tests.storage.mongo.proxy import Proxy, proxy_to
from tests.storage.writing import FixedClock

OpenMongo = Callable[..., MongoStore]
"""(listeners, limits, uri) -> a store that is not open yet."""


@pytest.fixture
def uri(mongo_uri: str) -> Iterator[str]:
    """The URI of a database of the test's own."""
    with server.database(mongo_uri) as found:
        yield found


@pytest.fixture
async def make_mongo(uri: str, clock: FixedClock) -> AsyncIterator[OpenMongo]:
    made: list[MongoStore] = []

    def make(listeners: tuple[Any, ...] = (), limits: StoreLimits | None = None, at: str = uri) -> MongoStore:
        made.append(
            MongoStore(
                at, clock=clock, limits=limits or StoreLimits(), definition_types=DEFINITIONS, listeners=listeners
            )
        )
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
async def mongo(make_mongo: OpenMongo) -> MongoStore:
    store = make_mongo()
    await store.open()
    return store


@pytest.fixture
async def raw(uri: str) -> AsyncIterator[AsyncIOMotorDatabase[dict[str, Any]]]:
    """The database itself."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(uri)
    yield client.get_default_database()
    client.close()


@pytest.fixture
async def proxy(uri: str) -> AsyncIterator[Proxy]:
    """A proxy to the primary."""
    with MongoClient[dict[str, Any]](uri) as client:
        client.admin.command("ping")
        address = client.address
    assert address is not None
    async with proxy_to(*address) as found:
        yield found


def through(proxy: Proxy, uri: str) -> str:
    _, _, rest = uri.partition("://")
    before, mark, _ = rest.rpartition("@")
    database = uri.partition("://")[2].partition("/")[2].partition("?")[0]
    return f"mongodb://{before}{mark}127.0.0.1:{proxy.own_port}/{database}"
