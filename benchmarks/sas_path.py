"""The SAS base path: what the platform's own requests take there, and how many of them a second.

INT_R01 asks for 25 professionals and 72 hours, SOS for 25 places and 72 hours: all slots that fit, in one page.
*Together* is as many clients at once as keep the server busy; the guide asks for 3,000 calls an hour, each answered
within a second.

    python -m benchmarks.sas_path [--million]
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice
from typing import Final

from benchmarks import data
from benchmarks.client import SAS_JSON, Answer, WrongAnswer, drive, request
from benchmarks.fill import filled, practitioners
from benchmarks.program import Scale, main
from benchmarks.report import Row, number, percentile
from benchmarks.server import Server, fhir_server

QUESTION: Final = "How fast is the SAS base path?"
PATH: Final = "/sas"
ASKED_SECONDS: Final = 0.009
SOS_SECONDS: Final = 0.020
P99_SECONDS: Final = 1.0
CLIENTS: Final = 8
WORKERS: Final = (1, 2)


async def measure(scale: Scale) -> list[Row]:
    rows = []
    for slots in scale.slots:
        store = await filled(scale, slots)
        people = practitioners(slots)
        with fhir_server(store) as server:
            rows += await _flows(scale, server, slots, people)
        for workers in WORKERS:
            with fhir_server(store, "--workers", str(workers)) as server:
                rows.append(await _together(scale, server, slots, people, workers))
    return rows


async def _flows(scale: Scale, server: Server, slots: int, people: int) -> list[Row]:
    rows = []
    for name, path, matches, aim in (
        ("INT_R01, 25 professionals", data.sas_query, data.FREE_IN_WINDOW, ASKED_SECONDS),
        ("SOS, 25 places", sos_query, data.ASKED, SOS_SECONDS),
    ):
        for encoding in ("identity", "gzip"):
            asked = [_get(path(turn, people), encoding) for turn in range(scale.requests)]
            sizes: list[int] = []
            check = _counted(matches, sizes, is_plain=encoding == "identity")
            await drive(server.port, islice(asked, 20), check=check)
            before = server.cpu_seconds()
            run = await drive(server.port, asked, seconds=scale.seconds, check=check)
            told = f"{max(sizes) / 1000:.0f} kB, {server.spent(before, len(run.samples))}"
            met = percentile(run.samples, 0.5) <= aim
            size, aimed = f"{number(slots)} slots", f"p50 ≤ {aim * 1000:.0f} ms"
            rows.append(Row(f"{name}, {encoding}", size, told, run.samples, aimed, met))
    return rows


async def _together(scale: Scale, server: Server, slots: int, people: int, workers: int) -> Row:
    asked = (_get(data.sas_query(turn, people), "gzip") for turn in cycle(range(5_000)))
    await drive(server.port, islice(asked, 20 * workers))
    run = await drive(server.port, asked, clients=CLIENTS, seconds=scale.seconds)
    what = f"INT_R01 together, {CLIENTS} clients, {workers} workers"
    met = percentile(run.samples, 0.99) <= P99_SECONDS
    return Row(what, f"{number(slots)} slots", f"{run.rate:.0f} /s", run.samples, "p99 ≤ 1 s at 0.83 /s", met)


def sos_query(turn: int, people: int) -> str:
    """Return the platform's query for 25 places, relative to the base path."""
    return data.sos_query(turn, people, sites=data.ASKED)


def _get(path: str, encoding: str) -> bytes:
    return request("GET", f"{PATH}/{path}", headers={"Accept": SAS_JSON, "Accept-Encoding": encoding})


def _counted(matches: int, sizes: list[int], *, is_plain: bool) -> Callable[[Answer], None]:
    """Return the check of one answer: it says as many matches as there must be; its size is kept."""
    total = b'"total":%d,' % matches

    def check(answer: Answer) -> None:
        sizes.append(len(answer.body))
        if is_plain and total not in answer.body[:8_000]:
            raise WrongAnswer(answer, f"{matches} matches")

    return check


if __name__ == "__main__":
    main(QUESTION, measure)
