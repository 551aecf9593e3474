"""Each request of docs/mapping.md finds in the demonstration what the page says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from fhir_server.app import build, opened
from fhir_server.france.demo import agenda_bundles, roster_bundles
from fhir_server.interactions.exchange import Request
from fhir_server.settings import Settings
from tests.docs.reading import BASE, DOCS, code, examples, rows
from tests.docs.running import Got, compared, filled
from tests.rest.conftest import parts

PAGE = DOCS / "mapping.md"
DAYS = (date(2026, 1, 5), date(2026, 1, 7))


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that has the demonstration."""
    settings = Settings(store=f"sqlite:{tmp_path}/demo.db", definitions=False)
    async with opened(settings, parts()) as service:
        for bundle in chain(roster_bundles(), agenda_bundles(DAYS, ZoneInfo("Europe/Paris"))):
            await service.perform(Request("POST", "", resource=bundle))
    app = build(settings, parts())
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        yield client


async def test_each_question_and_each_concept_is_one_request(http: httpx.AsyncClient) -> None:
    """The twelve questions are answered as the page says; the request of each concept finds something."""
    found = examples(PAGE)
    problems: list[str] = []
    for example in found:
        assert example.answer
        response = await http.get(filled(example.request, {}).url)
        got = Got(response.status_code, response.headers, response.text)
        problems += [f"{example.where}: {text}" for text in compared(example.answer, got)]
    table = [code(row[3])[0] for row in rows(PAGE, "## The concepts")]
    for path in table:
        answer = (await http.get(f"{BASE}/{path}&_summary=count")).json()
        if not answer.get("total"):
            problems.append(f"{path}: {answer.get('issue', 'finds nothing')}")
    assert not problems, "\n".join(problems)
    assert (len(found), len(table)) == (12, 30)
