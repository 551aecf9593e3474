"""The index entries of a resource can be read back, and written anew under the same definitions."""

from __future__ import annotations

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality, IndexEntry, Point, Span, Text
from fhir_server.storage.protocol import Store
from tests.storage.writing import SLOT, delete, put

ENTRIES: tuple[IndexEntry, ...] = (
    Equality("status", "free\x1f"),
    Equality("status", ""),
    Text("comment", "ete", "Été"),
    Span("start", "", 5, 2**62),
    Span("schedule+start", "Schedule/a", 5, 6),
    Span("amount", "mg\x1f", 0.1, 0.1000001),
    Point("near", 47.25, 6.03),
)


async def test_entries_come_back_as_they_were_given(store: Store) -> None:
    other, gone = Key("Slot", "b"), Key("Slot", "gone")
    await store.commit(put(SLOT, ENTRIES))
    await store.commit(put(other))
    await store.commit(put(gone, ENTRIES))
    await store.commit(delete(gone))
    async with store.snapshot() as snapshot:
        found = await snapshot.entries([SLOT, other, gone, Key("Slot", "never"), Key("Patient", "never")])
    assert {key: set(entries) for key, entries in found.items()} == {SLOT: set(ENTRIES), other: set(), gone: set()}
    assert {type(entry) for entry in found[SLOT]} == {Equality, Text, Span, Point}


async def test_a_plan_sees_the_entries_of_the_plans_before_it(store: Store) -> None:
    await store.commit(put(SLOT, ENTRIES))
    await store.commit(put(SLOT, ENTRIES[:1]))
    async with store.snapshot() as snapshot:
        assert (await snapshot.entries([SLOT]))[SLOT] == ENTRIES[:1]


async def test_entries_of_the_same_generation_are_written_again_only_if_asked(store: Store) -> None:
    await store.commit(put(SLOT, ENTRIES, generation=3))
    new = (SLOT, 1, 3, ENTRIES[:1])
    assert await store.reindex([new]) == 0
    assert await store.reindex([new], again=True) == 1
    assert await store.reindex([(SLOT, 1, 2, ENTRIES)], again=True) == 0
    async with store.snapshot() as snapshot:
        assert (await snapshot.entries([SLOT]))[SLOT] == ENTRIES[:1]
