"""How many resources of a type there are, followed by the log, is what counting them says."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.model.reference import Key
from fhir_server.search.query import EVERYTHING, Query
from fhir_server.storage.sqlite import SqliteStore, counting
from fhir_server.storage.sqlite.readers import Reader
from tests.rounds import FULL
from tests.storage.writing import FixedClock, delete, put, put_all

EXAMPLES = 500 if FULL else 25
SLOTS = Query(("Slot",), EVERYTHING)

steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete", "count"]), st.sampled_from("abcd"), st.booleans()), max_size=30
)


@pytest.mark.torture
@settings(max_examples=EXAMPLES, deadline=None)
@given(steps=steps, changes=st.sampled_from([0, 2, 1_000]))
def test_count_is_followed_exactly(steps: list[tuple[str, str, bool]], changes: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "CHANGES", changes)
        asyncio.run(follow(Path(folder) / "store.db", steps))


async def follow(path: Path, steps: list[tuple[str, str, bool]]) -> None:
    store = SqliteStore(path, clock=FixedClock())
    await store.open()
    there: set[tuple[str, str]] = set()
    async with store.snapshot() as before:
        assert await before.count(SLOTS) == 0
        for verb, id_, is_slot in steps:
            key = Key("Slot" if is_slot else "Schedule", id_)
            if verb == "put":
                await store.commit(put(key))
                there.add(key)
            elif verb == "delete" and key in there:
                await store.commit(delete(key))
                there.discard(key)
            else:
                async with store.snapshot() as snapshot:
                    slots = sum(type_ == "Slot" for type_, _ in there)
                    assert await snapshot.count(SLOTS) == slots
                    assert await snapshot.count(Query(("Slot", "Schedule"))) == len(there)
        assert await before.count(SLOTS) == 0
    await store.close()


async def test_second_count_reads_what_has_changed_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=FixedClock())
    await store.open()
    await put_all(store, {Key("Slot", str(n)): () for n in range(50)})
    counts = counting.Counts()
    statements: list[str] = []

    def count() -> int:
        reader = Reader(tmp_path / "store.db", counts)
        reader.begin()
        statements.clear()
        reader.connection.set_trace_callback(statements.append)
        found = reader.planner.count(SLOTS)
        reader.connection.set_trace_callback(None)
        reader.end()
        reader.connection.close()
        return found

    assert count() == 50
    assert any("count(*)" in statement for statement in statements)
    assert count() == 50
    assert not any("resource_type" in statement for statement in statements)
    await store.commit(delete(Key("Slot", "7")))
    await store.commit(put(Key("Slot", "new")))
    await store.commit(put(Key("Slot", "8")))
    assert count() == 50
    assert not any("count(*)" in statement for statement in statements)
    await store.close()
