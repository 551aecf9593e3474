"""Definitions from files and packages: written once, again when a file changes, by one of several processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fhir_server import __version__
from fhir_server.definitions.canonical import OURS, VERSION
from fhir_server.definitions.guide import Folder
from fhir_server.definitions.package import read_package
from fhir_server.interactions.context import Context
from fhir_server.interactions.writing.write import Intent, Written
from fhir_server.interactions.writing.write import write as writing
from fhir_server.maintenance import conformance
from fhir_server.maintenance.conformance import store_published
from fhir_server.maintenance.load import Loaded, Refusal
from fhir_server.maintenance.published import Published, of_folder, of_package
from fhir_server.outcome import Conflict, Issue, IssueType
from tests.definitions.packaging import package
from tests.rest.conftest import Serve, Server

Json = dict[str, Any]


def value_set(id_: str, **elements: Any) -> Json:
    return {"resourceType": "ValueSet", "id": id_, "url": f"{OURS}ValueSet/{id_}", "status": "draft", **elements}


def write(folder: Path, *resources: Json) -> Published:
    folder.mkdir(exist_ok=True)
    for resource in resources:
        file = folder / f"{resource['resourceType']}-{resource['id']}.json"
        file.write_text(json.dumps(resource), encoding="utf-8")
    return of_folder(Folder(folder))


async def stored(server: Server, published: Published) -> tuple[Loaded, list[Refusal]]:
    refusals: list[Refusal] = []
    return await store_published(server.service, published, refusals.append), refusals


async def read(server: Server, path: str) -> Json:
    answer = await server.http.get(path)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def test_what_is_published_is_written_in_one_commit_and_then_left_alone(server: Server, folder: Path) -> None:
    ours = write(folder / "ours", value_set("a"), value_set("b"))
    assert (await stored(server, ours))[0] == Loaded(created=2)
    head = await server.service.context.store.head()
    assert head.number == 1
    assert (await stored(server, ours))[0] == Loaded(unchanged=2)
    assert await server.service.context.store.head() == head
    record = await read(server, "ImplementationGuide/cpts")
    references = [entry["reference"]["reference"] for entry in record["definition"]["resource"]]
    assert references == ["ValueSet/a", "ValueSet/b"]
    found = await read(server, f"ValueSet?url={OURS}ValueSet/a")
    assert found["total"] == 1


async def test_what_is_changed_in_the_store_stays_until_its_file_changes(server: Server, folder: Path) -> None:
    ours = write(folder / "ours", value_set("a"), value_set("b"), value_set("c"))
    await stored(server, ours)
    assert (await server.http.put("ValueSet/a", json=value_set("a", title="Du terrain"))).status_code == 200
    assert (await server.http.delete("ValueSet/b")).status_code == 204
    ours = write(folder / "ours", value_set("c", title="Nouveau"))
    assert (await stored(server, ours))[0] == Loaded(updated=1, unchanged=2)
    assert (await read(server, "ValueSet/a"))["title"] == "Du terrain"
    assert (await server.http.get("ValueSet/b")).status_code == 410
    ours = write(folder / "ours", value_set("a", title="De la version 2"), value_set("b", title="De la version 2"))
    assert (await stored(server, ours))[0] == Loaded(created=1, updated=1, unchanged=1)
    assert (await read(server, "ValueSet/a"))["title"] == "De la version 2"
    versions = await read(server, "ValueSet/a/_history")
    assert [entry["resource"].get("title") for entry in versions["entry"]] == ["De la version 2", "Du terrain", None]


async def test_without_the_record_everything_is_written_again(server: Server, folder: Path) -> None:
    ours = write(folder / "ours", value_set("a"), value_set("b"))
    await stored(server, ours)
    await server.http.put("ValueSet/a", json=value_set("a", title="Du terrain"))
    assert (await server.http.delete("ImplementationGuide/cpts")).status_code == 204
    assert (await stored(server, ours))[0] == Loaded(updated=1, unchanged=1)


async def test_a_file_that_is_gone_deletes_nothing(server: Server, folder: Path) -> None:
    ours = write(folder / "ours", value_set("a"), value_set("b"))
    await stored(server, ours)
    (folder / "ours" / "ValueSet-b.json").unlink()
    assert (await stored(server, write(folder / "ours")))[0] == Loaded(unchanged=1)
    assert (await read(server, "ValueSet/b"))["id"] == "b"


async def test_of_processes_that_start_together_one_writes(server: Server, serve: Serve, folder: Path) -> None:
    ours = write(folder / "ours", value_set("a"), value_set("b"))
    async with serve() as second, serve() as third:
        reports = await asyncio.gather(*(stored(one, ours) for one in (server, second, third) for _ in range(3)))
    assert sum(report.created for report, _ in reports) == 2
    for type_ in ("ValueSet", "ImplementationGuide"):
        history = await read(server, f"{type_}/_history")
        assert {entry["resource"]["meta"]["versionId"] for entry in history["entry"]} == {"1"}


async def test_who_comes_late_replaces_nothing_that_was_changed_since(
    server: Server, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = write(folder / "ours", value_set("a"))
    real = writing

    async def late(context: Context, intents: Sequence[Intent]) -> list[Written]:
        monkeypatch.setattr(conformance, "write", real)
        async with serve() as other:
            assert (await stored(other, ours))[0] == Loaded(created=1)
        await server.http.put("ValueSet/a", json=value_set("a", title="Du terrain"))
        return await real(context, intents)

    monkeypatch.setattr(conformance, "write", late)
    assert (await stored(server, ours))[0] == Loaded(unchanged=1)
    assert (await read(server, "ValueSet/a"))["title"] == "Du terrain"


async def test_a_file_that_is_refused_is_told_and_recorded_and_the_others_are_stored(
    server: Server, folder: Path
) -> None:
    bad = value_set("bad", status="nonsense")
    slot = {"resourceType": "Slot", "id": "x", "status": "free"}
    report, refusals = await stored(server, write(folder / "ours", bad, slot, value_set("good")))
    assert report == Loaded(created=1, refused=2)
    assert [refusal.place for refusal in refusals] == [
        f"fr.cpts.fhir#{VERSION}/Slot-x.json",
        f"fr.cpts.fhir#{VERSION}/ValueSet-bad.json",
    ]
    record = await read(server, "ImplementationGuide/cpts")
    assert "ValueSet-bad.json: " in record["description"]
    assert [entry["name"] for entry in record["definition"]["resource"]] == ["ValueSet-good.json"]


async def test_a_moment_that_is_wrong_refuses_nothing_for_good(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = write(folder / "ours", value_set("a"))
    busy = Conflict(Issue(IssueType.CONFLICT, "others changed it", id="moved"))

    async def refused(context: Context, intents: Sequence[Intent]) -> list[Written]:
        if any(intent.type == "ValueSet" for intent in intents):
            raise busy
        return await writing(context, intents)

    with monkeypatch.context() as patch:
        patch.setattr(conformance, "write", refused)
        with pytest.raises(Conflict):
            await stored(server, ours)
    assert (await stored(server, ours))[0] == Loaded(created=1)


async def test_a_file_that_is_refused_keeps_its_resource_and_its_id(server: Server, folder: Path) -> None:
    await stored(server, published(folder, value_set("a")))
    assert (await stored(server, published(folder, value_set("a", status="nonsense"))))[0] == Loaded(refused=1)
    assert (await stored(server, published(folder, value_set("a", status="active"))))[0] == Loaded(updated=1)
    assert (await read(server, f"ValueSet?url={OURS}ValueSet/a"))["total"] == 1


async def test_without_a_place_for_the_record_nothing_is_written(serve: Serve, folder: Path) -> None:
    async with serve(types=("Organization", "ValueSet")) as server:
        report, refusals = await stored(server, write(folder / "ours", value_set("a")))
        assert report == Loaded(refused=1)
        assert "ImplementationGuide is no conformance resource that is served" in refusals[0].issues[0].diagnostics
        assert (await server.service.context.store.head()).number == 0


async def test_our_own_search_parameters_are_stored_without_a_reindex_and_hold_as_before(server: Server) -> None:
    everything = {name: resource for name, resource in Folder().resources() if name.startswith("SearchParameter-")}
    ours = Published("cpts", "fr.cpts.fhir", "1", "x", "mark", everything.items, has_ids=True)
    report, refusals = await stored(server, ours)
    assert (report.created, refusals) == (len(everything), [])
    registry = (await server.service.context.followed()).registry
    assert registry.installed.parameters == ()
    assert registry.changed == 0
    assert (await server.http.get("Slot?service-type-reference=HealthcareService/x")).status_code == 200
    own = everything["SearchParameter-slot-service-type-reference.json"]
    changed = {**own, "expression": own["expression"] + ".where(reference.exists())"}
    assert (await server.http.put(f"SearchParameter/{own['id']}", json=changed)).status_code == 200
    registry = (await server.service.context.followed()).registry
    assert [one.code for one in registry.installed.parameters] == ["service-type-reference"]
    assert (await server.http.delete(f"SearchParameter/{own['id']}")).status_code == 204
    assert (await server.http.get("Slot?service-type-reference=HealthcareService/x")).status_code in {200, 400}


# --- packages --------------------------------------------------------------------------------------------------------


def published(folder: Path, *resources: Json, **manifest: Any) -> Published:
    return of_package(read_package(package(folder / "x.tgz", *resources, **manifest)))


async def test_two_versions_of_a_package_stand_beside_each_other(server: Server, folder: Path) -> None:
    first = published(folder, value_set("a", version="1"))
    await stored(server, first)
    second = published(folder, value_set("a", version="2"), version="2.0.0")
    assert (await stored(server, second))[0] == Loaded(created=1)
    found = await read(server, f"ValueSet?url={OURS}ValueSet/a&_sort=version")
    assert [entry["resource"]["version"] for entry in found["entry"]] == ["1", "2"]
    assert found["entry"][0]["resource"]["id"] == "a"
    assert found["entry"][1]["resource"]["id"].startswith("a-")
    assert (await read(server, "ImplementationGuide/fictif.fhir-2.0.0"))["version"] == "2.0.0"
    again = published(folder, value_set("a", version="2", title="Refait"), version="2.0.0")
    assert (await stored(server, again))[0] == Loaded(updated=1)
    assert (await read(server, f"ValueSet?url={OURS}ValueSet/a"))["total"] == 2


async def test_ids_that_are_none_or_stand_twice_are_made_of_package_and_url(server: Server, folder: Path) -> None:
    long = value_set("x" * 70)
    made = Published(
        "p", "p", "1", "P", "mark", {"1": long, "2": value_set("a"), "3": value_set("a", url="urn:b")}.items
    )
    report, refusals = await stored(server, made)
    assert (report.created, refusals) == (3, [])
    record = await read(server, "ImplementationGuide/p")
    ids = [entry["reference"]["reference"].removeprefix("ValueSet/") for entry in record["definition"]["resource"]]
    assert ids[1] == "a"
    assert ids[0].startswith("x" * 55 + "-")
    assert ids[2].startswith("a-")
    assert all(len(id_) <= 64 for id_ in ids)


async def test_a_resource_that_somebody_else_has_written_is_never_replaced_by_a_package(
    server: Server, folder: Path
) -> None:
    await server.http.put("ValueSet/a", json=value_set("a", title="Du terrain"))
    assert (await stored(server, published(folder, value_set("a"))))[0] == Loaded(created=1)
    assert (await read(server, "ValueSet/a"))["title"] == "Du terrain"


# --- the start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update_create", [True, False])
async def test_a_start_stores_our_definitions_and_the_packages_of_the_folder(
    serve: Serve,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    update_create: bool,
) -> None:
    packages = folder / "packages"
    packages.mkdir()
    package(packages / "good.tgz", value_set("of-the-package"))
    (packages / "hostile.tgz").write_bytes(b"nothing")
    settings = {"packages": str(packages), "update_create": update_create, "integrity": "enforce"}
    async with serve(**settings) as server:
        assert (await read(server, "ValueSet/of-the-package"))["status"] == "draft"
        assert (await server.http.get("StructureDefinition?_summary=count")).json()["total"] == 0
        head = await server.service.context.store.head()
    assert "the package hostile.tgz is refused" in caplog.text
    monkeypatch.delattr("fhir_server.maintenance.installing.store_published")
    async with serve(**settings) as server:  # a package that is known is not even unpacked
        assert await server.service.context.store.head() == head


async def test_our_definitions_are_found_by_their_url(serve: Serve) -> None:
    async with serve(definitions=True) as server:
        found = await read(server, f"StructureDefinition?url={OURS}StructureDefinition/cpts-slot")
        assert [entry["resource"]["id"] for entry in found["entry"]] == ["cpts-slot"]
        record = await read(server, "ImplementationGuide/cpts")
        assert record["version"] == __version__
        assert "description" not in record
        assert len(record["definition"]["resource"]) == len(list(Folder().resources()))
        assert (await server.service.context.followed()).registry.changed == 0
