"""check finds what is not as the log says; reindex repairs what resources are found by."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from fhir_server.interactions.exchange import Request
from fhir_server.maintenance.around import Around
from fhir_server.maintenance.check import Checked, check
from fhir_server.maintenance.reindex import Reindexed, reindex
from fhir_server.service import Service
from fhir_server.storage.protocol import Snapshot
from tests.maintenance.conftest import Place, delete, get, loaded, organization, put, whole_log

ORGANIZATIONS = 6


async def fill(service: Service, place: Place) -> None:
    lines = [organization(f"O{number}", f"o{number}") for number in range(ORGANIZATIONS)]
    await loaded(service, place.write("fill.ndjson", lines))
    await put(service, organization("two", "o1"))
    await put(service, organization("three", "o1"))
    await delete(service, "Organization/o2")


async def checked(service: Service) -> tuple[Checked, list[str]]:
    problems: list[str] = []
    report = await check(service.context, tell=problems.append)
    assert report.problems == len(problems)
    return report, problems


async def reindexed(service: Service, *types: str) -> Reindexed:
    told: list[str] = []
    report = await reindex(service.context, types or ["Organization", "Patient"], tell=told.append)
    assert report.failed == len(told)
    return report


def spoil(place: Place, statement: str, *values: object) -> None:
    """Change the file behind the engine's back."""
    with sqlite3.connect(place.folder / "store.db") as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


