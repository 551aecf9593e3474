"""Every command asks for what makes its answer true: the test server would not mind if none did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from fhir_server.model.reference import Key
from fhir_server.search.query import Equal, Equality, Page, Query, References, SortBy
from fhir_server.storage.mongo import MongoStore
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.protocol import HistoryPage, Planned, Scope, View
from tests.storage.mongo.conftest import OpenMongo
from tests.storage.writing import SLOT, delete, put

WRITES = {"insert", "update", "delete", "findAndModify", "createIndexes"}
READS = {"find", "aggregate"}


class Heard(CommandListener):
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append((event.command_name, dict(event.command)))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to keep."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to keep."""

    def of(self, names: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((name, command) for name, command in self.commands if name in names)


async def use_everything(store: MongoStore) -> None:
    await store.commit(put(SLOT, [Equality("status", "free")]))
    await store.commit(put(SLOT))
    await store.commit(delete(SLOT))
    await store.read(SLOT)
    await store.reindex([(SLOT, 3, 9, ())])
    async with store.alone("task"):
        pass

    async def nothing(view: View) -> Planned[int]:
        await view.holders([("Slot", Equality("status", "free"))])
        return Planned((), 0)

    await store.commit(nothing)
    query = Query(("Slot",), Equal("status", ("free",)), (SortBy("status", "equality"),))
    async with store.snapshot() as snapshot:
        await snapshot.search(query, Page(10))
        await snapshot.count(query)
        await snapshot.history(Scope("Slot"), HistoryPage(10))
        await snapshot.read([SLOT, Key("Slot", "b")])
        await snapshot.entries([SLOT])
    assert [commit.number async for commit in store.log(0)] == [1, 2, 3]


async def test_what_is_written_is_on_the_disks_of_a_majority(make_mongo: OpenMongo) -> None:
    heard = Heard()
    store = make_mongo((heard,))
    await store.open()
    await use_everything(store)
    commands = list(heard.of(WRITES))
    assert {name for name, _ in commands} == WRITES
    for name, command in commands:
        assert command["writeConcern"] == {"w": "majority", "j": True, "wtimeout": 5_000}, name


async def test_what_is_read_is_what_a_majority_has(make_mongo: OpenMongo) -> None:
    heard = Heard()
    store = make_mongo((heard,))
    await store.open()
    await use_everything(store)
    commands = list(heard.of(READS))
    assert {name for name, _ in commands} == READS
    for name, command in commands:
        level = command["readConcern"]["level"]
        assert level == "majority" or (level == "linearizable" and is_certain(command)), (name, command)
        assert command.get("$readPreference", {"mode": "primary"}) == {"mode": "primary"}


def is_certain(command: dict[str, Any]) -> bool:
    """Tell whether a command asks for one commit, as only what must be certain does."""
    return (
        command.get("limit") == 1 and list(command["filter"]) == ["_id"] and isinstance(command["filter"]["_id"], int)
    )


async def test_sorts_may_use_the_disk_on_every_version(make_mongo: OpenMongo) -> None:
    """From MongoDB 6.0 on they may anyway."""
    heard = Heard()
    store = make_mongo((heard,))
    await store.open()
    async with store.snapshot() as snapshot:
        heard.commands.clear()
        for sort in ((), (SortBy("status", "equality"),)):
            await snapshot.search(Query(("Slot",), sort=sort), Page(10))
    told = [c["allowDiskUse"] for _, c in heard.of(READS) if c.get("find", c.get("aggregate")) != log_state(store)]
    assert told == [True, True]


@pytest.mark.parametrize("ask", [Log.is_free, Log.token])
async def test_what_must_be_certain_is_read_linearizably_where_that_is_known(ask: Any, make_mongo: OpenMongo) -> None:
    heard = Heard()
    store = make_mongo((heard,))
    await store.open()
    log = Log(store.parts.log.database, store.parts.log.identity, linearizable=True)
    heard.commands.clear()
    await ask(log, 1)
    ((_, command),) = heard.of(READS)
    assert command["readConcern"] == {"level": "linearizable"}
    assert command["filter"] == {"_id": 1}
    assert command["maxTimeMS"] == 5_000


async def test_queries_tell_the_server_how_long_they_may_take(make_mongo: OpenMongo) -> None:
    heard = Heard()
    store = make_mongo((heard,))
    await store.open()
    heard.commands.clear()
    async with store.snapshot() as snapshot:
        for sort in ((), (SortBy("status", "equality"),)):
            await snapshot.search(Query(("Slot",), sort=sort), Page(10))
        await snapshot.count(Query(("Slot",)), 1.5)
        chain = Query(("Slot",), Equal("schedule", References("Schedule", Equal("actor", ("a",)))))
        await snapshot.search(chain, Page(10))
    times = [c["maxTimeMS"] for _, c in heard.of(READS) if c.get("find", c.get("aggregate")) != log_state(store)]
    assert times == [10_000, 10_000, 1_500, 10_000, 10_000]


def log_state(store: MongoStore) -> str:
    return store.parts.log.states.name
