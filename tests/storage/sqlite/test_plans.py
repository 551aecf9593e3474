"""The statements behind the forms that are marked indexed: none scans a type, none sorts what an index has sorted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_server.model.reference import Key
from fhir_server.search.query import (
    EVERYTHING,
    NOTHING,
    RECORD_SEPARATOR,
    And,
    Bounds,
    Equal,
    Equality,
    Ids,
    IndexEntry,
    Keys,
    Near,
    Node,
    Not,
    Or,
    Page,
    Point,
    Present,
    Query,
    References,
    ReferredBy,
    SortBy,
    Span,
    Spans,
    StartsWith,
    Text,
    TextIs,
    TextStarts,
    Updated,
)
from fhir_server.storage.protocol import Planned, View
from fhir_server.storage.sqlite import SqliteStore
from fhir_server.storage.sqlite.choosing import Effort
from fhir_server.storage.sqlite.pruning import Pruning
from tests.storage.sqlite.recording import Recorder
from tests.storage.writing import START, FixedClock, body, following, put_all

HOUR = 3_600_000_000
SLOTS = 3_000


def slot(number: int) -> tuple[IndexEntry, ...]:
    schedule, start = f"Schedule/{number % 100}", START + number // 100 * HOUR
    status = "free" if number % 2 else "busy"
    return (
        Equality("schedule", schedule),
        Equality("status", f"{status}\x1fs"),
        Equality("identifier", f"{number}\x1furn:x"),
        Text("name", f"name {number % 500:04d}", f"Name {number}"),
        Span("start", "", start, start + 1),
        Span("schedule+start", schedule, start, start + 1),
        Span("schedule+status+start", f"{schedule}{RECORD_SEPARATOR}{status}\x1fs", start, start + 1),
        Point("near", 40 + number / 1000, 5.0),
    )


INSIDE = (
    Equality("schedule:Schedule.actor:Practitioner.identifier", "7\x1frpps"),
    Equality("status", "free\x1fs"),
    Span("start", "", START + HOUR, START + HOUR + 1),
)
"""A slot that contains its agenda, and whose agenda that is."""

TIMELESS = (Equality("schedule", "Schedule/10"), Equality("status", "free\x1fs"))
"""A slot without a start, so without a compound."""


async def fill(file: Path) -> None:
    store = SqliteStore(file, clock=FixedClock())
    await store.open()
    await put_all(store, {Key("Schedule", str(n)): (Equality("actor", f"Practitioner/{n}"),) for n in range(100)})
    await put_all(store, {Key("Practitioner", str(n)): (Equality("identifier", f"{n}\x1frpps"),) for n in range(100)})
    await put_all(store, {Key("Slot", str(n)): slot(n) for n in range(SLOTS)})
    await put_all(store, {Key("Slot", "inside"): INSIDE, Key("Slot", "timeless"): TIMELESS})
    await store.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plans") / "store.db"
    asyncio.run(fill(file))
    return file


@pytest.fixture
def recorder(path: Path) -> Iterator[Recorder]:
    recorder = Recorder(path)
    yield recorder
    recorder.close()


FREE = "free\x1fs"
WHO = tuple(f"{n}\x1frpps" for n in range(25))
PRACTITIONERS = References("Practitioner", Equal("identifier", WHO))
WINDOW = Spans("start", (Bounds(low_from=START, low_below=START + 3 * HOUR),), None, 1)
SAS = Spans(
    "schedule+status+start", WINDOW.any_of, Keys((References("Schedule", Equal("actor", PRACTITIONERS)), (FREE,))), 1
)


def beside_contained(practitioner: str) -> Node:
    """Return the SAS query as it is planned: an agenda, or whose it is, may be contained."""
    contained = Equal(f"actor:Practitioner.{practitioner}", WHO)
    schedules = References("Schedule", Or((Equal("actor", PRACTITIONERS), contained)))
    agenda = Or(
        (
            Equal("schedule:Schedule.actor", PRACTITIONERS),
            Equal(f"schedule:Schedule.actor:Practitioner.{practitioner}", WHO),
        )
    )
    compound = Spans("schedule+status+start", WINDOW.any_of, Keys((schedules, (FREE,))), 1)
    return Or((compound, And((agenda, WINDOW, Equal("status", (FREE,))))))


FROM = Spans("start", (Bounds(high_above=START + 5 * HOUR),), None, 1)
BY_START = (SortBy("start", "span"),)

FILTERS: dict[str, tuple[Node, int]] = {
    "the SAS query": (SAS, 36),
    "the SAS query beside what is contained": (beside_contained("identifier"), 37),
    "the SAS query beside what nothing contains": (beside_contained("none"), 36),
    "one value": (Equal("identifier", ("7\x1furn:x",)), 1),
    "several values": (Equal("identifier", tuple(f"{n}\x1furn:x" for n in range(60))), 60),
    "a code in any system": (StartsWith("identifier", ("7\x1f", "8\x1f")), 2),
    "start of a text": (TextStarts("name", ("name 0007",)), 6),
    "an exact text": (TextIs("name", (("name 0007", "Name 7"),)), 1),
    "a span": (Spans("start", (Bounds(low_from=START, low_below=START + 1),), None, 1), 100),
    "an end": (Spans("start", (Bounds(high_above=START + 28 * HOUR + 1),), None), 100),
    "a place": (Near("near", ((40.0, 5.0, 1_000.0),)), 9),
    "ids": (Ids(("1", "2", "none")), 2),
    "an instant": (Updated((Bounds(low_from=START + 1_000_000),)), 0),
    "an alternative": (Or((Equal("identifier", ("7\x1furn:x",)), Ids(("8",)))), 2),
    "a narrow and wide ones": (
        And((Not(Equal("status", ("none",))), FROM, Equal("status", (FREE,)), Ids(("2999",)))),
        1,
    ),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("sort", [(), BY_START], ids=["unsorted", "sorted"])
def test_a_selective_filter_scans_nothing(recorder: Recorder, name: str, sort: tuple[SortBy, ...]) -> None:
    where, expected = FILTERS[name]
    assert recorder.search(Query(("Slot",), where, sort), Page(100)) == expected
    recorder.assert_searches()
    assert all("resource_type" not in statement for statement in recorder.statements), "read all of a type"


def test_what_nothing_has_is_not_asked_for(recorder: Recorder) -> None:
    """A chain may end in a contained resource; where there is none the query is the one that nobody asked that of."""
    names = recorder.reader.reading.names
    slots = names.type("Slot")
    assert slots is not None
    probed: list[Node] = []

    def probe(_type: int, node: Node) -> bool:
        probed.append(node)
        return True

    def pruned(node: Node) -> Node:
        return Pruning(names, probe).pruned(node, slots)

    assert pruned(beside_contained("none")) == SAS
    absent: tuple[Node, ...] = (
        Equal("none", ("x",)),
        Equal("schedule", References("None", EVERYTHING)),
        Equal("schedule", References("Schedule", StartsWith("none", ("x",)))),
        TextStarts("schedule", ("x",)),
        Near("start", ((0.0, 0.0, 1.0),)),
        Present("none"),
        ReferredBy("None", "slot", EVERYTHING),
        ReferredBy("Schedule", "none", EVERYTHING),
        ReferredBy("Schedule", "actor", Present("none")),
        Spans("schedule+status+start", WINDOW.any_of, Keys((References("None", EVERYTHING), (FREE,)))),
        And((WINDOW, Equal("none", ("x",)))),
        Not(Or((WINDOW, Not(Equal("none", ("x",)))))),
    )
    for node in absent:
        assert pruned(node) == NOTHING, node
        assert pruned(Not(node)) == EVERYTHING, node
        assert pruned(Or((node, WINDOW))) == WINDOW
    for node in (WINDOW, SAS, Ids(("a",)), Updated(()), Not(Present("start"))):
        assert pruned(node) == node
    assert probed == []
    contained = Equal("schedule:Schedule.actor:Practitioner.identifier", WHO)
    assert pruned(contained) == contained
    assert probed == [contained]


def test_what_is_contained_elsewhere_costs_one_look(recorder: Recorder) -> None:
    """Some slot contains its agenda, but not the agenda of one of those who are asked for."""
    others = tuple(f"{n}\x1frpps" for n in range(10, 12))
    where = Or((SAS, And((Equal("schedule:Schedule.actor:Practitioner.identifier", others), WINDOW))))
    assert recorder.search(Query(("Slot",), where), Page(100)) == 36
    looks = [statement for statement in recorder.statements if "count(" in statement]
    assert len(looks) == 1
    assert "LIMIT 1" in looks[0]


def test_compound_whose_keys_are_too_many_gives_way_to_what_it_stands_for(recorder: Recorder) -> None:
    recorder.plan_with(Effort(staged=10))
    assert isinstance(SAS, Spans)
    compound = replace(SAS, codes=("schedule", "status", "start"))
    for node in (compound, Or((compound, Ids(("2999",))))):
        expected = 36 if isinstance(node, Spans) else 37
        assert recorder.search(Query(("Slot",), node), Page(100)) == expected
        assert any("INDEXED BY span_value" in statement for statement in recorder.statements)
        recorder.assert_searches()


def test_only_way_is_not_measured(recorder: Recorder) -> None:
    assert recorder.search(Query(("Slot",), SAS), Page(10)) == 10
    assert not any("count(" in statement for statement in recorder.statements)


def test_count_that_follows_a_search_reads_nothing_again(recorder: Recorder) -> None:
    planner_ = recorder.reader.planner
    recorder.search(Query(("Slot",), SAS), Page(10))
    recorder.statements.clear()
    recorder.reader.connection.set_trace_callback(recorder.statements.append)
    assert planner_.count(Query(("Slot",), SAS, BY_START)) == 36
    assert recorder.statements == []
    planner_.begin(1)
    assert planner_.count(Query(("Slot",), SAS)) == 36
    assert recorder.statements
    recorder.reader.connection.set_trace_callback(None)


@pytest.mark.parametrize("sort", [(), BY_START], ids=["unsorted", "sorted"])
def test_pages_of_few_matches_are_those_of_many(recorder: Recorder, sort: tuple[SortBy, ...]) -> None:
    query = Query(("Slot",), SAS, sort)

    def pages() -> list[list[str]]:
        planner_ = recorder.reader.planner
        planner_.begin(1)
        found = planner_.search(query, Page(10))
        read = [[match.stored.key.id for match in found.matches]]
        while found.more:
            found = planner_.search(query, Page(10, after=found.matches[-1].cursor))
            read.append([match.stored.key.id for match in found.matches])
        back = planner_.search(query, Page(10, before=found.matches[0].cursor))
        return [*read, [match.stored.key.id for match in back.matches]]

    few = pages()
    assert [len(page) for page in few] == [10, 10, 10, 6, 10]
    assert few[-1] == few[-3]
    recorder.plan_with(Effort(bounds=(1, 2)))
    assert pages() == few


def test_reverse_chains_scan_nothing(recorder: Recorder) -> None:
    where = And(
        (
            ReferredBy("Slot", "schedule", FROM),
            ReferredBy("Slot", "schedule", Equal("status", (FREE,))),
            Equal("actor", References("Practitioner", Equal("identifier", ("7\x1frpps", "8\x1frpps")))),
        )
    )
    assert recorder.search(Query(("Schedule",), where), Page(100)) == 1
    recorder.assert_searches()


@pytest.mark.parametrize("also", [EVERYTHING, Equal("status", (FREE,))], ids=["alone", "and more"])
@pytest.mark.parametrize("at", range(4))
def test_what_refers_with_a_span_is_one_range_of_its_compound(recorder: Recorder, also: Node, at: int) -> None:
    """However long an agenda is: whether it has a slot in a window is one look at it."""
    bounds = (
        Bounds(low_from=START + 29 * HOUR),
        Bounds(low_below=START + HOUR),
        Bounds(high_above=START + 29 * HOUR),
        Bounds(low_from=START + 30 * HOUR),
    )[at]
    where = And((Spans("start", (bounds,), None, 1), also))
    asked = Ids(("7", "8"))
    slowly = recorder.reader.planner.count(Query(("Schedule",), And((asked, ReferredBy("Slot", "schedule", where)))))
    recorder.reader.planner.begin(1)
    quickly = And((asked, ReferredBy("Slot", "schedule", where, "schedule+start")))
    assert (
        recorder.search(Query(("Schedule",), quickly), Page(10))
        == slowly
        == (0 if at == 3 else 1 + (also == EVERYTHING))
    )
    recorder.assert_searches()
    (details,) = [
        [detail for of, detail in recorder.plans() if of == each] for each in recorder.statements if "EXISTS" in each
    ]
    assert any("USING COVERING INDEX span_value (field=? AND key=? AND low" in detail for detail in details), details


@pytest.mark.parametrize("also", [EVERYTHING, Equal("identifier", ("7\x1furn:x",))], ids=["alone", "and more"])
@pytest.mark.parametrize("values", [(FREE,), (FREE, "busy\x1fs"), ("none\x1fs",)], ids=["one", "two", "none"])
def test_what_refers_with_a_value_is_one_key_of_its_compound(
    recorder: Recorder, also: Node, values: tuple[str, ...]
) -> None:
    """However many busy slots an agenda has: whether it has a free one is one look at it. One without start counts."""
    where = And((Equal("status", values), also))
    asked = Ids(("7", "8", "10"))
    slowly = recorder.reader.planner.count(Query(("Schedule",), And((asked, ReferredBy("Slot", "schedule", where)))))
    recorder.reader.planner.begin(1)
    quickly = And((asked, ReferredBy("Slot", "schedule", where, "schedule+status+start")))
    expected = 0 if values[0] != FREE else 1 if also != EVERYTHING else 1 + len(values)
    assert recorder.search(Query(("Schedule",), quickly), Page(10)) == slowly == expected
    recorder.assert_searches()
    statements = [each for each in recorder.statements if "EXISTS" in each]
    assert statements
    for statement in statements:
        found, each = statement.find("span s"), statement.find("INDEXED BY equality_value")
        assert 0 < found < each, "the key is looked up before each is looked at"
        details = [detail for of, detail in recorder.plans() if of == statement]
        assert any("USING COVERING INDEX span_value (field=? AND key=?)" in detail for detail in details), details


WALKS: dict[str, tuple[Node, tuple[SortBy, ...]]] = {
    "everything": (EVERYTHING, ()),
    "one wide value": (Equal("status", (FREE,)), ()),
    "by a span": (EVERYTHING, BY_START),
    "by a span, from a place in it": (FROM, BY_START),
    "by the end of a span": (FROM, (SortBy("start", "span", descending=True),)),
    "by a text": (EVERYTHING, (SortBy("name", "text"),)),
    "by a code": (EVERYTHING, (SortBy("status", "equality", descending=True),)),
    "by id": (EVERYTHING, (SortBy("_id", "id"),)),
    "by instant": (EVERYTHING, (SortBy("_lastUpdated", "updated", descending=True),)),
    "by a code, then by a span": (EVERYTHING, (SortBy("status", "equality"), *BY_START)),
    "by what none has, then by a span": (EVERYTHING, (SortBy("none", "text"), *BY_START)),
}


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_sorts_nothing(recorder: Recorder, name: str) -> None:
    recorder.plan_with(Effort(bounds=(100, 200)))
    where, sort = WALKS[name]
    query = Query(("Slot",), where, sort)
    assert recorder.search(query, Page(10)) == 10
    match = recorder.reader.planner.search(query, Page(1)).matches[0]
    assert recorder.search(query, Page(10, after=match.cursor)) == 10
    for statement, detail in recorder.plans():
        assert "USE TEMP B-TREE" not in detail or "WHERE 0) c" in statement, f"{detail}: {statement}"


async def test_a_plan_reads_at_the_head_by_the_same_statements(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", clock=FixedClock())
    await store.open()

    async def plan(view: View) -> Planned[int]:
        assert await view.matching("Slot", Ids(("a",)), 1) == ()
        return Planned([following(None, Key("Slot", "a"), body())], await view.count(Query(("Slot",))))

    assert (await store.commit(plan)).answer == 0
    await store.close()
