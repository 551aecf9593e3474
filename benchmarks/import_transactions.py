"""Import of resources in transactions of 1,000 entries, and what the SAS platform feels meanwhile.

The import comes from another process, as from a practice's software: professionals with references by ``urn:uuid``,
then their slots, each naming its agenda by a conditional reference, by 1, 2 or 4 clients. Beside it, in the same run,
a SAS query every 100 ms, before the import and during it; the time of a query counts from the instant it was due.
The quantiles of an import are those of one transaction.

    python -m benchmarks.import_transactions
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any, Final

from benchmarks import data
from benchmarks.client import Answer, Run, WrongAnswer, drive, paced, request
from benchmarks.fill import TRANSACTION_ENTRIES, filled, practitioners
from benchmarks.program import Scale, main
from benchmarks.report import Row, number, percentile
from benchmarks.sas_query import ALL, counted, requests
from benchmarks.server import BASE, Server, fhir_server

QUESTION: Final = "How fast is an import by transactions, and what does the SAS platform feel meanwhile?"
RATE: Final = 2_000
TIMES: Final = 3
PAUSE: Final = 0.1
IDLE_QUERIES: Final = 200
CLIENTS: Final = (1, 2, 4)
_SECONDS: Final = 900
_ROSTER: Final = 5
"""Resources of one professional."""


async def measure(scale: Scale) -> list[Row]:
    """The largest import is measured beside queries; the numbers of clients are compared with smaller ones."""
    rows = []
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        sample = min(scale.imported, 20_000)
        for clients in CLIENTS:
            with fhir_server(scale.scratch / f"import-{clients}.sqlite") as server:
                run = await _imported(pool, server, 0, sample, clients)
                told = server.spent(0, sample)
            rows.append(_row(f"import, {clients} client{'s'[: clients > 1]}", run, sample, told))
        with fhir_server(scale.scratch / "import-if-none-exist.sqlite") as server:
            run = await _imported(pool, server, 0, sample, 2, conditional=True)
            told = server.spent(0, sample)
        rows.append(_row("import by If-None-Exist, 2 clients", run, sample, told))
        rows += await _beside_queries(scale, pool)
    return rows


async def _beside_queries(scale: Scale, pool: ProcessPoolExecutor) -> list[Row]:
    store = scale.scratch / "import-beside.sqlite"
    shutil.copy(await filled(scale, scale.least), store)
    people = practitioners(scale.least)
    size = f"{number(scale.least)} slots"
    with fhir_server(store) as server:
        asked = requests(people, ALL, 5_000)
        await paced(server.port, islice(asked, 20), pause=PAUSE, check=counted(ALL))
        idle = await paced(server.port, islice(asked, IDLE_QUERIES), pause=PAUSE, check=counted(ALL))
        done = asyncio.Event()
        watching = asyncio.create_task(paced(server.port, asked * 4, pause=PAUSE, until=done, check=counted(ALL)))
        try:
            run = await _imported(pool, server, people, scale.imported, 2)
        finally:
            done.set()
        during = await watching
    times = percentile(during.samples, 0.99) / percentile(idle.samples, 0.99)
    return [
        _row("import beside SAS queries, 2 clients", run, scale.imported, has_aim=True),
        Row("SAS query, idle server", size, f"{number(len(idle.samples))} queries", idle.samples),
        Row(
            "SAS query, during the import",
            size,
            f"{number(len(during.samples))} queries, p99 {times:.1f} times idle",
            during.samples,
            f"p99 ≤ {TIMES} times idle",
            times <= TIMES,
        ),
    ]


async def _imported(
    pool: ProcessPoolExecutor, server: Server, first: int, resources: int, clients: int, *, conditional: bool = False
) -> Run:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(pool, import_all, server.port, first, resources, clients, conditional)


def import_all(port: int, first: int, resources: int, clients: int, conditional: bool) -> Run:
    """Import so many resources, the professionals from number ``first`` on; the other process's work."""
    return asyncio.run(_import_all(port, first, resources, clients, conditional))


async def _import_all(port: int, first: int, resources: int, clients: int, conditional: bool) -> Run:
    people = -(-resources // (data.SLOTS_EACH + _ROSTER))
    numbers = range(first, first + people)
    rosters = (entry for person in numbers for entry in data.new_roster(person))
    slots = (
        data.new_slot(person, index, conditional=conditional) for person in numbers for index in range(data.SLOTS_EACH)
    )
    whole = Run()
    left = resources
    for entries, side_by_side in ((rosters, 1), (islice(slots, left - people * _ROSTER), clients)):
        run = await drive(port, _posts(entries), clients=side_by_side, seconds=_SECONDS, check=_created)
        whole.samples += run.samples
        whole.elapsed += run.elapsed
        whole.client_cpu += run.client_cpu
    return whole


def _posts(entries: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    while some := list(islice(entries, TRANSACTION_ENTRIES)):
        yield request("POST", f"{BASE}/", data.transaction(some))


def _created(answer: Answer) -> None:
    """A transaction answers 200 as a whole; each of its entries must say 201."""
    created = answer.body.count(b'"status":"201 Created"')
    if not created or created != answer.body.count(b'"response":'):
        raise WrongAnswer(answer, "201 for each entry")


def _row(what: str, run: Run, resources: int, spent: str = "", *, has_aim: bool = False) -> Row:
    rate = resources / run.elapsed
    return Row(
        what,
        f"{number(resources)} resources",
        f"{rate:.0f} resources/s{spent and ', ' + spent}",
        run.samples,
        f"≥ {number(RATE)} resources/s" if has_aim else "",
        rate >= RATE if has_aim else None,
    )


if __name__ == "__main__":
    main(QUESTION, measure)
