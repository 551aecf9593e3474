"""Searches of every day, page 1 beside page 1,000, and counts.

python -m benchmarks.search [--million]
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from urllib.parse import quote, urlsplit

from benchmarks import data
from benchmarks.client import Answer, WrongAnswer, ask, drive, get
from benchmarks.fill import filled, practitioners
from benchmarks.program import Scale, main
from benchmarks.report import Row, number, percentile
from benchmarks.server import BASE, fhir_server
from fhir_server.france.identifiers import IDNPS_SYSTEM
from fhir_server.france.vocabulary import tre

QUESTION: Final = "How fast are the searches of every day?"
PAGES: Final = 1_000
PAGE: Final = 5
_WALK_SECONDS: Final = 60.0
_TURNS: Final = 50
"""Different queries of one form."""
_TIMES: Final = 1.5
"""Two medians of one run that differ by less are taken for equal."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form of search: the query of each turn, and what its answer must have."""

    what: str
    query: Callable[[int], str]
    matches: int | None = None
    includes: int | None = None
    total: int | None = None

    def check(self, answer: Answer) -> None:
        for mode, wanted in (("match", self.matches), ("include", self.includes)):
            found = answer.body.count(f'"mode":"{mode}"'.encode())
            if wanted is not None and found != wanted:
                raise WrongAnswer(answer, f"{self.what}: {wanted} entries of mode {mode}, not {found}")
        if self.total is not None and f'"total":{self.total}'.encode() not in answer.body[:4_000]:
            raise WrongAnswer(answer, f"{self.what}: a total of {self.total}")


async def measure(scale: Scale) -> list[Row]:
    rows = []
    for slots in scale.slots:
        store = await filled(scale, slots)
        with fhir_server(store) as server:
            rows += [await _row(scale, server.port, slots, form) for form in _forms(slots)]
            for sort in ("", "&_sort=start", "&_sort=-start"):
                rows += await _pages(scale, server.port, slots, sort)
    return rows


def _forms(slots: int) -> list[Form]:
    people = practitioners(slots)
    specialty = data.token(tre("TRE_R38-SpecialiteOrdinale"), "SM42")

    def person(turn: int) -> int:
        return turn * 7 % people

    def window(turn: int) -> str:
        day = data.FIRST_DAY.date().replace(day=5 + turn % data.DAYS)
        return f"start=ge{day}&start=le{day}"

    def where(turn: int) -> str:
        latitude, longitude = data.BESANCON
        return f"{latitude + turn / 1_000:.4f}|{longitude:.4f}|15|km"

    of_four = ",".join(f"Practitioner/{data.practitioner_id(number)}" for number in range(4))
    return [
        Form(
            "Practitioner?identifier=",
            lambda turn: f"Practitioner?identifier={data.token(IDNPS_SYSTEM, data.national_id(person(turn)))}",
            matches=1,
        ),
        Form("Practitioner?name=", lambda turn: f"Practitioner?name={quote(data.family(person(turn))[:4])}"),
        Form(
            "PractitionerRole?specialty=&location.near=",
            lambda turn: f"PractitionerRole?specialty={specialty}&location.near={quote(where(turn))}",
        ),
        Form("Slot?start=(a day)&_sort=start", lambda turn: f"Slot?{window(turn)}&_sort=start", matches=50),
        Form(
            "Slot?start=(a day)&_sort=status,start", lambda turn: f"Slot?{window(turn)}&_sort=status,start", matches=50
        ),
        Form("Slot?_sort=status,start", lambda _: "Slot?_sort=status,start", matches=50),
        Form("Slot?_sort=start,schedule", lambda _: "Slot?_sort=start,schedule", matches=50),
        Form(
            "Slot?schedule=&start=(a day)&status=free",
            lambda turn: f"Slot?schedule=Schedule/{data.practitioner_id(person(turn))}&{window(turn)}&status=free",
            matches=data.SLOTS_A_DAY // 2,
        ),
        Form(
            "Schedule?actor=&_revinclude=Slot:schedule, 1 000 slots",
            lambda _: f"Schedule?actor={of_four}&_revinclude=Slot:schedule",
            matches=4,
            includes=4 * data.SLOTS_EACH,
        ),
        Form(
            "Practitioner?_has:Schedule:actor:identifier=",
            lambda turn: (
                "Practitioner?_has:Schedule:actor:identifier="
                + data.token(data.SCHEDULE_SYSTEM, data.practitioner_id(person(turn)))
            ),
            matches=1,
        ),
        Form("Slot?_summary=count", lambda _: "Slot?_summary=count", total=slots),
        Form("Slot?status=free&_summary=count", lambda _: "Slot?status=free&_summary=count", total=slots // 2),
        Form("Slot?status=free&_count=50", lambda _: "Slot?status=free&_count=50", matches=50),
        Form("Slot?status=free&_count=50&_total=none", lambda _: "Slot?status=free&_count=50&_total=none", matches=50),
    ]


async def _row(scale: Scale, port: int, slots: int, form: Form) -> Row:
    requests = [get(f"{BASE}/{form.query(turn)}") for turn in range(_TURNS)]
    times = max(1, scale.requests // _TURNS // 2)
    run = await drive(port, requests * times, seconds=scale.seconds / 2, check=form.check)
    return Row(form.what, f"{number(slots)} slots", f"{number(len(run.samples))} queries", run.samples)


async def _pages(scale: Scale, port: int, slots: int, sort: str) -> list[Row]:
    """Walk to page 1,000, then measure it beside page 1."""
    first = f"{BASE}/Slot?_count={PAGE}{sort}"
    last, reached = await _walk(port, first)
    size = f"{number(slots)} slots"
    name = f"Slot?_count={PAGE}{sort}"
    near = await drive(port, [get(first)] * (scale.requests // 4), seconds=scale.seconds / 4)
    far = await drive(port, [get(last)] * (scale.requests // 4), seconds=scale.seconds / 4)
    times = percentile(far.samples, 0.5) / percentile(near.samples, 0.5)
    return [
        Row(f"{name}, page 1", size, f"{number(len(near.samples))} queries", near.samples),
        Row(
            f"{name}, page {number(reached)}",
            size,
            f"{times:.2f} times page 1",
            far.samples,
            f"p50 ≤ {_TIMES} times page 1",
            times <= _TIMES,
        ),
    ]


async def _walk(port: int, path: str) -> tuple[str, int]:
    """Follow ``next`` to page 1,000, or as far as a minute leads; no resource may come twice."""
    seen: set[str] = set()
    started = perf_counter()
    for page in range(1, PAGES + 1):
        answer = await ask(port, get(path))
        found: dict[str, Any] = json.loads(answer.body)
        ids = [entry["resource"]["id"] for entry in found["entry"]]
        if seen.intersection(ids) or len(ids) != PAGE:
            raise WrongAnswer(answer, f"{PAGE} resources that were on no page before {page}")
        seen.update(ids)
        following = [link["url"] for link in found.get("link", ()) if link["relation"] == "next"]
        if page == PAGES or perf_counter() - started > _WALK_SECONDS:
            return path, page
        if not following:
            raise WrongAnswer(answer, f"a link to page {page + 1}")
        parts = urlsplit(following[0])
        path = f"{parts.path}?{parts.query}"
    raise AssertionError


if __name__ == "__main__":
    main(QUESTION, measure)
