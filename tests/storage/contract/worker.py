"""A process of its own that writes to a store: ``python -m tests.storage.contract.worker PLACE TASK NAME COUNT``.

It says ``ready``, waits for a line, works, prints what it was told, and says ``done``. What it does next, and without
arguments at first, comes as a line of those four words; other lines mean nothing. See ``processes.py``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from fhir_server.model.reference import Key
from fhir_server.search.query import Equality
from fhir_server.storage.protocol import Planned, Store, View
from tests.storage.conftest import store_at
from tests.storage.writing import SLOT, Refused, Written, body, following, put


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def count_up(store: Store, name: str, count: int) -> None:
    """Update one resource so often, each time with If-Match: what was read must still be current."""
    done = 0
    while done < count:
        current = await store.read(SLOT)
        seen = current.version if current is not None else 0

        async def plan(view: View, seen: int = seen) -> Planned[int]:
            now = (await view.read([SLOT])).get(SLOT)
            if (now.version if now is not None else 0) != seen:
                raise Refused("412")
            return Planned([following(now, SLOT, f"{seen + 1} by {name}".encode())], seen + 1)

        try:
            say((await store.commit(plan)).answer)
        except Refused:
            continue
        done += 1


async def identify(store: Store, name: str, count: int) -> None:
    """Create each of so many identifiers, unless somebody else has."""

    def create(number: int) -> Written:
        entry = Equality("identifier", str(number))

        async def plan(view: View) -> Planned[int]:
            ((*found,),) = await view.holders([("Slot", entry)])
            if found:
                return Planned((), -1)
            return Planned([following(None, Key("Slot", f"{name}-{number}"), body(), (entry,))], number)

        return plan

    for start in range(0, count, 20):
        answers = await asyncio.gather(*[store.commit(create(n)) for n in range(start, min(start + 20, count))])
        for answer in answers:
            if answer.answer >= 0:
                say(answer.answer)


async def saturate(store: Store, name: str, count: int) -> None:
    """Commit without pause for so many milliseconds; say how often."""
    until = time.monotonic() + count / 1000
    done = 0
    while time.monotonic() < until:
        await store.commit(put(Key("Slot", name)))
        done += 1
    say(done)


async def busy(store: Store, name: str, _count: int) -> None:
    """Commit without pause until a line comes."""
    stop = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    while not stop.done():
        await store.commit(put(Key("Slot", name)))


async def torture(store: Store, name: str, count: int) -> None:
    """Write for ever, two resources a plan; say what was acknowledged."""

    async def write(series: int) -> None:
        first, second = Key("Slot", f"{name}-{series}"), Key("Slot", f"{name}-{series}-twin")

        async def plan(view: View) -> Planned[int]:
            found = await view.read([first, second])
            entry = (Equality("series", str(series)),)
            changes = [following(found.get(key), key, body("x" * 500), entry) for key in (first, second)]
            return Planned(changes, changes[0].version)

        while True:
            answer = await store.commit(plan)
            say(f"{series} {answer.answer}")

    await asyncio.gather(*[write(series) for series in range(count)])


async def mix(store: Store, name: str, count: int) -> None:
    """Do so many writes of three kinds, each of which others contend for; say what each was told."""
    await asyncio.gather(
        _updates(store, count // 3), _creations(store, name, count // 3), _transfers(store, count // 3)
    )


async def _updates(store: Store, count: int) -> None:
    """Update one resource, each time with If-Match."""
    done = 0
    while done < count:
        current = await store.read(SLOT)
        seen = current.version if current is not None else 0

        async def plan(view: View, seen: int = seen) -> Planned[int]:
            now = (await view.read([SLOT])).get(SLOT)
            if (now.version if now is not None else 0) != seen:
                raise Refused("412")
            return Planned([following(now, SLOT, body())], seen + 1)

        done += 1
        try:
            say(f"update {(await store.commit(plan)).answer}")
        except Refused:
            continue


async def _creations(store: Store, name: str, count: int) -> None:
    """Create each identifier, unless somebody else has."""

    async def create(number: int) -> None:
        key, entry = Key("Slot", f"{name}-{number}"), Equality("identifier", str(number))

        async def plan(view: View) -> Planned[bool]:
            ((*found,),) = await view.holders([("Slot", entry)])
            return Planned([] if found else [following(None, key, body(), (entry,))], not found)

        if (await store.commit(plan)).answer:
            say(f"create {number}")

    for start in range(0, count, 20):
        await asyncio.gather(*[create(number) for number in range(start, min(start + 20, count))])


async def _transfers(store: Store, count: int) -> None:
    """Change three resources together."""
    keys = [Key("Schedule", str(number)) for number in range(3)]

    async def plan(view: View) -> Planned[int]:
        found = await view.read(keys)
        changes = [following(found.get(key), key, body()) for key in keys]
        return Planned(changes, changes[0].version)

    for start in range(0, count, 20):
        for answer in await asyncio.gather(*[store.commit(plan) for _ in range(start, min(start + 20, count))]):
            say(f"transfer {answer.answer}")


TASKS: dict[str, Callable[[Store, str, int], Awaitable[None]]] = {
    "busy": busy,
    "count-up": count_up,
    "identify": identify,
    "mix": mix,
    "saturate": saturate,
    "torture": torture,
}


async def work(place: str, task: str, name: str, count: str) -> None:
    store = store_at(place, lambda: time.time_ns() // 1000)
    await store.open()
    try:
        say("ready")
        sys.stdin.readline()
        await TASKS[task](store, name, int(count))
    finally:
        await store.close()


def main() -> None:
    if sys.argv[1:]:
        asyncio.run(work(*sys.argv[1:]))
        say("done")
    for line in sys.stdin:
        words = line.split()
        if len(words) == 4:
            asyncio.run(work(*words))
            say("done")


if __name__ == "__main__":
    main()
