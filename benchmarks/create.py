"""create of a SAS slot, validated and durable when answered: plain and conditional, by 1 client and by 16 at once.

python -m benchmarks.create
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Final

from benchmarks import data
from benchmarks.client import drive, request
from benchmarks.program import Scale, main
from benchmarks.report import Row, number
from benchmarks.server import BASE, Server, fhir_server

QUESTION: Final = "How fast is a create with validation, and a conditional create?"
CLIENTS: Final = (1, 16)
_MOST: Final = 10_000
"""Requests of one measurement: they are made before it."""


async def measure(scale: Scale) -> list[Row]:
    """Every measurement has slots of its own, numbered on."""
    rows = []
    numbers = count()
    with fhir_server(scale.scratch / "create.sqlite") as server:
        warm = islice(creates(numbers), 50)  # fhir.resources is imported at the first write
        await drive(server.port, warm, expected=(201,))
        for clients in CLIENTS:
            rows += await _rows(scale, server, numbers, clients)
    return rows


async def _rows(scale: Scale, server: Server, numbers: Iterator[int], clients: int) -> list[Row]:
    most = min(scale.requests * clients, _MOST)

    async def row(what: str, requests: Sequence[bytes], status: int) -> Row:
        before = server.cpu_seconds()
        run = await drive(server.port, requests, clients=clients, seconds=scale.seconds, expected=(status,))
        count = len(run.samples)
        told = f"{run.rate:.0f} /s, {server.spent(before, count)}"
        return Row(f"{what}, {clients} client{'s'[: clients > 1]}", f"{number(count)} slots", told, run.samples)

    plain = list(islice(creates(numbers), most))
    absent = list(islice(creates(numbers, conditional=True), most))
    created = await row("create", plain, 201)
    created_if_none = await row("conditional create, no match", absent, 201)
    found = await row("conditional create, match", absent[: len(created_if_none.samples)], 200)
    return [created, created_if_none, found]


def creates(numbers: Iterator[int], *, conditional: bool = False) -> Iterator[bytes]:
    """Yield requests that create the slots of these numbers."""
    for each in numbers:
        person, index = divmod(each, data.SLOTS_EACH)
        headers: Mapping[str, str] = {}
        if conditional:
            headers = {"If-None-Exist": f"identifier={data.token(data.SLOT_SYSTEM, data.slot_id(person, index))}"}
        yield request("POST", f"{BASE}/Slot", data.dumps(data.slot(person, index)).encode(), headers)


if __name__ == "__main__":
    main(QUESTION, measure)
