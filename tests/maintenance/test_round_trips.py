"""What goes out comes back: export and load, backup and restore."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_server.interactions.history import public_log_id
from fhir_server.maintenance.backup import backup
from fhir_server.maintenance.check import check
from fhir_server.maintenance.export import export
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.maintenance.restore import restore, verify
from fhir_server.outcome import Gone
from fhir_server.service import Service
from fhir_server.storage.protocol import Commit
from tests.maintenance.conftest import Place, bodies, delete, get, loaded, organization, put, total, whole_log

PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": "Été", "given": ["Zoé"]}],
    "birthDate": "1980-05",
    "generalPractitioner": [{"reference": "Practitioner/none"}],
}


async def fill(service: Service, place: Place) -> None:
    """Make a past: several versions, a deletion, a resource created again, resources in compartments."""
    file = place.write(
        "fill.ndjson",
        [
            *(
                organization(f"O{number} «é»", f"o{number}", partOf={"reference": "Organization/o0"})
                for number in range(9)
            ),
            PATIENT,
            {**PATIENT, "id": "p"},
        ],
    )
    position = '{"longitude":6.0300,"latitude":47.2500}'
    location = place.write("l.json", f'{{"resourceType":"Location","id":"l","position":{position}}}')
    assert (await loaded(service, file, location)).counts == (12, 0, 0, 0)
    for number in range(5):
        await put(service, organization(f"changed {number}", f"o{number % 2}"))
    await delete(service, "Organization/o3")
    await delete(service, "Organization/o4")
    await put(service, organization("again", "o4"))


def bare(commits: list[Commit]) -> list[Commit]:
    return [
        Commit(it.number, it.instant, 0, it.schema, tuple(one._replace(generation=0) for one in it.changes))
        for it in commits
    ]


async def is_well(service: Service) -> bool:
    problems: list[str] = []
    report = await check(service.context, tell=problems.append)
    assert problems == []
    return report.counted and report.problems == 0


# --- export ----------------------------------------------------------------------------------------------------------


async def test_what_was_exported_is_loaded_and_exported_the_same(place: Place) -> None:
    out, again = place.folder / "out", place.folder / "again"
    async with place.open("one") as service:
        await fill(service, place)
        types = service.context.registry.structures.resource_types
        done = await export(service.context.store, out, types)
        assert done.resources == {"Location": 1, "Organization": 8, "Patient": 2}
        before = await bodies(service)
        assert await total(service, "Organization") == 8
    async with place.open("two") as service:
        assert (await loaded(service, out)).counts == (11, 0, 0, 0)
        assert await bodies(service) == before
        assert (await loaded(service, out)).counts == (0, 0, 11, 0)
        await export(service.context.store, again, types)
    for file in out.iterdir():
        one, two = (sorted(map(unstamped, path.read_text().splitlines())) for path in (file, again / file.name))
        assert one == two


def unstamped(line: str) -> str:
    resource = json.loads(line)
    del resource["meta"]["versionId"], resource["meta"]["lastUpdated"]
    return json.dumps(resource)


async def test_export_writes_the_bytes_as_they_are_stored(place: Place) -> None:
    async with place.open() as service:
        await fill(service, place)
        await export(service.context.store, place.folder / "out", ["Location"])
        stored = await service.context.store.read((await whole_log(service))[-1].changes[0].key)
        assert stored is not None
        [location] = [one for it in await whole_log(service) for one in it.changes if one.key.type == "Location"]
        assert (place.folder / "out" / "Location.ndjson").read_bytes() == (location.body or b"") + b"\n"


async def test_export_replaces_what_an_earlier_one_left_and_nothing_else(place: Place) -> None:
    out = place.folder / "out"
    place.write("out/Slot.ndjson", "stale")
    place.write("out/Organization.ndjson", "stale")
    place.write("out/Patient.ndjson", "of another choice")
    place.write("out/mine.txt", "kept")
    async with place.open() as service:
        await put(service, organization("A", "a"))
        done = await export(service.context.store, out, ["Organization", "Slot"])
    assert done.resources == {"Organization": 1}
    assert {path.name for path in out.iterdir()} == {"Organization.ndjson", "Patient.ndjson", "mine.txt"}
    assert (out / "Organization.ndjson").stat().st_mode & 0o777 == 0o600


async def test_export_since_an_instant_has_only_what_was_changed_from_then_on(place: Place) -> None:
    async with place.open() as service:
        await put(service, organization("A", "a"))
        await put(service, organization("B", "b"))
        since = (await whole_log(service))[1].instant
        done = await export(service.context.store, place.folder / "out", ["Organization"], since=since)
        assert done.resources == {"Organization": 1}
        assert b'"id":"b"' in (place.folder / "out" / "Organization.ndjson").read_bytes()


async def test_failed_export_leaves_what_was_there(place: Place) -> None:
    out = place.folder / "out"
    place.write("out/Organization.ndjson", "as it was")

    def fail(_done: int, _total: int) -> None:
        raise RuntimeError

    async with place.open() as service:
        await put(service, organization("A", "a"))
        with pytest.raises(RuntimeError):
            await export(service.context.store, out, ["Organization"], progress=fail)
    assert [path.name for path in out.iterdir()] == ["Organization.ndjson"]
    assert (out / "Organization.ndjson").read_text() == "as it was"


async def test_folder_that_cannot_be_made_is_one_sentence(place: Place) -> None:
    place.write("file", "")
    async with place.open() as service:
        with pytest.raises(CommandFailed, match="cannot be made"):
            await export(service.context.store, place.folder / "file" / "out", ["Organization"])


# --- backup and restore ----------------------------------------------------------------------------------------------


@pytest.fixture
async def file(place: Place) -> Path:
    """A backup of a store with a past."""
    path = place.folder / "backup.gz"
    async with place.open() as service:
        await fill(service, place)
        done = await backup(service.context.store, path, created=0, software="test")
        log = await whole_log(service)
        assert (done.commits, done.changes) == (len(log), sum(len(commit.changes) for commit in log))
        assert done.bytes == path.stat().st_size
        assert await is_well(service)
    return path


async def test_restored_store_has_the_same_history_and_finds_the_same(file: Path, place: Place) -> None:
    async with place.open() as service:
        log = await whole_log(service)
        cursor = f"{public_log_id(await log_id(service))}.{log[-1].number}"
        history = await get(service, "_history")
        versions = await get(service, "Organization/o0/_history")
        assert (await get(service, "_history", f"_after={cursor}"))["type"] == "history"
    async with place.open("new") as service:
        own = await log_id(service)
        done = await restore(service.context, verify(file), tell=print)
        assert (done.commits, done.found, done.log) == (len(log), 0, own)
        assert own == await log_id(service) != verify(file).header.log_id
        assert bare(await whole_log(service)) == bare(log)
        assert await is_well(service)
        assert entries_of(await get(service, "_history")) == entries_of(history)
        assert entries_of(await get(service, "Organization/o0/_history")) == entries_of(versions)
        assert (await get(service, "Patient", "family=ete"))["total"] == 2
        with pytest.raises(Gone):
            await get(service, "_history", f"_after={cursor}")
        await put(service, organization("goes on", "new"))
        assert (await whole_log(service))[-1].number == len(log) + 1


def entries_of(bundle: dict[str, object]) -> object:
    return bundle["entry"]


async def log_id(service: Service) -> str:
    async with service.context.store.snapshot() as snapshot:
        return snapshot.head.log_id


async def test_empty_store_is_backed_up_and_restored(place: Place) -> None:
    async with place.open() as service:
        await backup(service.context.store, place.folder / "b.gz", created=0, software="test")
    async with place.open("new") as service:
        assert (await restore(service.context, verify(place.folder / "b.gz"), tell=print)).commits == 0
        assert await is_well(service)


async def test_restore_into_a_store_with_other_content_is_refused(file: Path, place: Place) -> None:
    async with place.open("new") as service:
        await put(service, organization("other", "other"))
        before = await whole_log(service)
        with pytest.raises(CommandFailed, match="not empty: it holds 1 commits"):
            await restore(service.context, verify(file), tell=print)
        assert await whole_log(service) == before


async def test_interrupted_restore_goes_on_where_it_stopped(
    file: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.maintenance.appending.CHUNK_CHANGES", 1)

    def stop(done: int, total: int) -> None:
        if done > total // 2 and reading.pop() == 0:
            raise KeyboardInterrupt

    reading = list(range(5))
    async with place.open("new") as service:
        with pytest.raises(KeyboardInterrupt):
            await restore(service.context, verify(file), tell=print, progress=stop)
        found = len(await whole_log(service))
        assert 0 < found < 8
        done = await restore(service.context, verify(file), tell=print)
        assert done.found == found
        assert await is_well(service)
        assert (await restore(service.context, verify(file), tell=print)).found == done.commits
        await put(service, organization("goes on", "new"))
        with pytest.raises(CommandFailed, match="not empty"):
            await restore(service.context, verify(file), tell=print)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def changed(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b"again", b"AGAIN"))


def newer_format(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b'"version":1,', b'"version":9,', 1))


def newer_schema(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b'"schema":1,"created"', b'"schema":9,"created"', 1))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut, "cut"),
        (changed, "checksum"),
        (lambda _data: b"", "no backup of this server"),
        (lambda data: data[:40] + b"\xff\xff\xff" + data[43:], "cannot be restored"),
        (newer_format, "format 9"),
        (newer_schema, "checksum"),
    ],
)
async def test_damaged_backup_is_refused_and_leaves_the_store_empty(
    damage: Callable[[bytes], bytes], sentence: str, file: Path, place: Place
) -> None:
    bad = place.write("bad.gz", damage(file.read_bytes()))  # noqa: ASYNC240
    async with place.open("new") as service:
        with pytest.raises(CommandFailed, match=sentence):
            await restore(service.context, verify(bad), tell=print)
        assert await whole_log(service) == []
        await restore(service.context, verify(file), tell=print)


async def test_backup_that_fails_leaves_the_file_that_was_there(place: Place) -> None:
    path = place.write("b.gz", "yesterday's")

    def fail(_done: int, _total: int) -> None:
        raise RuntimeError

    async with place.open() as service:
        await put(service, organization("A", "a"))
        with pytest.raises(RuntimeError):
            await backup(service.context.store, path, created=0, software="test", progress=fail)
        with pytest.raises(CommandFailed, match="is a folder"):
            await backup(service.context.store, place.folder, created=0, software="test")
    assert path.read_text() == "yesterday's"
    assert [file.name for file in place.folder.glob("*b.gz*")] + [
        file.name for file in place.folder.glob(".*.part")
    ] == ["b.gz"]


async def test_backup_holds_what_was_there_when_it_began(place: Place) -> None:
    path = place.folder / "b.gz"
    async with place.open() as service, place.open() as other:
        for number in range(600):
            await put(service, organization("A", f"a{number}"))

        late = (put(other, organization("late", f"late{number}")) for number in range(20))
        backing_up = asyncio.create_task(backup(service.context.store, path, created=0, software="test"))
        await asyncio.gather(*late)
        assert (await backing_up).commits == 600
    async with place.open("new") as service:
        assert (await restore(service.context, verify(path), tell=print)).commits == 600
