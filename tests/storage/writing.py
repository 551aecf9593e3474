"""Plans that the tests of storage write with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import count
from typing import Any, Final

from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.protocol import Address, Change, Planned, Store, Stored, View

START: Final = 1_750_000_000_000_000
"""Where the fixed clock stands: microseconds, a whole number of milliseconds."""

SLOT: Final = Key("Slot", "a")


class FixedClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Refused(Exception):
    """What a plan of the tests raises."""


Written = Callable[[View], Coroutine[Any, Any, Planned[int]]]
_texts = count()


def ordinal(address: Address) -> int:
    """Return a resource's place in the order of creation, from where it was first created."""
    return address.number * 2**20 + address.position


def body(text: str = "") -> bytes:
    return (text or f"body {next(_texts)}").encode()


def put(key: Key, entries: Sequence[IndexEntry] = (), content: bytes | None = None, generation: int = 0) -> Written:
    """Create or update; the answer is the version."""
    content = body() if content is None else content

    async def plan(view: View) -> Planned[int]:
        current = (await view.read([key])).get(key)
        return Planned([following(current, key, content, tuple(entries), generation)], next_version(current))

    return plan


def delete(key: Key) -> Written:
    """Delete what is there; the answer is the tombstone's version, 0 if there was nothing."""

    async def plan(view: View) -> Planned[int]:
        current = (await view.read([key])).get(key)
        if current is None or current.is_deleted:
            return Planned((), 0)
        version = current.version + 1
        return Planned([Change(key, version, Interaction.DELETE, None)], version)

    return plan


def next_version(current: Stored | None) -> int:
    return 1 if current is None else current.version + 1


def following(
    current: Stored | None, key: Key, content: bytes, entries: tuple[IndexEntry, ...] = (), generation: int = 0
) -> Change:
    interaction = Interaction.CREATE if current is None or current.is_deleted else Interaction.UPDATE
    return Change(key, next_version(current), interaction, content, entries, generation)


async def put_all(store: Store, resources: Mapping[Key, tuple[IndexEntry, ...]]) -> None:
    """Create or update many in one plan, in the order given."""

    async def plan(view: View) -> Planned[int]:
        found = await view.read(resources)
        return Planned([following(found.get(key), key, body(), own) for key, own in resources.items()], 0)

    await store.commit(plan)
