"""The demonstration is written into a store: what is missing of it, through the service, as a client would.

What was written since stays.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from fhir_server.france.demo.agenda import AGENDA_DAYS, agenda_bundles, agenda_marker
from fhir_server.france.demo.roster import ROSTER
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.exchange import Request
from fhir_server.model.formats import parse
from fhir_server.outcome import Gone, NotFound
from fhir_server.service import Service


async def load_missing(service: Service, progress: Callable[[int, int], None]) -> None:
    """Write the parts of the roster that are not there, and the slots of the coming days not yet covered.

    The days begin with that of the service's clock, in its zone. ``progress`` takes the Bundles done and those in all.
    """
    bundles = await _missing_roster(service) + await _missing_agendas(service)
    for done, bundle in enumerate(bundles):
        progress(done, len(bundles))
        await service.perform(Request("POST", "", resource=bundle))
    progress(len(bundles), len(bundles))


async def _missing_roster(service: Service) -> list[Json]:
    return [bundle for part in ROSTER if await _is_missing(service, part.marker) for bundle in part.bundles()]


async def _is_missing(service: Service, marker: str) -> bool:
    try:
        await service.perform(Request("GET", marker))
    except NotFound:
        return True
    except Gone:
        return False  # it was loaded, and somebody deleted of it since
    return False


async def _missing_agendas(service: Service) -> list[Json]:
    context = service.context
    today = datetime.fromtimestamp(context.clock() / 1_000_000, context.zone).date()
    coming = [today + timedelta(days=rank) for rank in range(AGENDA_DAYS)]
    days = [day for day in coming if not await _is_covered(service, day)]
    return list(agenda_bundles(days, context.zone))


async def _is_covered(service: Service, day: date) -> bool:
    type_, _, criteria = agenda_marker(day).partition("?")
    found = await service.perform(Request("GET", type_, f"{criteria}&_summary=count"))
    return bool(parse(b"".join(found.body))["total"])
