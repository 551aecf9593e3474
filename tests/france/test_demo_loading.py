"""The demonstration is loaded once, and what was changed since stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.app import Parts, load_demo, opened
from fhir_server.france.demo.roster import ROSTER
from fhir_server.interactions.exchange import Request
from fhir_server.settings import Settings

NOW = 1_767_600_000_000_000
DAY = 86_400_000_000


async def load(settings: Settings, now: int) -> list[tuple[int, int]]:
    steps: list[tuple[int, int]] = []
    await load_demo(settings, lambda done, total: steps.append((done, total)), Parts(clock=lambda: now))
    return steps


@pytest.fixture(autouse=True)
def _few_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load two days of the seven: what a day more would show is more of the same."""
    monkeypatch.setattr("fhir_server.france.demo.loading.AGENDA_DAYS", 2)


async def test_second_load_writes_the_days_that_are_new_and_no_roster_again(tmp_path: Path) -> None:
    """And every reference of the demonstration leads to what is there."""
    settings = Settings(store=f"sqlite:{tmp_path}/x.db", integrity="enforce")
    assert len(await load(settings, NOW)) > 3
    assert await load(settings, NOW) == [(0, 0)]
    async with opened(settings, Parts(clock=lambda: NOW)) as service:
        await service.perform(Request("DELETE", ROSTER[0].marker))
    assert await load(settings, NOW + DAY) == [(0, 1), (1, 1)]


async def test_store_from_before_sos_gets_it_and_keeps_its_cpts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(store=f"sqlite:{tmp_path}/x.db")
    cpts, sos = ROSTER
    with monkeypatch.context() as before:
        before.setattr("fhir_server.france.demo.loading.ROSTER", (cpts,))
        before.setattr("fhir_server.france.demo.agenda._sos_agendas", lambda: iter(()))
        await load(settings, NOW)
    assert (await load(settings, NOW))[-1] == (3, 3)  # two days, and the bundle of SOS
    async with opened(settings, Parts(clock=lambda: NOW)) as service:
        for part in (cpts, sos):
            assert (await service.perform(Request("GET", part.marker))).headers["ETag"] == 'W/"1"'
