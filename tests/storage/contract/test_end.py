"""A log that has ended is read as before, and written no more, on every engine."""

from __future__ import annotations

import pytest

from fhir_server.model.reference import Key
from fhir_server.storage.protocol import ENDED, Store, StoreUnavailable
from tests.storage.conftest import OpenStore
from tests.storage.contract.test_commit import whole_log
from tests.storage.writing import SLOT, put


async def test_an_ended_log_is_written_no_more(store: Store, make_store: OpenStore) -> None:
    other = make_store()
    await other.open()
    await store.commit(put(SLOT))
    await other.commit(put(SLOT))
    await store.end()
    with pytest.raises(StoreUnavailable, match="ended"):
        await other.end()
    for each in (store, other):
        with pytest.raises(StoreUnavailable, match="ended"):
            await each.commit(put(Key("Slot", "b")))
        head = await each.head()
        assert (head.number, head.schema) == (2, ENDED)
        stored = await each.read(SLOT)
        assert stored is not None
        assert stored.version == 2
    assert [commit.number for commit in await whole_log(store)] == [1, 2]


async def test_an_empty_log_can_end(store: Store) -> None:
    await store.end()
    with pytest.raises(StoreUnavailable, match="ended"):
        await store.commit(put(SLOT))
