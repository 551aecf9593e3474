"""``_history?_after``: for those who keep a copy in step."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.rest.asking import BASE, Json, bundle, entry, link, organization, practitioner, refused
from tests.rest.conftest import Serve, Server


async def follow(http: httpx.AsyncClient, url: str) -> tuple[list[Json], str]:
    """Return the entries from a position on, and where to resume."""
    entries: list[Json] = []
    while True:
        response = await http.get(url)
        assert response.status_code == 200, response.text
        entries.extend(response.json().get("entry", ()))
        following = link(response, "next")
        if following is None:
            resume = link(response, "resume")
            assert resume is not None
            return entries, resume
        assert link(response, "resume") is None
        url = following


async def write_some(http: httpx.AsyncClient) -> None:
    await http.put("Practitioner/a", json=practitioner("A", id="a"))
    await http.put("Practitioner/b", json=practitioner("B", id="b"))
    several = [entry("PUT", f"Organization/o{n}", organization(id=f"o{n}")) for n in range(5)]
    assert (await http.post("", json=bundle("transaction", *several))).status_code == 200
    await http.delete("Practitioner/a")


@pytest.mark.parametrize("count", [1, 2, 3, 50])
async def test_feed_is_the_history_oldest_first(http: httpx.AsyncClient, count: int) -> None:
    await write_some(http)
    newest_first = (await http.get("_history")).json()["entry"]
    entries, _ = await follow(http, f"_history?_after=0&_count={count}")
    assert entries == newest_first[::-1]
    assert entries[-1]["request"] == {"method": "DELETE", "url": "Practitioner/a"}


@pytest.mark.parametrize("level", ["_history", "Practitioner/_history", "Practitioner/b/_history"])
async def test_feed_goes_on_where_it_stopped(http: httpx.AsyncClient, level: str) -> None:
    await write_some(http)
    _, resume = await follow(http, f"{level}?_after=0&_count=2")
    again, same = await follow(http, resume)
    assert again == []
    assert same == resume
    await http.put("Practitioner/b", json=practitioner("B2", id="b"))
    news, _ = await follow(http, resume)
    assert [item["resource"]["name"] for item in news] == [[{"family": "B2"}]]


async def test_nothing_written_between_two_pages_is_missed(http: httpx.AsyncClient) -> None:
    await write_some(http)
    first = await http.get("_history?_after=0&_count=3")
    await http.put("Practitioner/z", json=practitioner("Entre", id="z"))
    rest, _ = await follow(http, link(first, "next") or "")
    everything, _ = await follow(http, "_history?_after=0")
    assert first.json()["entry"] + rest == everything


async def test_count_of_zero_moves_no_position(http: httpx.AsyncClient) -> None:
    await write_some(http)
    response = await http.get("_history?_after=0&_count=0")
    assert response.status_code == 200
    assert link(response, "next") is None and link(response, "resume") is None
    entries, resume = await follow(http, "_history?_after=0")
    assert len(entries) == 8
    await http.put("Practitioner/z", json=practitioner("Neuf", id="z"))
    nothing = await http.get(resume.replace("_history?", "_history?_count=0&"))
    assert link(nothing, "resume") is None


async def test_empty_log_can_be_followed(http: httpx.AsyncClient) -> None:
    entries, resume = await follow(http, "_history?_after=0")
    assert entries == []
    await write_some(http)
    entries, _ = await follow(http, resume)
    assert len(entries) == 8


async def test_position_in_the_future_is_gone(http: httpx.AsyncClient) -> None:
    await write_some(http)
    _, resume = await follow(http, "_history?_after=0")
    log, _, number = resume.rpartition("=")[2].partition(".")
    refused(await http.get(f"_history?_after={log}.{int(number) + 1}"), 410, "log-position")


async def test_position_of_another_log_is_gone(http: httpx.AsyncClient, folder: Path) -> None:
    await write_some(http)
    _, resume = await follow(http, "_history?_after=0")
    async with Server(f"sqlite:{folder / 'other.db'}") as other:
        await write_some(other.http)
        refused(await other.http.get(resume.removeprefix(BASE + "/")), 410, "log-position")


async def test_feed_survives_a_restart(serve: Serve) -> None:
    async with serve() as server:
        await write_some(server.http)
        _, resume = await follow(server.http, "_history?_after=0")
    async with serve() as server:
        await server.http.put("Practitioner/b", json=practitioner("B2", id="b"))
        news, _ = await follow(server.http, resume)
        assert len(news) == 1
