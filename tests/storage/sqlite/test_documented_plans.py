"""Each form that ``docs/search.md`` marks *indexed* reads one range of an index, each *scanned* one all of its type.

The forms are the examples of its table, so neither it nor the plans can drift. One resource of each type is found by
each of them: a parameter that no resource has would be answered without a look at any index.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from fhir_server.definitions.registry import Registry
from fhir_server.model.primitives import interval
from fhir_server.model.reference import Key
from fhir_server.search.index import Indexer
from fhir_server.search.plan import plan
from fhir_server.search.query import Page, Query
from fhir_server.search.request import parse_search
from fhir_server.search.value_sets import with_codes
from fhir_server.search.values import PREFIXES, TokenValue
from fhir_server.settings import PARIS
from fhir_server.storage.sqlite import SqliteStore
from tests.docs.reading import BASE, DOCS, code, rows
from tests.storage.sqlite.recording import Recorder
from tests.storage.writing import FixedClock, put_all

FEATURES: Final = [row for row in rows(DOCS / "search.md", "## Types and modifiers") if row[3] != "refused"]
PREFIXED: Final = ("Slot?start={}2026-01-13", "RiskAssessment?probability={}0.5", "Observation?value-quantity={}60")
RESOURCES: Final[list[dict[str, Any]]] = json.loads((Path(__file__).parent / "documented.json").read_text("utf-8"))
NOTHING_MATCHES: Final = frozenset(("true", "busy"))
"""Values of the examples that the resources do not have."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load([*Registry.load().types, "Observation", "RiskAssessment"])


@pytest.fixture(scope="module")
def path(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("documented") / "store.db"
    indexer = Indexer(registry, PARIS, (BASE,))

    async def fill() -> None:
        store = SqliteStore(file, clock=FixedClock())
        await store.open()
        await put_all(store, {Key(each["resourceType"], each["id"]): indexer.entries(each) for each in RESOURCES})
        await store.close()

    asyncio.run(fill())
    return file


SPECIALTIES = "http://example.org/s"


@pytest.fixture
def recorder(path: Path) -> Iterator[Recorder]:
    recorder = Recorder(path)
    yield recorder
    recorder.close()


def found(recorder: Recorder, registry: Registry, form: str) -> int:
    """Run a search; return how many it finds."""
    type_, _, pair = form.partition("?")
    name, _, value = pair.partition("=")
    codes = [TokenValue(SPECIALTIES, "SM54" if name.endswith(":in") else "SM26")]
    request = with_codes(parse_search(registry, (type_,), [(name, value)]), lambda _: codes)
    query: Query = plan(request, registry, PARIS, (BASE,), interval("2026-01-05", PARIS)[0])
    return recorder.search(query, Page(10))


@pytest.mark.parametrize("row", FEATURES, ids=lambda row: f"{row[0]}{row[1]} {row[4]}")
def test_form_is_read_as_its_mark_says(recorder: Recorder, registry: Registry, row: list[str]) -> None:
    *_, how, example = row
    (form,) = code(example)
    assert found(recorder, registry, form) == (0 if form.rpartition("=")[2] in NOTHING_MATCHES else 1)
    assert recorder.reads_all() == (how == "scanned")
    if how == "indexed":
        recorder.assert_searches()


@pytest.mark.parametrize(("prefix", "form"), list(product(PREFIXES, PREFIXED)))
def test_each_prefix_is_indexed(recorder: Recorder, registry: Registry, prefix: str, form: str) -> None:
    found(recorder, registry, form.format(prefix))
    assert recorder.statements
    assert not recorder.reads_all()
    recorder.assert_searches()
