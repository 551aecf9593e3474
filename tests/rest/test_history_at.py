"""``_at`` of a history: what was current at some time of a date. https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from itertools import groupby

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rest.asking import Json, link, practitioner


async def write(http: httpx.AsyncClient, script: list[tuple[str, bool]]) -> None:
    """Write versions of several resources; a script says of which resource, and whether it is deleted."""
    for number, (id_, deletes) in enumerate(script):
        if deletes:
            await http.delete(f"Practitioner/{id_}")
        else:
            await http.put(f"Practitioner/{id_}", json=practitioner(f"V{number}", id=id_))


async def pages(http: httpx.AsyncClient, url: str) -> list[Json]:
    entries: list[Json] = []
    following: str | None = url
    while following is not None:
        response = await http.get(following)
        assert response.status_code == 200, response.text
        entries.extend(response.json().get("entry", ()))
        following = link(response, "next")
    return entries


def expected(everything: list[Json], low: str, high: str) -> list[Json]:
    """Return the entries current at some time of ``[low, high)``, from those of the whole history, newest first."""
    kept = []
    by_resource = sorted(everything, key=lambda entry: entry["fullUrl"])
    for _, group in groupby(by_resource, key=lambda entry: entry["fullUrl"]):
        ended = "9999"
        for entry in group:
            began = entry["response"]["lastModified"]
            if low <= began < high or (began < low < ended and "resource" in entry):
                kept.append(entry)
            ended = began
    return [entry for entry in everything if entry in kept]


async def test_at_an_instant_is_the_version_of_that_time(http: httpx.AsyncClient) -> None:
    await write(http, [("a", False), ("a", False), ("b", False), ("a", False), ("b", True)])
    whole = (await http.get("_history")).json()["entry"]
    between = whole[1]["response"]["lastModified"].replace(".000Z", ".500Z")
    for level, wanted in (("_history", whole[1:3]), ("Practitioner/a/_history", whole[1:2])):
        assert (await http.get(f"{level}?_at={between}")).json()["entry"] == wanted


async def test_at_a_day_has_what_came_before_it_and_was_current_still(http: httpx.AsyncClient) -> None:
    await write(http, [("a", False), ("b", False), ("b", True)])
    whole = (await http.get("_history")).json()["entry"]
    assert (await http.get("_history?_at=2026-01-06")).json()["entry"] == whole[2:]
    assert (await http.get("_history?_at=2026-01-05")).json()["entry"] == whole
    assert "entry" not in (await http.get("_history?_at=2026-01-04")).json()


@pytest.mark.parametrize("level", ["_history", "Practitioner/_history", "Practitioner/a/_history"])
async def test_at_in_pages_is_the_same(http: httpx.AsyncClient, level: str) -> None:
    await write(http, [(id_, False) for id_ in "abcab"] + [("b", True), ("c", False), ("c", False)])
    whole = (await http.get(level)).json()["entry"]
    at = whole[len(whole) // 2]["response"]["lastModified"]
    wanted = (await http.get(f"{level}?_at={at}")).json()["entry"]
    for count in (1, 2):
        assert await pages(http, f"{level}?_at={at}&_count={count}") == wanted


steps = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=12)


@given(script=steps, first=st.integers(0, 11), length=st.integers(0, 4), count=st.integers(1, 4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_at_agrees_with_the_whole_history(
    http: httpx.AsyncClient, script: list[tuple[str, bool]], first: int, length: int, count: int
) -> None:
    for id_ in "abc":  # what an example before this one has left
        await http.delete(f"Practitioner/{id_}")
    await write(http, script)
    whole = await pages(http, "_history?_count=1000")
    instants = sorted(entry["response"]["lastModified"] for entry in whole)
    low = instants[min(first, len(instants) - 1)][:19]
    if length == 0:  # a second: from .000 to .999
        got = await pages(http, f"_history?_at={low}Z&_count={count}")
        assert got == expected(whole, f"{low}.000Z", f"{low}.999Z")
    else:  # a minute
        got = await pages(http, f"_history?_at={low[:16]}Z&_count={count}")
        assert got == expected(whole, f"{low[:16]}:00.000Z", f"{low[:16]}:59.999Z")