async def test_store_that_is_whole_is_counted(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
        report, problems = await checked(service)
        assert problems == []
        assert report.counted
        assert report.current == {"Organization": ORGANIZATIONS - 1}
        assert report.deleted == {"Organization": 1}
        assert (report.changes, report.commits) == (ORGANIZATIONS + 3, len(await whole_log(service)))


async def test_resources_created_by_the_server_are_found_as_a_replay_finds_them(place: Place) -> None:
    """What is indexed before the server has chosen the id must equal what is indexed after."""
    async with place.open() as service:
        await service.perform(Request("POST", "Patient", resource={"resourceType": "Patient", "active": True}))
        _, problems = await checked(service)
        assert problems == []


async def test_references_that_lead_nowhere_are_warnings(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
        for id_, target in {
            "there": "Organization/o1",
            "version": "Organization/o1/_history/2",
            "deleted": "Organization/o2",
            "never": "Organization/none",
            "no-version": "Organization/o1/_history/9",
            "odd-version": "Organization/o1/_history/x",
            "ours": "http://127.0.0.1:8080/fhir/Organization/none",
            "elsewhere": "https://elsewhere.example/fhir/Organization/none",
        }.items():
            await put(service, organization("refers", id_, partOf={"reference": target}))
        report, problems = await checked(service)
        assert problems == []
        assert report.references == 7
        assert report.dangling == {("Organization", "Organization"): 5}


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DELETE FROM text WHERE exact = 'O0'", "Organization/o0: 2 index entries are missing and 0 are too many"),
        ("UPDATE text SET exact = 'other' WHERE exact = 'O0'", "2 index entries are missing and 2 are too many (name"),
        ("UPDATE version SET body = CAST(replace(body, 'O5', 'XX') AS BLOB) WHERE id = 'o5'", "(name, phonetic)"),
        ("UPDATE version SET body = x'7b' WHERE id = 'o5'", "version 1 cannot be read as a resource"),
        ("UPDATE version SET body = CAST(replace(body, '\"o5\"', '\"o9\"') AS BLOB) WHERE id = 'o5'", "names itself"),
        ("DELETE FROM version WHERE id = 'o1' AND version = 2", "no version 2 precedes version 3"),
        ("DELETE FROM version WHERE id = 'o0'", "Organization: the log has 4, a search finds"),
        ("DELETE FROM resource WHERE id = 'o0'", "Organization/o0: version 1 is in the log, and nothing can be read"),
        ("UPDATE resource SET deleted = 1 WHERE id = 'o0'", "the log has 5, a search finds 4"),
        ("UPDATE resource SET address = (SELECT address FROM version WHERE id = 'o1' AND version = 2), version = 2 "
         "WHERE id = 'o1'", "Organization/o1: version 3 is in the log, what is read is version 2"),
        ("DELETE FROM commits WHERE number = 2", "commit 3: it follows commit 1"),
        ("UPDATE commits SET instant = 9 WHERE number = 3", "its instant is before that of the commit it follows"),
        ("UPDATE commits SET generation = 99 WHERE number = 2", "its generation cannot be 99"),
        ("INSERT INTO equality SELECT ordinal, 1, 'x' FROM resource WHERE id = 'o2'", "it is deleted, and has 1 index"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_found_and_named(statement: str, sentence: str, place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
    spoil(place, statement)
    async with place.open() as service:
        _, problems = await checked(service)
        assert any(sentence in problem for problem in problems), problems


async def test_counts_are_not_compared_where_others_wrote_meanwhile(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
        last = (await whole_log(service))[-1].number
        writing: list[asyncio.Task[None]] = []

        def write(done: int, _total: int) -> None:
            if done == last:
                writing.append(asyncio.create_task(put(service, organization("late", "late"))))

        report = await check(slow(service).context, tell=pytest.fail, progress=write)
        assert (report.counted, report.problems, report.head.number) == (False, 0, last)
        await asyncio.gather(*writing)


def slow(service: Service) -> Service:
    """Return a service whose snapshots let others write first."""

    class Slow(Around):
        @asynccontextmanager
        async def snapshot(self) -> AsyncIterator[Snapshot]:
            await asyncio.sleep(0.2)
            async with super().snapshot() as snapshot:
                yield snapshot

    return Service(replace(service.context, store=Slow(service.context.store)))


async def test_reindex_repairs_what_check_finds(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
    spoil(place, "DELETE FROM text WHERE exact = 'O0'")
    async with place.open() as service:
        assert (await get(service, "Organization", "name=O0"))["total"] == 0
        before = await whole_log(service)
        report = await reindexed(service)
        assert (report.read, report.written) == ({"Organization": 5}, {"Organization": 1})
        assert (await get(service, "Organization", "name=O0"))["total"] == 1
        assert (await checked(service))[1] == []
        assert await whole_log(service) == before
        assert (await reindexed(service)).written.total() == 0


async def test_reindex_follows_a_changed_setting(place: Place) -> None:
    reference = {"reference": "https://cpts.example/fhir/Organization/o1"}
    async with place.open() as service:
        await put(service, organization("o", "o1"))
        await put(service, organization("part", "part", partOf=reference))
        assert (await get(service, "Organization", "partof=Organization/o1"))["total"] == 0
    async with place.open(base_url=("https://cpts.example/fhir",)) as service:
        _, problems = await checked(service)
        assert any("(partof)" in problem for problem in problems)
        assert (await reindexed(service)).written == {"Organization": 1}
        assert (await get(service, "Organization", "partof=Organization/o1"))["total"] == 1
        assert (await checked(service))[1] == []


async def test_reindex_of_one_type_leaves_the_others(place: Place) -> None:
    async with place.open() as service:
        await put(service, organization("A", "a"))
        await put(service, {"resourceType": "Patient", "id": "p"})
        assert (await reindexed(service, "Patient")).read == {"Patient": 1}


async def test_what_newer_definitions_indexed_is_left_alone(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
    spoil(place, "UPDATE resource SET generation = 7 WHERE id = 'o0'")
    spoil(place, "DELETE FROM text WHERE exact = 'O0'")
    async with place.open() as service:
        assert (await checked(service))[1] == []
        report = await reindexed(service)
        assert (report.newer, report.written.total()) == (1, 0)


async def test_resource_that_cannot_be_indexed_is_told_and_the_rest_is_done(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
    spoil(place, "UPDATE version SET body = x'7b' WHERE id = 'o5'")
    spoil(place, "DELETE FROM text WHERE exact = 'O0'")
    async with place.open() as service:
        report = await reindexed(service)
        assert (report.failed, report.written.total()) == (1, 1)
