"""check finds what is not as the log says; reindex repairs what resources are found by."""

from __future__ import annotations

import asyncio
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
from tests.maintenance.conftest import (
    Json,
    Place,
    delete,
    documents,
    get,
    loaded,
    organization,
    put,
    spoil_database,
    spoil_file,
    unindex,
    whole_log,
)

ORGANIZATIONS = 6
TYPE = "resources.Organization"
"""The collection of MongoDB's that holds them."""


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


def garble(place: Place, id_: str) -> None:
    """Make the body of an organization's only version, in its commit and where it is current, what no JSON is."""
    if place.database is None:
        spoil_file(place, "UPDATE version SET body = x'7b' WHERE id = ?", id_)
    else:
        with documents(place, "commits") as commits:
            commit = commits.find_one({"changes.id": id_})
        assert commit is not None
        position = [change["id"] for change in commit["changes"]].index(id_)
        spoil_database(place, "commits", {"_id": commit["_id"]}, {"$set": {f"bodies.{position}": b"{"}})
        spoil_database(place, "resources.Organization", {"_id": id_}, {"$set": {"body": b"{"}})


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
async def test_what_is_wrong_in_a_file_is_found_and_named(statement: str, sentence: str, sqlite_place: Place) -> None:
    async with sqlite_place.open() as service:
        await fill(service, sqlite_place)
    spoil_file(sqlite_place, statement)
    async with sqlite_place.open() as service:
        _, problems = await checked(service)
        assert any(sentence in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("collection", "where", "change", "sentence"),
    [
        (TYPE, {"_id": "o0"}, {"$unset": {"text": ""}}, "Organization/o0: 2 index entries are missing and 0 are too"),
        (TYPE, {"_id": "o0"}, {"$set": {"text": ["name|o\0O"]}}, "2 index entries are missing and 1 are too many"),
        (TYPE, {"_id": "o0"}, None, "Organization/o0: version 1 is in the log, and nothing can be read"),
        (TYPE, {"_id": "o0"}, {"$set": {"live": False}}, "the log has 5, a search finds 4"),
        (TYPE, {"_id": "o1"}, {"$set": {"version": 2}}, "Organization/o1: what is read is not version 3 of the log"),
        (TYPE, {"_id": "o2"}, {"$set": {"equal": ["name|x"]}}, "it is deleted, and has 1 index"),
        ("versions", {"id": "o1", "version": 2}, None, "Organization/o1: no version 2 precedes version 3"),
        ("commits", {"_id": 2}, None, "commit 3: it follows commit 1"),
        ("commits", {"_id": 3}, {"$set": {"instant": 9}}, "its instant is before that of the commit it follows"),
        ("commits", {"_id": 2}, {"$set": {"generation": 99}}, "its generation cannot be 99"),
    ],
)  # fmt: skip
async def test_what_is_wrong_in_a_database_is_found_and_named(
    collection: str, where: Json, change: Json | None, sentence: str, mongo_place: Place
) -> None:
    async with mongo_place.open() as service:
        await fill(service, mongo_place)
    spoil_database(mongo_place, collection, where, change)
    async with mongo_place.open() as service:
        _, problems = await checked(service)
        assert any(sentence in problem for problem in problems), problems


async def test_what_cannot_be_read_is_named(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
    garble(place, "o5")
    async with place.open() as service:
        _, problems = await checked(service)
        assert any("Organization/o5: version 1 cannot be read as a resource" in problem for problem in problems), (
            problems
        )


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
    unindex(place, "Organization/o0")
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
    if place.database is None:
        spoil_file(place, "UPDATE resource SET generation = 7 WHERE id = 'o0'")
    else:
        spoil_database(place, TYPE, {"_id": "o0"}, {"$set": {"generation": 7}})
    unindex(place, "Organization/o0")
    async with place.open() as service:
        assert (await checked(service))[1] == []
        report = await reindexed(service)
        assert (report.newer, report.written.total()) == (1, 0)


async def test_resource_that_cannot_be_indexed_is_told_and_the_rest_is_done(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
    garble(place, "o5")
    unindex(place, "Organization/o0")
    async with place.open() as service:
        report = await reindexed(service)
        assert (report.failed, report.written.total()) == (1, 1)
