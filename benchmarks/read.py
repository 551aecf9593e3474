"""Read by id, beside a bare Starlette route that reads the same bytes from SQLite, in turns, by the same client.

python -m benchmarks.read
"""

from __future__ import annotations

from itertools import cycle
from random import Random
from statistics import median
from typing import Final

from benchmarks import bare, data
from benchmarks.client import Run, ask, drive, get
from benchmarks.fill import filled, practitioners
from benchmarks.program import Scale, main
from benchmarks.report import Row, number
from benchmarks.server import BASE, Server, bare_server, fhir_server

QUESTION: Final = "How fast is a read by id, beside a bare route over SQLite?"
SHARE: Final = 0.6
ROUNDS: Final = 5
CLIENTS: Final = 16
_IDS: Final = 1_000


async def measure(scale: Scale) -> list[Row]:
    store = await filled(scale, scale.least)
    random = Random(4)
    people = practitioners(scale.least)
    ids = [data.slot_id(random.randrange(people), random.randrange(data.SLOTS_EACH)) for _ in range(_IDS)]
    requests = [get(f"{BASE}/Slot/{id_}") for id_ in ids]
    with fhir_server(store) as ours:
        bodies = {}
        for id_, each in zip(ids, requests, strict=True):
            bodies["Slot", id_] = (await ask(ours.port, each)).body
        copy = scale.scratch / "bare.sqlite"
        bare.make_store(copy, bodies)
        with bare_server(copy) as plain:
            return await _compared(scale, ours, plain, requests)


async def _compared(scale: Scale, ours: Server, plain: Server, requests: list[bytes]) -> list[Row]:
    shares, costs = [], []
    crowds: dict[str, list[Run]] = {"bare": [], "ours": []}
    for _ in range(ROUNDS):
        bare_run, bare_cost = await _round(plain, requests, CLIENTS, scale.seconds / ROUNDS)
        our_run, our_cost = await _round(ours, requests, CLIENTS, scale.seconds / ROUNDS)
        crowds["bare"].append(bare_run)
        crowds["ours"].append(our_run)
        shares.append(our_run.rate / bare_run.rate)
        costs.append((bare_cost, our_cost))
    alone_bare, _ = await _round(plain, requests, 1, scale.seconds / 2)
    alone_ours, _ = await _round(ours, requests, 1, scale.seconds / 2)
    share = median(shares)
    size = f"{number(scale.least)} slots"
    bare_cpu, our_cpu = (median(cost[side] for cost in costs) * 1e6 for side in (0, 1))
    client = median(run.client_cpu / len(run.samples) for run in crowds["ours"]) * 1e6
    return [
        _row("bare read, 16 clients", size, crowds["bare"], f", {bare_cpu:.0f} µs of CPU each"),
        _row("read, 16 clients", size, crowds["ours"], f", {our_cpu:.0f} µs of CPU each (the client: {client:.0f})"),
        Row("read ÷ bare read, answers a second", size, f"{share:.0%}", aim=f"≥ {SHARE:.0%}", met=share >= SHARE),
        Row("read ÷ bare read, CPU of the server", size, f"{our_cpu / bare_cpu:.2f} times" if bare_cpu else "unknown"),
        Row("bare read, 1 client", size, f"{alone_bare.rate:.0f} /s", alone_bare.samples),
        Row("read, 1 client", size, f"{alone_ours.rate:.0f} /s", alone_ours.samples),
    ]


async def _round(server: Server, requests: list[bytes], clients: int, seconds: float) -> tuple[Run, float]:
    """Return one run, and the seconds of CPU that the server spent on each answer."""

    before = server.cpu_seconds()
    run = await drive(server.port, cycle(requests), clients=clients, seconds=seconds)
    return run, (server.cpu_seconds() - before) / len(run.samples)


def _row(what: str, size: str, runs: list[Run], rest: str) -> Row:
    samples = [sample for run in runs for sample in run.samples]
    return Row(what, size, f"{median(run.rate for run in runs):.0f} /s{rest}", samples)


if __name__ == "__main__":
    main(QUESTION, measure)
