"""What other writers, dead or alive, leave behind; and what this one does about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import AutoReconnect, OperationFailure, WriteConcernError

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality, Query
from fhir_server.storage.mongo import MongoStore, appending, committing
from fhir_server.storage.mongo.documents import written_of
from fhir_server.storage.mongo.log import Log, State
from fhir_server.storage.mongo.projecting import project
from fhir_server.storage.mongo.turns import Turns
from fhir_server.storage.protocol import CommitTooLarge, Planned, SchemaTooNew, StoreUnavailable, View
from tests.mongo_server import server
from tests.storage.contract.test_commit import whole_log
from tests.storage.mongo.conftest import OpenMongo
from tests.storage.writing import SLOT, Refused, body, following, put

Raw = AsyncIOMotorDatabase[dict[str, Any]]


async def left_unapplied(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Append a commit, and die before it is projected."""

    async def dies(*_: object) -> None:
        raise OperationFailure("killed", 1)

    with monkeypatch.context() as patch:
        patch.setattr(appending, "project", dies)
        patch.setattr(committing, "DEADLINE_SECONDS", 0.3)
        with pytest.raises(StoreUnavailable, match="not certain"):
            await store.commit(put(SLOT, [Equality("status", "free")]))
        await store.close()


async def test_who_comes_next_applies_what_a_dead_process_has_appended(
    make_mongo: OpenMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, next_ = make_mongo(), make_mongo()
    await dying.open()
    await next_.open()
    await left_unapplied(dying, monkeypatch)
    assert await next_.read(SLOT) is None
    assert (await next_.commit(put(SLOT))).answer == 2
    assert [commit.number for commit in await whole_log(next_)] == [1, 2]


async def test_opening_applies_it(make_mongo: OpenMongo, monkeypatch: pytest.MonkeyPatch) -> None:
    dying, next_ = make_mongo(), make_mongo()
    await dying.open()
    await left_unapplied(dying, monkeypatch)
    await next_.open()
    stored = await next_.read(SLOT)
    assert stored is not None
    assert stored.version == 1


async def test_a_server_that_only_reads_applies_it_soon(make_mongo: OpenMongo, monkeypatch: pytest.MonkeyPatch) -> None:
    dying, reading = make_mongo(), make_mongo()
    await dying.open()
    await reading.open()
    await left_unapplied(dying, monkeypatch)
    for _ in range(100):
        if (await reading.head()).number:
            break
        await asyncio.sleep(0.05)
    async with reading.snapshot() as snapshot:
        assert snapshot.head.number == 1
    assert await reading.read(SLOT) is not None


async def test_applying_late_or_twice_does_no_harm(mongo: MongoStore) -> None:
    entries = [Equality("status", "free")]
    await mongo.commit(put(SLOT, entries))
    document = await mongo.parts.log.find(1)
    assert document is not None
    await mongo.commit(put(SLOT))
    before = (await mongo.read(SLOT), await whole_log(mongo))
    for _ in range(2):
        await project(mongo.parts.log, written_of(document))
    assert (await mongo.read(SLOT), await whole_log(mongo)) == before
    async with mongo.snapshot() as snapshot:
        assert (await snapshot.entries([SLOT]))[SLOT] == ()
        assert await snapshot.count(Query(("Slot",))) == 1


Failing = Callable[[Log, dict[str, Any]], Any]


@pytest.mark.parametrize("happens", [False, True], ids=["lost request", "lost answer"])
@pytest.mark.parametrize("error", [AutoReconnect("cut"), WriteConcernError("waiting", 64)], ids=["cut", "concern"])
async def test_an_unknown_outcome_is_settled_with_the_same_document(
    happens: bool, error: Exception, mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, tokens = Log.insert, []

    async def failing(log: Log, document: dict[str, Any]) -> bool:
        tokens.append(document["token"])
        if len(tokens) > 1:
            return await insert(log, document)
        if happens:
            await insert(log, document)
        raise error

    monkeypatch.setattr(Log, "insert", failing)
    assert (await mongo.commit(put(SLOT))).number == 1
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert len(await whole_log(mongo)) == 1


async def test_what_stays_unknown_is_503_and_never_run_again(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0

    async def plan(view: View) -> Planned[int]:
        nonlocal runs
        runs += 1
        return Planned([following((await view.read([SLOT])).get(SLOT), SLOT, body())], 0)

    async def failing(log: Log, document: dict[str, Any]) -> bool:
        raise AutoReconnect("cut")

    with monkeypatch.context() as patch:
        patch.setattr(Log, "insert", failing)
        patch.setattr(committing, "DEADLINE_SECONDS", 0.3)
        with pytest.raises(StoreUnavailable, match="not certain"):
            await mongo.commit(plan)
        assert "the last write failed" in "".join(await mongo.healthy())
    assert (await mongo.commit(put(SLOT))).answer == 1
    assert runs == 1
    assert await mongo.healthy() == []


async def test_who_fails_together_gets_an_exception_of_his_own(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(log: Log, document: dict[str, Any]) -> bool:
        raise OperationFailure("not authorized", 13)

    monkeypatch.setattr(Log, "insert", failing)
    results = await asyncio.gather(*[mongo.commit(put(SLOT)) for _ in range(3)], return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert len({id(result) for result in results}) == 3


async def test_a_writer_that_ends_by_a_bug_leaves_nobody_waiting(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bug(_: object) -> None:
        raise KeyError

    monkeypatch.setattr(mongo.parts.committer, "_group", bug)
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable, match="has ended"):
            await mongo.commit(put(SLOT))
        with pytest.raises(StoreUnavailable, match="closed"):
            await mongo.commit(put(SLOT))
        with pytest.raises(StoreUnavailable):
            await mongo.healthy()
        with pytest.raises(KeyError):
            await mongo.close()


class OutOfTurn(Turns):
    """The place of a process that does not wait for its turn."""

    async def take(self) -> State | None:
        return await self._log.state()

    async def leave(self) -> None:
        """It has no place to leave."""


async def test_a_refusal_that_is_no_longer_true_is_not_told(
    make_mongo: OpenMongo, mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that refuses because of what another process changes meanwhile runs again."""
    other = make_mongo()
    await other.open()
    monkeypatch.setattr(other.parts.committer, "_turns", OutOfTurn(other.parts.log))
    seen: list[bool] = []

    async def create_once(view: View) -> Planned[int]:
        there = SLOT in await view.read([SLOT])
        seen.append(there)
        if not there:
            raise Refused("there is nothing to update")
        return Planned((), 1)

    is_free = Log.is_free

    async def late(log: Log, number: int) -> bool:
        if len(seen) == 1 and log is mongo.parts.log:
            await other.commit(put(SLOT))
        return await is_free(log, number)

    monkeypatch.setattr(Log, "is_free", late)
    assert (await mongo.commit(create_once)).answer == 1
    assert seen == [False, True]


# --- the database ----------------------------------------------------------------------------------------------------


async def test_a_database_of_another_program_is_left_alone(make_mongo: OpenMongo, raw: Raw) -> None:
    await raw["things"].insert_one({"_id": 1})
    with pytest.raises(StoreUnavailable, match="another program's"):
        await make_mongo().open()
    assert await raw.list_collection_names() == ["things"]


async def test_a_newer_layout_is_not_opened(make_mongo: OpenMongo, mongo: MongoStore, raw: Raw) -> None:
    await raw["meta"].update_one({"_id": "log"}, {"$set": {"layout": 2}})
    with pytest.raises(SchemaTooNew, match="layout 2"):
        await make_mongo().open()


async def test_a_newer_schema_is_not_written_to(make_mongo: OpenMongo, mongo: MongoStore, raw: Raw) -> None:
    await mongo.commit(put(SLOT))
    await mongo.parts.log.states.update_one({"_id": "head"}, {"$set": {"schema": 2}})
    other = make_mongo()
    await other.open()
    with pytest.raises(SchemaTooNew, match="schema 2"):
        await other.commit(put(SLOT))


async def test_a_log_that_was_left_is_never_written_again(make_mongo: OpenMongo) -> None:
    """Who still has the empty log open when the store takes another one is refused."""
    source, target, late = make_mongo(), make_mongo(), make_mongo()
    await target.open()
    await late.open()
    del source
    await target.append([], "other")
    commits = [(commit, [()] * len(commit.changes)) for commit in await some_commits(make_mongo)]
    await target.append(commits, "other")
    with pytest.raises(StoreUnavailable, match="ended"):
        await late.commit(put(SLOT))
    assert [commit.number for commit in await whole_log(target)] == [1, 2]


async def some_commits(make_mongo: OpenMongo) -> list[Any]:
    aside = make_mongo(at=server.named(make_mongo()._uri, "aside"))
    await aside.open()
    for name in ("a", "b"):
        await aside.commit(put(Key("Slot", name)))
    return await whole_log(aside)


async def test_what_no_document_can_hold_is_refused_and_nothing_else(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many short values take several times their size in a document."""
    monkeypatch.setattr(committing, "DOCUMENT_BYTES", 100_000)
    monkeypatch.setattr(committing, "LARGE_BYTES", 10_000)
    many = tuple(Equality("p", str(n)) for n in range(9_000))
    with pytest.raises(CommitTooLarge):
        await mongo.commit(put(SLOT, many))
    assert await whole_log(mongo) == []
    await mongo.commit(put(SLOT, many[:3_000]))
