"""create of a SAS slot, validated and durable when answered: plain and conditional, by 1 client and by 16 at once.

python -m benchmarks.create
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count, islice
from typing import Final

from benchmarks import data
from benchmarks.client import drive, request
from benchmarks.fill import TRANSACTION_ENTRIES
from benchmarks.program import Scale, main
from benchmarks.report import Row, number
from benchmarks.server import BASE, fhir_server

QUESTION: Final = "How fast is a create with validation, and a conditional create?"
CLIENTS: Final = (1, 16)


async def measure(scale: Scale) -> list[Row]:
    """Every measurement has slots of its own, numbered on."""
    rows = []
    numbers = count()
    with fhir_server(scale.scratch / "create.sqlite") as server:
        warm = islice(_creates(numbers), 50)  # fhir.resources is imported at the first write
        await drive(server.port, warm, expected=(201,))
        for clients in CLIENTS:
            rows += await _rows(scale, server.port, numbers, clients)
    return rows


async def _rows(scale: Scale, port: int, numbers: Iterator[int], clients: int) -> list[Row]:
    plain = list(islice(_creates(numbers), _most(scale, clients)))
    absent = list(islice(_creates(numbers, conditional=True), _most(scale, clients)))
    drives = partial(drive, port, clients=clients, seconds=scale.seconds)
    created = await drives(plain, expected=(201,))
    created_if_none = await drives(absent, expected=(201,))
    matched = await drives(absent[: len(created_if_none.samples)], expected=(200,))
    crowd = f"{clients} client{'s' if clients > 1 else ''}"
    return [
        Row(f"{what}, {crowd}", f"{number(len(run.samples))} slots", f"{run.rate:.0f} /s", run.samples)
        for what, run in (
            ("create", created),
            ("conditional create, no match", created_if_none),
            ("conditional create, match", matched),
        )
    ]


def _most(scale: Scale, clients: int) -> int:
    return min(scale.requests * clients, 10 * TRANSACTION_ENTRIES)


def _creates(numbers: Iterator[int], *, conditional: bool = False) -> Iterator[bytes]:
    for each in numbers:
        person, index = divmod(each, data.SLOTS_EACH)
        headers: Mapping[str, str] = {}
        if conditional:
            headers = {"If-None-Exist": f"identifier={data.token(data.SLOT_SYSTEM, data.slot_id(person, index))}"}
        yield request("POST", f"{BASE}/Slot", data.dumps(data.slot(person, index)).encode(), headers)


if __name__ == "__main__":
    main(QUESTION, measure)
