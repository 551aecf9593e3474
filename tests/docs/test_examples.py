"""Every example of the documentation is run, in the order of its page, and answered as the page says."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import groupby
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from fhir_server.app import build
from fhir_server.settings import SETTINGS, Settings
from tests.docs.reading import PAGES, Example, examples
from tests.docs.running import Got, compared, filled
from tests.rest.conftest import parts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_examples_are_answered_as_the_page_says(page: Path, tmp_path: Path) -> None:
    problems: list[str] = []
    found = examples(page)
    assert found, f"{page.name} has no example"
    for server, group in groupby(found, key=lambda example: example.server):
        problems += await _run(list(group), tmp_path / f"{server}.sqlite")
    assert not problems, "\n".join(problems)


async def _run(found: list[Example], file: Path) -> list[str]:
    """Return what is not as told, of examples that share a server."""
    flags = {"store": f"sqlite:{file}", "definitions": "off", **found[0].settings}
    assert flags.keys() <= {setting.name for setting in SETTINGS}
    app = build(Settings.read(flags, {}), parts())
    problems: list[str] = []
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(app)))
        links: dict[str, str] = {}
        for example in found:
            assert example.answer, f"{example.where}: a request without an answer"
            got = await _sent(http, example, links)
            await _indexed(app)
            links = got.links or links
            told = list(compared(example.answer, got))
            if told:
                problems += [f"{example.where}: {problem}" for problem in told]
                problems.append(f"    the answer: {got.status} {dict(got.headers)} {got.text[:2000]}")
    return problems


async def _indexed(app: FastAPI) -> None:
    """Wait until what a definition has changed is indexed: the pages tell what is answered then."""
    while (await app.state.service.context.followed()).registry.oldest:  # noqa: ASYNC110 as clients do
        await asyncio.sleep(0.01)


async def _sent(http: httpx.AsyncClient, example: Example, links: dict[str, str]) -> Got:
    request = filled(example.request, links)
    response = await http.request(
        request.method, request.url, headers=request.headers, content=request.body.encode() or None
    )
    return Got(response.status_code, response.headers, response.text)
