"""Filled stores. They are filled as a client would, by HTTP: transactions of 1,000 entries, one after the other, each
resource validated, under ids of the client's choice.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks import data
from benchmarks.client import drive, request
from benchmarks.program import Scale
from benchmarks.report import number
from benchmarks.server import BASE, Server, fhir_server

TRANSACTION_ENTRIES: Final = 1_000
_CLIENTS: Final = 2
"""One transaction is prepared while the other is written."""
_SECONDS: Final = 3_600


async def filled(scale: Scale, slots: int) -> Path:
    """Return the file of a store with so many slots and their agendas and professionals."""
    path = scale.folder / f"slots-{slots}.sqlite"
    if path.exists():
        return path
    part = scale.scratch / f"slots-{slots}.sqlite"
    started = perf_counter()
    with fhir_server(part, "--log-level", "warning") as server:
        await fill(server, slots)
    shutil.move(part, path)
    taken = perf_counter() - started
    size = path.stat().st_size
    scale.made.append(
        f"The store of {number(slots)} slots was filled by HTTP in {taken:.0f} s; its file has {size / 1e6:.0f} MB."
    )
    return path


async def fill(server: Server, slots: int) -> None:
    """Fill the empty store of a server."""
    await drive(server.port, _transactions(_rosters(slots)), seconds=_SECONDS)
    await drive(server.port, _transactions(_slots(slots)), clients=_CLIENTS, seconds=_SECONDS)


def practitioners(slots: int) -> int:
    """Return how many professionals a store of so many slots has."""
    return slots // data.SLOTS_EACH


def _rosters(slots: int) -> Iterator[dict[str, Any]]:
    for person in range(practitioners(slots)):
        yield from map(data.entry_with_id, data.roster(person))


def _slots(slots: int) -> Iterator[dict[str, Any]]:
    return map(data.entry_with_id, data.slots_with_ids(range(practitioners(slots))))


def _transactions(entries: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    while some := list(islice(entries, TRANSACTION_ENTRIES)):
        yield request("POST", f"{BASE}/", data.transaction(some))
