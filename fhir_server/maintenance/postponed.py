"""What load puts off: resources and Bundles refused only because what they refer to is not there yet.

They wait on the disk, in a file without a name; memory holds some bytes for each. What refers to each other in a circle
cannot be written one by one: ``possible`` and ``circles`` tell what can be written together.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from tempfile import TemporaryFile
from typing import Final, NamedTuple, TypeAlias

from fhir_server.interactions.writing.integrity import links
from fhir_server.maintenance.bundled import Loose, Posted
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key, local


class Sent(NamedTuple):
    """A batch or transaction as it was posted: the Bundle without its entries, and those."""

    place: str
    bundle: Resource
    entries: Sequence[Posted]


Item: TypeAlias = Loose | Sent


class Postponed:
    """Items in the order in which they came; of two of one key, the later one alone."""

    def __init__(self) -> None:
        self._file: Final = TemporaryFile(prefix="fhir-server-")  # noqa: SIM115 closed by close
        self._starts = array("Q")
        self._dropped: set[int] = set()
        self._latest: dict[Key, int] = {}

    def close(self) -> None:
        """Forget all."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._starts) - len(self._dropped)

    def add(self, item: Item) -> bool:
        """Keep an item; tell whether it takes the place of one. Raises ``CommandFailed`` where the disk is full."""
        replaces = isinstance(item, Loose) and self.drop(item.key)
        if isinstance(item, Loose):
            self._latest[item.key] = len(self._starts)
        try:
            self._starts.append(self._file.seek(0, 2))
            pickle.dump(item, self._file)
        except OSError as error:
            raise CommandFailed(f"What waits for its references cannot be kept aside: {error.strerror}.") from None
        return replaces

    def drop(self, key: Key) -> bool:
        """Forget the resource of a key; tell whether there was one."""
        place = self._latest.pop(key, None)
        if place is not None:
            self._dropped.add(place)
        return place is not None

    def places(self) -> list[int]:
        """Return the place of each item, for ``at``, in the order in which they came."""
        return [place for place in range(len(self._starts)) if place not in self._dropped]

    def at(self, place: int) -> Item:
        """Return the item of a place."""
        self._file.seek(self._starts[place])
        item: Item = pickle.load(self._file)  # noqa: S301 this process wrote it, and nobody else can
        return item

    def take(self, place: int) -> Item:
        """Return the item of a place, and forget it here."""
        item = self.at(place)
        self._dropped.add(place)
        if isinstance(item, Loose) and self._latest.get(item.key) == place:
            del self._latest[item.key]
        return item

    def newest_first(self) -> Iterator[Item]:
        """Yield the items, the last one first: what came in the order in which it must be written would not wait."""
        return (self.at(place) for place in reversed(self.places()))


# --- what can be written together ------------------------------------------------------------------------------------


class Need(NamedTuple):
    """What an item will be found by when it is written, and what must be there before or with it."""

    gives: frozenset[Key]
    needs: frozenset[Key]


def need(item: Item, bases: Sequence[str]) -> Need:
    """Return what an item gives and needs; ``bases`` are our service base URLs."""
    if isinstance(item, Loose):
        own, resources = frozenset({item.key}), [item.resource]
    else:
        own = frozenset(key for entry in item.entries for key in gives(entry))
        resources = [entry.entry["resource"] for entry in item.entries if isinstance(entry.entry.get("resource"), dict)]
    named = {link.target.key for resource in resources for link in links(resource, bases)}
    return Need(own, frozenset(named - own))


def gives(entry: Posted) -> frozenset[Key]:
    """Return what an entry will create or update under an id that is known before."""
    if entry.key is not None:
        return frozenset({entry.key})
    wish = entry.entry["request"]
    named = local(wish["url"]) if wish["method"] == "PUT" else None
    return frozenset() if named is None else frozenset({named.key})


def possible(waiting: Mapping[int, Need], there: Collection[Key]) -> dict[int, Need]:
    """Return what could be written if all of it were written at once: everything that it needs is there or among it."""
    givers = _by_key({place: need.gives for place, need in waiting.items()})
    takers = _by_key({place: need.needs for place, need in waiting.items()})
    impossible: set[int] = set()
    todo = [place for key, places in takers.items() if key not in there and key not in givers for place in places]
    while todo:
        place = todo.pop()
        if place in impossible:
            continue
        impossible.add(place)
        for key in waiting[place].gives:
            if key not in there and impossible.issuperset(givers[key]):
                todo.extend(takers.get(key, ()))
    return {place: need for place, need in waiting.items() if place not in impossible}


def circles(waiting: Mapping[int, Need], limit: int) -> Iterator[list[int]]:
    """Yield what must be written together, two to ``limit`` items: what each needs is there, in it or in one before.

    ``waiting`` is what ``possible`` returns. An item that needs none but those before it is not among them.
    """
    givers = _by_key({place: need.gives for place, need in waiting.items()})
    done: set[int] = set()
    for start in waiting:
        found: set[int] = set()
        todo = [start]
        while todo and len(found) <= limit:
            place = todo.pop()
            if place not in done and place not in found:
                found.add(place)
                todo.extend(giver for key in waiting[place].needs for giver in givers.get(key, ()))
        if len(found) <= limit:
            done |= found
            if len(found) > 1:
                yield sorted(found)


def _by_key(keys: Mapping[int, Collection[Key]]) -> dict[Key, list[int]]:
    found: dict[Key, list[int]] = {}
    for place, own in keys.items():
        for key in own:
            found.setdefault(key, []).append(place)
    return found
