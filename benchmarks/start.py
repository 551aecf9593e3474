"""From the start of the process to the first read answered, and the memory it holds.

python -m benchmarks.start
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from benchmarks import data
from benchmarks.client import drive, request
from benchmarks.fill import filled, practitioners
from benchmarks.program import Scale, main
from benchmarks.report import Row, number, percentile
from benchmarks.sas_query import ALL, requests
from benchmarks.server import BASE, Server, fhir_server

QUESTION: Final = "How long does a start take, and how much memory does the server hold?"
START_SECONDS: Final = 1.5
IDLE_BYTES: Final = 150_000_000
STARTS: Final = 7


async def measure(scale: Scale) -> list[Row]:
    store = await filled(scale, scale.least)
    size = f"{number(scale.least)} slots"
    first = f"{BASE}/Practitioner/{data.practitioner_id(0)}"
    starts = []
    for _ in range(STARTS):
        with fhir_server(store, first=first) as server:
            starts.append(server.start_seconds)
            await asyncio.sleep(1)
            idle = server.resident_bytes()
    worn = Path(shutil.copy(store, scale.scratch / "worn.sqlite"))
    with fhir_server(worn) as server:
        await _work(server, practitioners(scale.least))
        busy = server.resident_bytes()
    typical = percentile(starts, 0.5)
    aim = f"≤ {START_SECONDS} s"
    return [
        Row("start to first read answered", size, f"{STARTS} starts", starts, aim, typical <= START_SECONDS),
        Row("memory, idle after the first read", size, _megabytes(idle), aim="≤ 150 MB", met=_fits(idle)),
        Row("memory, idle after 200 creates and 200 SAS queries", size, _megabytes(busy)),
    ]


async def _work(server: Server, people: int) -> None:
    """Have the server import all that it imports, and fill its caches."""
    slots = [request("POST", f"{BASE}/Slot", data.dumps(data.slot(people, index)).encode()) for index in range(200)]
    await drive(server.port, slots, clients=4, expected=(201,))
    await drive(server.port, requests(people, ALL, 200), clients=4)
    await asyncio.sleep(1)


def _megabytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e6:.0f} MB"


def _fits(size: int | None) -> bool | None:
    return None if size is None else size <= IDLE_BYTES


if __name__ == "__main__":
    main(QUESTION, measure)
