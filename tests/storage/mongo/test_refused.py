"""Nothing in the data keeps a commit from being applied: what MongoDB does not index is stored and told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from fhir_server.model.reference import Key
from fhir_server.search.query import Equal, Equality, Query, Text
from fhir_server.storage.mongo import MongoStore
from fhir_server.storage.mongo.log import Log
from fhir_server.storage.protocol import StoreUnavailable
from tests.storage.contract.test_commit import holders
from tests.storage.writing import SLOT, put

FREE = Equality("status", "free")
ENTRIES = (FREE, Text("comment", "x", "X"))
OTHER = Key("Slot", "b")


class Picky:
    """A collection that refuses documents with some fields."""

    def __init__(self, collection: Any, fields: tuple[str, ...]) -> None:
        self._collection = collection
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def _refuses(self, document: Any) -> bool:
        fields = document.get("$set", document)
        return any(fields.get(field, ["|"]) != ["|"] for field in self._fields)

    async def bulk_write(self, writes: Sequence[ReplaceOne[Any] | UpdateOne], ordered: bool) -> Any:
        refused = [place for place, write in enumerate(writes) if self._refuses(write._doc)]
        taken = [write for place, write in enumerate(writes) if place not in refused]
        result = await self._collection.bulk_write(taken, ordered=ordered) if taken else None
        if refused:
            errors = [{"index": place, "code": 17280, "errmsg": "key too large"} for place in refused]
            matched = result.matched_count if result else 0
            raise BulkWriteError({"writeErrors": errors, "writeConcernErrors": [], "nMatched": matched})
        return result


def refuse(patch: pytest.MonkeyPatch, *fields: str) -> None:
    resources = Log.resources
    patch.setattr(Log, "resources", lambda log, type_: Picky(resources(log, type_), fields))


async def found(store: MongoStore) -> int:
    async with store.snapshot() as snapshot:
        return await snapshot.count(Query(("Slot",), Equal("status", ("free",))))


async def test_a_resource_is_found_by_its_equality_values_at_least(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, "text")
        await mongo.commit(put(SLOT, ENTRIES))
    assert await found(mongo) == 1
    assert await holders(mongo, FREE) == (SLOT,)
    (warning,) = await mongo.healthy()
    assert "1 resources are not found by all their values" in warning
    assert "Slot/a" in warning
    async with mongo.snapshot() as snapshot:
        assert (await snapshot.entries([SLOT]))[SLOT] == (FREE,)
    assert await mongo.reindex([(SLOT, 1, 0, ENTRIES)], again=True) == 1
    assert await mongo.healthy() == []
    async with mongo.snapshot() as snapshot:
        assert set((await snapshot.entries([SLOT]))[SLOT]) == set(ENTRIES)


async def test_values_that_are_refused_do_not_end_a_reindexing(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.commit(put(SLOT))
    await mongo.commit(put(OTHER))
    with monkeypatch.context() as patch:
        refuse(patch, "text")
        assert await mongo.reindex([(SLOT, 1, 1, ENTRIES), (OTHER, 1, 1, (FREE,))]) == 2
    assert await holders(mongo, FREE) == (SLOT, OTHER)
    assert "Slot/a" in "".join(await mongo.healthy())


async def test_no_rule_is_checked_without_a_resource_whose_values_are_not_known(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.commit(put(OTHER, ENTRIES))
    with monkeypatch.context() as patch:
        refuse(patch, "text", "equal")
        await mongo.commit(put(SLOT, ENTRIES))
    with pytest.raises(StoreUnavailable, match="Slot/a"):
        await holders(mongo, FREE)
    assert await found(mongo) == 1
    stored = await mongo.read(SLOT)
    assert stored is not None
    assert (await mongo.commit(put(SLOT, ENTRIES))).answer == 2
    assert await holders(mongo, FREE) == (OTHER, SLOT)
    assert await mongo.healthy() == []
