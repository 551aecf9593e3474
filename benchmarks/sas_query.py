"""The SAS platform's query (flow INT_R01): free slots of 25 professionals in 72 hours, with agendas and actors.

Each query asks for other professionals on other days, and each answer is counted: 375 slots, 100 includes. *All* gives
``_count=1000``, as the platform's examples do, and has them all on one page; *first page* is the query without it, as
long as this server gives 50 to a page then. *Just started* are the first queries of a server: those of a store of
gigabytes have it read most pages of the file for the first time.

*Places* is the platform's query for places (SOS), read as plain FHIR: three independent ``_has``, a chain of two links,
and all slots of the agendas, whether the criteria fit them or not.

    python -m benchmarks.sas_query [--million]
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from benchmarks import data
from benchmarks.client import SAS_JSON, Answer, WrongAnswer, ask, drive, get
from benchmarks.fill import filled, practitioners
from benchmarks.program import Scale, main
from benchmarks.report import Row, number, percentile
from benchmarks.server import BASE, Server, fhir_server

QUESTION: Final = "How fast is the SAS platform's query?"
P50_SECONDS: Final = 0.008
P99_SECONDS: Final = 0.025
"""At 1,000,000 slots."""
ALL: Final = 1_000
PAGE: Final = 50
PLACES_SECONDS: Final = 0.020
PLACES_INCLUDED: Final = data.SITES * (data.SLOTS_EACH + 2)
"""Of each place its slots, the Location and the Organization."""


async def measure(scale: Scale) -> list[Row]:
    rows = []
    for slots in scale.slots:
        store = await filled(scale, slots)
        with fhir_server(store) as server:
            people = practitioners(slots)
            await check_content(server.port, people)
            rows.append(await _row(scale, server, slots, ALL, just_started=True))
            rows += [await _row(scale, server, slots, count) for count in (ALL, None)]
            rows.append(await _places(scale, server, slots))
    return rows


def requests(people: int, count: int | None, number_of: int) -> list[bytes]:
    return [get(f"{BASE}/{data.sas_query(turn, people, count=count)}", SAS_JSON) for turn in range(number_of)]


def counted(count: int | None) -> Callable[[Answer], None]:
    """Return the check of one answer: as many matches and includes as there must be."""
    matches = data.FREE_IN_WINDOW if count else PAGE
    total = b'"total":%d,' % data.FREE_IN_WINDOW

    def check(answer: Answer) -> None:
        found = answer.body.count(b'"mode":"match"'), answer.body.count(b'"mode":"include"')
        complete = found[1] == data.INCLUDED if count else found[1] > 0
        if found[0] != matches or not complete or total not in answer.body[:4_000]:
            raise WrongAnswer(answer, f"{matches} matches, {data.INCLUDED} includes, not {found}")

    return check


async def check_content(port: int, people: int) -> None:
    """Read one answer whole: the right slots, each once, and all that they refer to."""
    turn = 1
    answer = await ask(port, get(f"{BASE}/{data.sas_query(turn, people, count=ALL)}", SAS_JSON))
    counted(ALL)(answer)
    entries: list[dict[str, Any]] = json.loads(answer.body)["entry"]
    first = turn * 7 % (data.DAYS - data.ASKED_DAYS) * data.SLOTS_A_DAY
    wanted = {
        ("match", "Slot", data.slot_id(person, index))
        for person in data.asked(turn, people)
        for index in range(first, first + data.ASKED_DAYS * data.SLOTS_A_DAY, 2)
    } | {
        ("include", type_, data.practitioner_id(person))
        for person in data.asked(turn, people)
        for type_ in ("Schedule", "Practitioner", "PractitionerRole", "Location")
    }
    found = {(e["search"]["mode"], e["resource"]["resourceType"], e["resource"]["id"]) for e in entries}
    if found != wanted or len(entries) != len(wanted):
        raise WrongAnswer(answer, f"other entries: {sorted(found ^ wanted)[:5]}")


async def _row(scale: Scale, server: Server, slots: int, count: int | None, *, just_started: bool = False) -> Row:
    asked = requests(practitioners(slots), count, scale.requests)
    if not just_started:
        await drive(server.port, islice(asked, 20), check=counted(count))
    before = server.cpu_seconds()
    run = await drive(server.port, asked, seconds=scale.seconds, check=counted(count))
    what = f"SAS query, all {data.FREE_IN_WINDOW}" if count else f"SAS query, first page of {PAGE}"
    told = f"{number(len(run.samples))} queries, {server.spent(before, len(run.samples))}"
    if just_started:
        return Row(f"{what}, just started", f"{number(slots)} slots", told, run.samples)
    aim, met = f"p50 ≤ {P50_SECONDS * 1000:.0f} ms", percentile(run.samples, 0.5) <= P50_SECONDS
    if slots >= 1_000_000:
        aim, met = f"{aim}, p99 ≤ {P99_SECONDS * 1000:.0f} ms", met and percentile(run.samples, 0.99) <= P99_SECONDS
    return Row(what, f"{number(slots)} slots", told, run.samples, aim, met)


async def _places(scale: Scale, server: Server, slots: int) -> Row:
    people = practitioners(slots)
    asked = [get(f"{BASE}/{data.sos_query(turn, people)}", SAS_JSON) for turn in range(scale.requests // 4)]

    def check(answer: Answer) -> None:
        found = answer.body.count(b'"mode":"match"'), answer.body.count(b'"mode":"include"')
        if found != (data.SITES, PLACES_INCLUDED):
            raise WrongAnswer(answer, f"{data.SITES} matches, {PLACES_INCLUDED} includes, not {found}")

    await drive(server.port, islice(asked, 20), check=check)
    before = server.cpu_seconds()
    run = await drive(server.port, asked, seconds=scale.seconds, check=check)
    return Row(
        f"SAS query, {data.SITES} places, {PLACES_INCLUDED} includes",
        f"{number(slots)} slots",
        f"{number(len(run.samples))} queries, {server.spent(before, len(run.samples))}",
        run.samples,
        f"p50 ≤ {PLACES_SECONDS * 1000:.0f} ms",
        percentile(run.samples, 0.5) <= PLACES_SECONDS,
    )


if __name__ == "__main__":
    main(QUESTION, measure)
