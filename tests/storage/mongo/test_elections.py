"""What a member that loses its place, or a shard that does not answer, says of a write: never that it was refused."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import BulkWriteError, ExecutionTimeout, NetworkTimeout, OperationFailure, WriteError

from fhir_server.search.query import Equality
from fhir_server.storage.mongo import MongoStore, connection
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.protocol import CommitTooLarge, Planned, StoreUnavailable, View
from tests.storage.contract.test_commit import holders, whole_log
from tests.storage.mongo.answering import HELLO, answering
from tests.storage.mongo.conftest import OpenMongo, through
from tests.storage.mongo.proxy import proxy_to
from tests.storage.writing import SLOT, put

STEPPED_DOWN, UNDER_PRESSURE = 189, 365
FREE = Equality("status", "free")


class Failing:
    """A collection one of whose commands fails once, after it was done or before."""

    def __init__(self, collection: Any, command: str, error: Exception, *, done: bool) -> None:
        self._collection, self._command, self._error, self._done = collection, command, error, done
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._collection, name)
        return self._fail if name == self._command and not self.failed else own

    async def _fail(self, *arguments: Any, **options: Any) -> None:
        self.failed = True
        if self._done:
            await getattr(self._collection, self._command)(*arguments, **options)
        raise self._error


@pytest.mark.parametrize("done", [True, False])
async def test_a_commit_whose_primary_steps_down_is_settled(mongo: MongoStore, *, done: bool) -> None:
    error = WriteError("Not primary while writing", STEPPED_DOWN)
    failing: Any = Failing(mongo.parts.log.commits, "insert_one", error, done=done)
    mongo.parts.log.commits = failing
    assert (await mongo.commit(put(SLOT))).answer == 1
    assert failing.failed
    assert [commit.number for commit in await whole_log(mongo)] == [1]


@pytest.mark.parametrize("code", [STEPPED_DOWN, UNDER_PRESSURE])
async def test_a_primary_that_steps_down_or_is_busy_costs_a_resource_none_of_its_values(
    code: int, mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [{"index": 0, "code": code, "errmsg": "not now"}]
    error = BulkWriteError({"writeErrors": errors, "writeConcernErrors": []})
    failing: Any = Failing(mongo.parts.log.resources("Slot"), "bulk_write", error, done=False)
    monkeypatch.setitem(mongo.parts.log._resources, "Slot", failing)
    await mongo.commit(put(SLOT, [FREE]))
    assert failing.failed
    assert await holders(mongo, FREE) == (SLOT,)
    assert await mongo.healthy() == []


@pytest.mark.parametrize("ask", [Log.is_free, Log.token])
async def test_a_primary_without_the_others_is_unavailable_not_slow(mongo: MongoStore, ask: Any) -> None:
    log = mongo.parts.log
    log._certain = Failing(log._certain, "find_one", ExecutionTimeout("time limit", 50), done=False)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable, match="took too long"):
        await ask(log, 1)


async def test_indexes_that_take_long_are_waited_for(mongo: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    failing: Any = Failing(mongo.parts.log.resources("Slot"), "create_indexes", NetworkTimeout("x"), done=False)
    monkeypatch.setitem(mongo.parts.log._resources, "Slot", failing)
    await mongo.parts.log.prepare("Slot")
    assert failing.failed
    assert "equal_1_ordinal_1" in await failing.index_information()


async def test_a_commit_that_weighs_more_than_it_seems_is_too_large(mongo: MongoStore) -> None:
    """Entries are JSON in a commit, where each of these characters takes six bytes."""
    entry = Equality("identifier", "\x1f" * 3_000_000)
    small = put(SLOT)

    async def plan(view: View) -> Planned[int]:
        return await put(SLOT, [entry])(view)

    with pytest.raises(CommitTooLarge, match="the limit is 16000000"):
        await mongo.commit(plan)
    assert await mongo.healthy() == []
    assert (await mongo.commit(small)).answer == 1


@pytest.mark.parametrize("error", [WriteError("object to insert too large", 2), OperationFailure("x", 10334)], ids=repr)
async def test_what_only_mongodb_finds_too_large_is_too_large(mongo: MongoStore, error: Exception) -> None:
    """The driver sends a document that is up to 16 KiB over the bound."""
    failing: Any = Failing(mongo.parts.log.commits, "insert_one", error, done=False)
    mongo.parts.log.commits = failing
    with pytest.raises(CommitTooLarge):
        await mongo.commit(put(SLOT))
    assert (await mongo.commit(put(SLOT))).answer == 1


MEMBER = {**HELLO, "setName": "rs0", "hosts": ["127.0.0.1:9", "127.0.0.1:10"], "primary": "127.0.0.1:9"}


async def test_a_direct_connection_to_a_member_is_refused(make_mongo: OpenMongo) -> None:
    async with answering({"hello": MEMBER}) as port:
        with pytest.raises(StoreUnavailable, match="leave directConnection=true out"):
            await make_mongo(at=f"mongodb://127.0.0.1:{port}/cpts?directConnection=true").open()


async def test_the_tests_own_proxy_stands_for_the_whole_set(
    make_mongo: OpenMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SELECT_MILLISECONDS", 2_000)
    find = {"ok": 0, "code": 4711, "codeName": "Odd", "errmsg": "x"}
    async with answering({"hello": MEMBER, "find": find}) as port, proxy_to("127.0.0.1", port) as proxy:
        with pytest.raises(StoreUnavailable, match="Odd"):
            await make_mongo(at=through(proxy, f"mongodb://127.0.0.1:{port}/cpts")).open()
