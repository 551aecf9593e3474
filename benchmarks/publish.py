"""Publishing availability: one transaction replaces the free slots of 25 agendas in a window of three days.

First half-hours, then quarters of an hour, then half-hours again, with some of the quarters booked in between: what is
held stays, and nothing is offered at its time.

    python -m benchmarks.publish
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from benchmarks import data
from benchmarks.booking import booking
from benchmarks.client import Run, ask, drive, get, request
from benchmarks.fill import fill
from benchmarks.program import Scale, main
from benchmarks.report import Row, number
from benchmarks.server import BASE, Server, fhir_server

QUESTION: Final = "How long does it take to replace the free slots of 25 agendas in three days?"
AGENDAS: Final = 25
DAYS: Final = 3
HOURS: Final = 12
_SECONDS: Final = 120


async def measure(scale: Scale) -> list[Row]:
    with fhir_server(scale.scratch / "publish.sqlite") as server:
        await fill(server, scale.least)
        wide, narrow = await _published(server, 30, set()), await _published(server, 15, set())
        held = await _booked(server)
        return [wide, narrow, await _published(server, 30, held)]


async def _published(server: Server, minutes: int, held: set[tuple[int, str]]) -> Row:
    """Replace what is free by slots of so many minutes, around those that are held: agendas with their starts."""
    entries = [*map(_deletion, range(AGENDAS)), *_creations(minutes, held)]
    cpu = server.cpu_seconds()
    run: Run = await drive(server.port, [request("POST", f"{BASE}/", data.transaction(entries))], seconds=_SECONDS)
    slots = len(entries) - AGENDAS
    told = f"{run.elapsed:.1f} s, {server.spent(cpu, slots)} slot"
    what = f"slots of {minutes} minutes" + f", around {len(held)} bookings" * bool(held)
    return Row(what, f"{AGENDAS} agendas, {number(slots)} slots", told, run.samples)


def _deletion(person: int) -> dict[str, Any]:
    last = (data.FIRST_DAY + timedelta(days=DAYS)).date()
    window = f"start=ge{data.FIRST_DAY.date()}&start=lt{last}"
    url = f"Slot?schedule=Schedule/{data.practitioner_id(person)}&{window}&status=free,busy"
    return {"request": {"method": "DELETE", "url": url}}


def _creations(minutes: int, held: set[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    for person in range(AGENDAS):
        for day in range(DAYS):
            for turn in range(HOURS * 60 // minutes):
                start = data.FIRST_DAY + timedelta(days=day, hours=8, minutes=turn * minutes)
                slot = {**data.slot(person, 0), "status": "free", "start": _text(start)}
                slot["end"] = _text(start + timedelta(minutes=minutes))
                slot["identifier"] = [{"system": data.SLOT_SYSTEM, "value": f"{person}-{minutes}-{day}-{turn}"}]
                if (person, slot["start"]) not in held:
                    yield {"resource": slot, "request": {"method": "POST", "url": "Slot"}}


def _text(moment: Any) -> str:
    return str(moment.isoformat(timespec="milliseconds"))


async def _booked(server: Server) -> set[tuple[int, str]]:
    """Book the first quarter of each agenda's day, and return the half-hours that are gone."""
    held = set()
    for person in range(AGENDAS):
        start = _text(data.FIRST_DAY + timedelta(hours=8))
        url = f"{BASE}/Slot?schedule=Schedule/{data.practitioner_id(person)}&status=free&_sort=start&_count=1"
        (found,) = json.loads((await ask(server.port, get(url))).body)["entry"]
        await ask(server.port, booking(person, found["resource"]), (201,))
        held.add((person, start))
    return held


if __name__ == "__main__":
    main(QUESTION, measure, is_small=True)
