"""A store moves to another engine and back, with its history, its numbers and its identity."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fhir_server.app import open_engine
from fhir_server.interactions.exchange import Request
from fhir_server.maintenance import migrate as module
from fhir_server.maintenance.appending import bare
from fhir_server.maintenance.check import check
from fhir_server.maintenance.migrate import migrate
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.outcome import Unavailable
from fhir_server.service import Service
from fhir_server.storage.protocol import ENDED, Commit, Store, StoreError, StoreUnavailable
from tests.command import run
from tests.maintenance.conftest import START, Place, delete, get, organization, put, whole_log

ROOT = Path(__file__).parents[2]


@dataclass
class Ways:
    """Two places for stores: ``source`` is open as an engine alone, ``target`` with a service over it."""

    place: Place
    source: str
    target: str

    @asynccontextmanager
    async def service(self, url: str) -> AsyncIterator[Service]:
        async with self.place.open(url) as found:
            yield found

    @asynccontextmanager
    async def engine(self, url: str) -> AsyncIterator[Store]:
        store = open_engine(self.place.settings(url), lambda: START)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture(params=["sqlite to mongo", "mongo to sqlite"])
def ways(request: pytest.FixtureRequest, sqlite_place: Place, mongo_place: Place) -> Ways:
    names = (sqlite_place.url(), mongo_place.url())
    source, target = names if request.param == "sqlite to mongo" else names[::-1]
    return Ways(sqlite_place, source, target)


async def fill(service: Service) -> None:
    for number in range(12):
        await put(service, organization(f"Maison {number}", f"o{number}"))
    await put(service, organization("Maison une", "o1"))
    await delete(service, "Organization/o2")
    await delete(service, "Organization/o3")
    await put(service, organization("Maison trois", "o3", partOf={"reference": "Organization/o1"}))


def plain(log: list[Commit]) -> list[Commit]:
    """Return commits without the generation of index entries."""
    return [
        Commit(
            c.number, c.instant, c.generation, c.schema, tuple(change._replace(generation=0) for change in c.changes)
        )
        for c in log
    ]


async def test_history_numbers_and_identity_are_kept(ways: Ways) -> None:
    async with ways.service(ways.source) as service:
        await fill(service)
        expected, history = await whole_log(service), await get(service, "Organization/o3/_history")
    async with ways.engine(ways.source) as source, ways.service(ways.target) as service:
        log_id = (await source.head()).log_id
        done = await migrate(source, service.context, tell=pytest.fail)
        assert (done.log, done.commits, done.found, done.live["Organization"]) == (log_id, len(expected), 0, 11)
        assert done.changes == sum(len(commit.changes) for commit in expected)
        assert (await source.head()).schema == ENDED
        with pytest.raises(StoreUnavailable, match="ended"):
            await source.end()
    async with ways.service(ways.target) as service:
        assert (await service.context.store.head()).log_id == log_id
        assert plain(await whole_log(service)) == plain(expected)
        assert (await get(service, "Organization/o3/_history"))["entry"] == history["entry"]
        assert (await get(service, "Organization", "partof=Organization/o1"))["total"] == 1
        problems: list[str] = []
        await check(service.context, tell=problems.append)
        assert problems == []
        await put(service, organization("Nouvelle", "o99"))
        assert (await service.context.store.head()).number == len(expected) + 1


async def test_who_writes_the_old_store_is_refused(ways: Ways) -> None:
    async with ways.service(ways.source) as old:
        await fill(old)
        async with ways.engine(ways.source) as source, ways.service(ways.target) as service:
            await migrate(source, service.context, tell=pytest.fail)
        with pytest.raises(Unavailable):
            await put(old, organization("Trop tard", "o50"))
        answer = await old.perform(Request("GET", "Organization/o1"))
        assert answer.status == 200


async def test_what_is_written_during_the_migration_follows(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    verify = module._verify
    async with ways.service(ways.source) as old, ways.engine(ways.source) as source:
        await fill(old)
        before = (await source.head()).number

        async def late(*given: object) -> None:
            if (await source.head()).number == before:
                await put(old, organization("Tardive", "o50"))
            await verify(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(module, "_verify", late)
        async with ways.service(ways.target) as service:
            done = await migrate(source, service.context, tell=pytest.fail)
            assert done.commits == before + 1
            assert (await get(service, "Organization/o50"))["name"] == "Tardive"


async def test_an_interrupted_migration_goes_on(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ways.service(ways.source) as service:
        await fill(service)
    monkeypatch.setattr("fhir_server.maintenance.appending.CHUNK_CHANGES", 3)
    async with ways.engine(ways.source) as source:
        total = (await source.head()).number
        async with ways.service(ways.target) as service:
            store = service.context.store
            append, times = store.append, 0

            async def failing(commits: object, log_id: str) -> None:
                nonlocal times
                times += 1
                if times > 2:
                    raise StoreError("cut")
                await append(commits, log_id)  # type: ignore[arg-type]

            with monkeypatch.context() as patch:
                patch.setattr(store, "append", failing)
                with pytest.raises(CommandFailed, match=f"cut. The new store holds 6 of {total} commits"):
                    await migrate(source, service.context, tell=pytest.fail)
        assert (await source.head()).schema != ENDED
        async with ways.service(ways.target) as service:
            done = await migrate(source, service.context, tell=pytest.fail)
            assert (done.found, done.commits) == (6, total)
        async with ways.service(ways.target) as service:
            again = await migrate(source, service.context, tell=pytest.fail)
            assert (again.found, again.changes) == (total, done.changes)


async def test_a_store_with_other_content_is_left_alone(ways: Ways) -> None:
    for url in (ways.source, ways.target):
        async with ways.service(url) as service:
            await put(service, organization("Autre", "x"))
    async with ways.engine(ways.source) as source, ways.service(ways.target) as service:
        with pytest.raises(CommandFailed, match="holds 1 commits of another log"):
            await migrate(source, service.context, tell=pytest.fail)
        assert (await source.head()).schema != ENDED


async def test_a_difference_stops_it_before_the_old_store_ends(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ways.service(ways.source) as service:
        await fill(service)
    seen = 0

    def differing(commit: Commit) -> Commit:
        nonlocal seen
        seen += 1
        return replace(bare(commit), instant=0) if seen == 9 else bare(commit)

    monkeypatch.setattr(module, "bare", differing)
    async with ways.engine(ways.source) as source, ways.service(ways.target) as service:
        with pytest.raises(CommandFailed, match="Commit 5 is not the same"):
            await migrate(source, service.context, tell=pytest.fail)
        assert (await source.head()).schema != ENDED


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_did_and_shows_no_options(ways: Ways) -> None:
    asyncio.run(_filled(ways))
    options = "?appName=secret"
    source, target = (url + options if url.startswith("mongodb") else url for url in (ways.source, ways.target))
    done = run(ways.place.folder, "migrate", "--from", source, "--to", target)
    assert done.returncode == 0, done.stderr
    assert "Migrated and verified: 16 versions in 16 commits." in done.stdout
    assert f"{ways.target} is the store now" in done.stdout
    assert "secret" not in done.stdout + done.stderr


async def _filled(ways: Ways) -> None:
    async with ways.service(ways.source) as service:
        await fill(service)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--from", "nothing", "--to", "sqlite:x.db"), 2, "--from: it begins neither with sqlite: nor with mongodb://"),
        (("--from", "sqlite:x.db", "--to", "mongodb://a:secret@b"), 2, "--to: mongodb:// names no database"),
        (("--from", "sqlite:x.db", "--to", "sqlite:x.db"), 1, "--from and --to are the same store."),
        (("--from", "sqlite:no.db", "--to", "sqlite:x.db"), 1, "There is no store at sqlite:no.db"),
    ],
)
def test_what_cannot_be_migrated_is_one_sentence(
    arguments: tuple[str, ...], code: int, sentence: str, place: Place
) -> None:
    done = run(place.folder, "migrate", *arguments)
    assert done.returncode == code
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr + done.stdout
