"""Stores to be maintained: real ones of each engine, with a clock that counts and ids that count."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from fhir_server.app import Parts, opened
from fhir_server.interactions.exchange import Request
from fhir_server.maintenance.documents import sources
from fhir_server.maintenance.load import Loaded, Refusal, load
from fhir_server.model.formats import parse
from fhir_server.service import Service
from fhir_server.settings import Settings
from fhir_server.storage.protocol import Commit
from tests.mongo_server import server

START = 1_767_600_000_000_000
"""2026-01-05T08:00:00Z, in microseconds; each look at the clock is one second later."""

Json = dict[str, Any]


class Place:
    """A folder with files and with stores, which are databases of MongoDB where the URI of one is given."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.folder = folder
        self.database = database
        self._seconds, self._numbers = itertools.count(), itertools.count(1)

    def url(self, name: str = "store") -> str:
        """``name`` is that of a store of the place, or the URL of any."""
        if ":" in name:
            return name
        return server.named(self.database, name) if self.database else f"sqlite:{self.folder / name}.db"

    def settings(self, name: str = "store", **changes: Any) -> Settings:
        return Settings(store=self.url(name), **changes)

    def open(self, name: str = "store", **changes: Any) -> AbstractAsyncContextManager[Service]:
        parts = Parts(clock=lambda: START + next(self._seconds) * 1_000_000, new_id=lambda: f"id-{next(self._numbers)}")
        return opened(self.settings(name, **changes), parts)

    def write(self, name: str, content: object) -> Path:
        """Write a file: JSON, or NDJSON from a list for a name that ends so; texts and bytes as they are."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif name.endswith(".ndjson") and isinstance(content, list):
            path.write_text("".join(json.dumps(item) + "\n" for item in content), encoding="utf-8")
        else:
            path.write_text(json.dumps(content), encoding="utf-8")
        return path


class Run:
    """What a load did."""

    def __init__(self, report: Loaded, refusals: Sequence[Refusal]) -> None:
        self.refusals = list(refusals)
        self.counts = (report.created, report.updated, report.unchanged, report.refused)


@pytest.fixture(params=["sqlite", "mongo"])
def place(request: pytest.FixtureRequest) -> Place:
    """A place for stores of each engine."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def mongo_place(tmp_path: Path, mongo_uri: str) -> Iterator[Place]:
    with server.database(mongo_uri) as database:
        yield Place(tmp_path, database)


async def loaded(service: Service, *paths: Path, dry_run: bool = False) -> Run:
    refusals: list[Refusal] = []
    report = await load(service, sources(paths), refuse=refusals.append, dry_run=dry_run)
    return Run(report, refusals)


async def get(service: Service, path: str, query: str = "") -> Json:
    answer = await service.perform(Request("GET", path, query))
    found: Json = parse(b"".join(answer.body))
    return found


async def total(service: Service, type_: str) -> int:
    return int((await get(service, type_, "_summary=count"))["total"])


async def put(service: Service, resource: Json) -> None:
    await service.perform(Request("PUT", f"{resource['resourceType']}/{resource['id']}", resource=resource))


async def delete(service: Service, path: str) -> None:
    await service.perform(Request("DELETE", path))


async def whole_log(service: Service) -> list[Commit]:
    return [commit async for commit in service.context.store.log(0)]


async def bodies(service: Service) -> dict[str, bytes]:
    """Return what is current, by key, but for version and instant."""
    found: dict[str, bytes] = {}
    for commit in await whole_log(service):
        for change in commit.changes:
            found.pop(str(change.key), None)
            if change.body is not None:
                resource = parse(change.body)
                del resource["meta"]["versionId"], resource["meta"]["lastUpdated"]
                found[str(change.key)] = json.dumps(resource, default=str).encode()
    return found


def organization(name: str, id_: str | None = None, **more: Any) -> Json:
    resource = {"resourceType": "Organization", "name": name, **more}
    return resource if id_ is None else {**resource, "id": id_}


def unindex(place: Place, key: str) -> None:
    """Take the texts that a resource is found by out of a store, behind its engine's back."""
    type_, id_ = key.split("/")
    if place.database is None:
        spoil_file(place, "DELETE FROM text WHERE ordinal = (SELECT ordinal FROM resource WHERE id = ?)", id_)
    else:
        spoil_database(place, f"resources.{type_}", {"_id": id_}, {"$unset": {"text": ""}})


def spoil_file(place: Place, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(place.folder / "store.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


def spoil_database(place: Place, collection: str, where: Json, change: Json | None) -> None:
    """Change one document of the log, or remove it."""
    with documents(place, collection) as found:
        if change is None:
            assert found.delete_one(where).deleted_count
        else:
            assert found.update_one(where, change).modified_count


@contextmanager
def documents(place: Place, collection: str) -> Iterator[Collection[Json]]:
    """Give a collection of the log of a place's store."""
    with MongoClient[Json](place.url()) as client:
        database = client.get_default_database()
        log = database["meta"].find_one()
        assert log is not None
        yield database[f"log_{log['identity']}.{collection}"]
