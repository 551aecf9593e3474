"""Pure code run against the library: what it asks for is read, what it used is known, what is not there too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.app import build_service, open_engine
from fhir_server.definitions.library import Library
from fhir_server.interactions.context import Context
from fhir_server.interactions.library import Consulted, consult, consult_each
from fhir_server.interactions.shelf import AHEAD, Shelf
from fhir_server.interactions.writing.write import Intent, write
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest
from fhir_server.settings import Settings
from tests.rest.conftest import parts


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    settings = Settings(store=f"sqlite:{tmp_path / 'store.db'}")
    store = open_engine(settings, parts().clock)
    await store.open()
    service = build_service(settings, store, parts())
    yield service.context
    await store.close()


async def put(context: Context, id_: str, url: str, **more: Any) -> None:
    resource = {"resourceType": "ValueSet", "id": id_, "url": url, "status": "active", **more}
    await write(context, [Intent(Interaction.UPDATE, "ValueSet", id=id_, resource=resource)])


async def consulted(context: Context, work: Any) -> Consulted[Any]:
    async with context.store.snapshot() as snapshot:
        return await consult(context, snapshot, work)


def follow(start: str) -> Any:
    """Return work that goes from one value set to the one that it names, to the last."""

    def work(library: Library) -> list[str]:
        found, url = [], start
        while (one := library.find(url)) is not None:
            found.append(one["id"])
            url = one.get("title", "http://none")
        return found

    return work


async def test_work_runs_until_nothing_new_is_asked_for(context: Context) -> None:
    await put(context, "a", "http://a", title="http://b|2")
    await put(context, "b", "http://b", version="1")
    await put(context, "c", "http://b", version="2", title="http://d")
    found = await consulted(context, follow("http://a"))
    assert found.answer == ["a", "c"]
    assert found.versions == {Key("ValueSet", "a"): 1, Key("ValueSet", "c"): 1}
    assert found.missing == {"http://d"}


async def test_what_is_current_is_found_and_kept_parsed(context: Context) -> None:
    await put(context, "a", "http://a")
    await put(context, "a", "http://a", name="Other")
    found = await consulted(context, lambda library: library.find("http://a"))
    assert found.answer["name"] == "Other"
    assert found.versions == {Key("ValueSet", "a"): 2}
    again = await consulted(context, lambda library: library.find("http://a"))
    assert again.answer is found.answer
    await write(context, [Intent(Interaction.DELETE, "ValueSet", id="a")])
    assert (await consulted(context, lambda library: library.find("http://a"))).missing == {"http://a"}


async def test_what_is_stored_comes_before_what_comes_with_r4(context: Context) -> None:
    url = "http://hl7.org/fhir/ValueSet/days-of-week"
    found = await consulted(context, lambda library: library.find(url))
    assert found.answer["publisher"] == "HL7"
    assert found.versions == {}
    await put(context, "days", url)
    assert (await consulted(context, lambda library: library.find(url))).answer["id"] == "days"


async def test_value_set_that_only_its_code_system_names_has_all_codes(context: Context) -> None:
    for version in ("1", "2"):
        system = {
            "resourceType": "CodeSystem",
            "id": f"s{version}",
            "url": "urn:s",
            "version": version,
            "valueSet": "urn:all",
            "status": "active",
            "content": "complete",
        }
        await write(context, [Intent(Interaction.UPDATE, "CodeSystem", id=f"s{version}", resource=system)])
    found = await consulted(context, lambda library: library.find("urn:all", "ValueSet"))
    assert found.answer["compose"] == {"include": [{"system": "urn:s", "version": "2"}]}
    assert found.versions == {Key("CodeSystem", "s2"): 1}
    old = await consulted(context, lambda library: library.find("urn:all|1"))
    assert old.answer["version"] == "1"
    assert (await consulted(context, lambda library: library.find("urn:all", "CodeSystem"))).missing == {"urn:all"}
    await put(context, "own", "urn:all")
    assert (await consulted(context, lambda library: library.find("urn:all"))).answer["id"] == "own"


async def test_refusal_of_the_work_counts_once_all_is_there(context: Context) -> None:
    await put(context, "a", "http://a")

    def work(library: Library) -> str:
        if library.find("http://a") is None:
            raise BadRequest("not there")
        return "there"

    assert (await consulted(context, work)).answer == "there"
    await write(context, [Intent(Interaction.DELETE, "ValueSet", id="a")])
    with pytest.raises(BadRequest, match="not there"):
        await consulted(context, work)


async def test_work_that_asks_without_end_is_refused(context: Context) -> None:
    def work(library: Library) -> None:
        for number in range(3_000):
            library.find(f"http://x/{number}")

    with pytest.raises(BadRequest, match="more than 2000 conformance resources"):
        await consulted(context, work)


async def test_shelf_keeps_what_was_used_last(context: Context) -> None:
    for name in "abc":
        await put(context, name, f"http://{name}", name=name * 1_000)
    shelf = Shelf(2_500)
    stored = await context.store.read(Key("ValueSet", "a"))
    other = await context.store.read(Key("ValueSet", "b"))
    last = await context.store.read(Key("ValueSet", "c"))
    assert stored and other and last
    first = await shelf.take(stored)
    second = await shelf.take(other)
    assert await shelf.take(stored) is first
    await shelf.take(last)
    assert await shelf.take(stored) is first
    assert await shelf.take(other) is not second


async def test_pieces_of_work_share_what_was_read_and_what_is_read_ahead(context: Context) -> None:
    await put(context, "a", "http://a", title="http://b")
    await put(context, "b", "http://b")
    runs: list[str] = []

    def piece(start: str) -> Any:
        def work(library: Library) -> Any:
            runs.append(start)
            return follow(start)(library)

        return work

    works = [piece("http://a"), piece("http://b"), piece("http://a")]
    async with context.store.snapshot() as snapshot:
        first = await consult_each(context, snapshot, works)
        assert runs == ["http://a"] * 4 + ["http://b", "http://a"]
        runs.clear()
        second = await consult_each(context, snapshot, works, ahead=first.asked)
        assert runs == ["http://a", "http://b", "http://a"]
    assert first == second
    assert first.answer == [["a", "b"], ["b"], ["a", "b"]]
    assert first.versions == {Key("ValueSet", "a"): 1, Key("ValueSet", "b"): 1}
    assert first.missing == {"http://none"}
    assert first.asked == {(url, None) for url in ("http://a", "http://b", "http://none")}


def test_shelf_remembers_what_is_asked_for_together_within_bounds() -> None:
    shelf = Shelf()
    assert shelf.ahead("a") == frozenset()
    shelf.remember("a", frozenset({("http://a", "ValueSet")}))
    shelf.remember("a", frozenset((str(number), None) for number in range(AHEAD + 1)))
    assert shelf.ahead("a") == {("http://a", "ValueSet")}
    for number in range(AHEAD):
        shelf.remember(f"{number}", frozenset({("http://b", None)}))
    assert shelf.ahead("0") == {("http://b", None)}
    assert shelf.ahead(f"{AHEAD - 1}") == frozenset()
