"""Bookings: 500 clients race for 50 slots, and exactly 50 win; then bookings that nobody disputes.

The race is held on both engines; MongoDB is the stand-in of the tests, in memory, or a real one that
``FHIR_TEST_MONGODB_URI`` names. Every loser must be told that the slot is full.

    python -m benchmarks.booking
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Any, Final

from benchmarks import data
from benchmarks.client import Answer, WrongAnswer, drive, request
from benchmarks.fill import fill, practitioners
from benchmarks.program import Scale, main
from benchmarks.report import Row, number
from benchmarks.server import BASE, Server, fhir_server
from tests.mongo_server import server as mongo_server

QUESTION: Final = "How many bookings a second, and who wins a race?"
CLIENTS: Final = 500
SLOTS: Final = 50
MONGODB_SLOTS: Final = 500
"""The stand-in reads whole collections."""
_FREE: Final = range(0, data.SLOTS_EACH, 2)
"""Those of an agenda that can be booked."""


async def measure(scale: Scale) -> list[Row]:
    rows = []
    with mongo_server.serving() as uri, mongo_server.database(uri) as place:
        engines = (("SQLite", scale.scratch / "booking.sqlite", scale.least), ("MongoDB", place, MONGODB_SLOTS))
        for engine, store, slots in engines:
            with fhir_server(store) as server:
                await fill(server, slots)
                rows += [row async for row in _measured(scale, server, engine, slots)]
    return rows


async def _measured(scale: Scale, server: Server, engine: str, slots: int) -> AsyncIterator[Row]:
    people = practitioners(slots)
    size = f"{number(slots)} slots"
    race = (_of(turn % SLOTS % people, _FREE[turn % SLOTS // people]) for turn in range(CLIENTS))
    got: Counter[int] = Counter()
    cpu = server.cpu_seconds()
    run = await drive(server.port, race, clients=CLIENTS, seconds=120, expected=(201, 409), check=_counted(got))
    told = f"{got[201]} winners, {run.rate:.0f} answers/s, {server.spent(cpu, CLIENTS)}"
    aim = f"{SLOTS} winners"
    yield Row(f"{CLIENTS} clients race for {SLOTS} slots, {engine}", size, told, run.samples, aim, got[201] == SLOTS)
    places = ((person, index) for index in _FREE[-100:] for person in range(people))
    for clients in (1, 16):
        cpu = server.cpu_seconds()
        booked = (_of(person, index) for person, index in islice(places, scale.requests))
        run = await drive(server.port, booked, clients=clients, seconds=scale.seconds, expected=(201,))
        told = f"{run.rate:.0f} bookings/s, {server.spent(cpu, len(run.samples))}"
        yield Row(f"bookings, {clients} client{'s'[: clients > 1]}, {engine}", size, told, run.samples)


def _of(person: int, index: int) -> bytes:
    return booking(person, {**data.slot(person, index), "id": data.slot_id(person, index)})


def booking(person: int, slot: dict[str, Any]) -> bytes:
    """Return the request that books a slot with a professional."""
    actor = {"reference": f"Practitioner/{data.practitioner_id(person)}"}
    body = {
        "resourceType": "Appointment",
        "status": "booked",
        "start": slot["start"],
        "end": slot["end"],
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        "participant": [{"actor": actor, "status": "accepted"}],
    }
    return request("POST", f"{BASE}/Appointment", data.dumps(body).encode())


def _counted(got: Counter[int]) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        got[answer.status] += 1
        if answer.status == 409 and b'"slot-full"' not in answer.body:
            raise WrongAnswer(answer, "slot-full")

    return check


if __name__ == "__main__":
    main(QUESTION, measure, is_small=True)
