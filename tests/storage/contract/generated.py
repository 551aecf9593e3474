"""Resources and queries at random, dense enough that they often meet."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from fhir_server.search.query import (
    HIGHEST,
    LOWEST,
    RECORD_SEPARATOR,
    UNIT_SEPARATOR,
    And,
    Bounds,
    EndsWith,
    Equal,
    Equality,
    Ids,
    IndexEntry,
    Keys,
    Near,
    Node,
    Not,
    Or,
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
    TextContains,
    TextIs,
    TextStarts,
    Updated,
)
from tests.storage.writing import START

TYPES: Final = ("Slot", "Schedule", "Practitioner", "Location")
IDS: Final = ("1", "2", "3", "a%b", "A_B")
PARAMETERS: Final = ("p", "q")
CODES: Final = (f"free{UNIT_SEPARATOR}s", f"free{UNIT_SEPARATOR}t", f"busy{UNIT_SEPARATOR}s", "", "%", "a'b", "é")
WORDS: Final = ("mar", "marie", "maria", "z", "%", "_", "", "\U0010ffff", "\ud7ff")

types = st.sampled_from(TYPES)
parameters = st.sampled_from(PARAMETERS)
ids = st.sampled_from(IDS)
texts = st.builds(lambda type_, id_: f"{type_}/{id_}", types, ids)
values = st.sampled_from(CODES) | texts
words = st.sampled_from(WORDS)
numbers = st.integers(-3, 6) | st.sampled_from([LOWEST, HIGHEST, 1.5, -0.25])
places = st.tuples(st.sampled_from([47.2, 47.25, 48.0, -89.9]), st.sampled_from([6.0, 6.02, 179.9, -179.9]))
compound_keys = st.builds(lambda one, two: one + RECORD_SEPARATOR + two, texts, st.sampled_from(CODES[:3]))
keys = st.sampled_from(["", "kg"]) | compound_keys

entries: st.SearchStrategy[IndexEntry] = st.one_of(
    st.builds(Equality, parameters, values),
    st.builds(
        lambda p, folded, upper: Text(p, folded, folded.upper() if upper else folded), parameters, words, st.booleans()
    ),
    st.builds(
        lambda p, key, low, width: Span(p, key, low, low + width),
        parameters,
        keys,
        st.integers(-3, 5),
        st.integers(1, 3),
    ),
    st.builds(lambda p, low: Span(p, "", low, HIGHEST), parameters, st.integers(-3, 5)),
    st.builds(lambda p, where: Point(p, *where), parameters, places),
)
resources = st.dictionaries(st.tuples(types, ids), st.lists(entries, max_size=6).map(tuple), min_size=1, max_size=20)
bounds = st.builds(Bounds, *[st.none() | numbers] * 4)
instants = st.builds(Bounds, *[st.none() | st.integers(-2, 4).map(lambda n: START + n * 500)] * 4)


def several(of: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(of, max_size=3).map(tuple)


def references(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[References]:
    return st.builds(References, types, nodes)


def spans(parameter: str, any_of: tuple[Bounds, ...], chosen: tuple[str, ...] | Keys | None, *, known: bool) -> Spans:
    """A width is told only where it is true: here, of spans that are not open."""
    return Spans(parameter, any_of, chosen, 3 if known and chosen is not None and "" not in _plain(chosen) else None)


def _plain(chosen: tuple[str, ...] | Keys) -> tuple[str, ...]:
    return () if isinstance(chosen, Keys) else chosen


def leaves() -> st.SearchStrategy[Node]:
    several_bounds = st.lists(bounds, max_size=2).map(tuple)
    return st.one_of(
        st.builds(Equal, parameters, several(values)),
        st.builds(StartsWith, parameters, several(values)),
        st.builds(EndsWith, parameters, several(st.sampled_from(["s", "t", "", "%", "1"]))),
        st.builds(TextStarts, parameters, several(words)),
        st.builds(TextIs, parameters, st.lists(st.tuples(words, words), max_size=2).map(tuple)),
        st.builds(TextIs, parameters, st.lists(words.map(lambda w: (w, w.upper())), max_size=2).map(tuple)),
        st.builds(TextContains, parameters, several(words)),
        st.builds(spans, parameters, several_bounds, st.none() | several(keys), known=st.booleans()),
        st.builds(
            spans,
            parameters,
            several_bounds,
            st.builds(lambda one, two: Keys((one, two)), several(texts), several(st.sampled_from(CODES[:3]))),
            known=st.booleans(),
        ),
        st.builds(
            Near,
            parameters,
            st.lists(
                st.tuples(places, st.sampled_from([0.0, 2000.0, 100000.0, 3e7])).map(lambda p: (*p[0], p[1])),
                max_size=2,
            ).map(tuple),
        ),
        st.builds(Present, parameters),
        st.builds(Ids, several(ids)),
        st.builds(Updated, st.lists(instants, max_size=2).map(tuple)),
    )


def branches(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.one_of(
        st.builds(And, st.lists(nodes, max_size=3).map(tuple)),
        st.builds(Or, st.lists(nodes, max_size=3).map(tuple)),
        st.builds(Not, nodes),
        st.builds(Equal, parameters, references(nodes)),
        st.builds(ReferredBy, types, parameters, nodes),
        st.builds(
            spans,
            parameters,
            st.lists(bounds, max_size=2).map(tuple),
            st.builds(lambda one, two: Keys((one, two)), references(nodes), several(st.sampled_from(CODES[:3]))),
            known=st.booleans(),
        ),
    )


nodes: st.SearchStrategy[Node] = st.recursive(leaves(), branches, max_leaves=6)
sort_keys = st.one_of(
    st.builds(SortBy, parameters, st.sampled_from(["equality", "text", "span"]), st.booleans()),
    st.builds(SortBy, st.just("_"), st.sampled_from(["id", "updated"]), st.booleans()),
    st.builds(SortBy, parameters, st.just("near"), st.booleans(), places),
)
queries = st.builds(
    Query,
    st.lists(types, min_size=1, max_size=3, unique=True).map(tuple),
    nodes,
    st.lists(sort_keys, max_size=3).map(tuple),
)

# --- a filter and a sort by one parameter, of which each resource has one value at most ------------------------------

single_resources = st.dictionaries(
    st.tuples(types, ids),
    st.lists(entries, max_size=4, unique_by=lambda entry: (type(entry), entry[0])).map(tuple),
    min_size=1,
    max_size=20,
)


def aligned_query(
    kinds: tuple[str, ...], parameter: str, filters: list[Node], descending: bool, more: Node, then: list[SortBy]
) -> Query:
    sort = SortBy(parameter, _kind(filters[0]), descending)
    return Query(kinds, And((*filters, more)), (sort, *then))


def _kind(node: Node) -> str:
    kinds = {Spans: "span", TextStarts: "text", Updated: "updated", Equal: "equality", StartsWith: "equality"}
    return kinds[type(node)]


@st.composite
def aligned_queries(draw: st.DrawFn) -> Query:
    parameter = draw(parameters)
    any_of = st.lists(bounds, min_size=1, max_size=2).map(tuple)
    of_one_kind: st.SearchStrategy[Node] = draw(
        st.sampled_from(
            [
                st.builds(Spans, st.just(parameter), any_of, st.sampled_from([None, ("",)])),
                st.builds(TextStarts, st.just(parameter), several(words)),
                st.builds(Updated, st.lists(instants, min_size=1, max_size=2).map(tuple)),
                st.builds(Equal, st.just(parameter), several(values)),
                st.builds(StartsWith, st.just(parameter), several(values)),
            ]
        )
    )
    filters = draw(st.lists(of_one_kind, min_size=1, max_size=2))
    kinds = draw(st.lists(types, min_size=1, max_size=2, unique=True).map(tuple))
    return aligned_query(
        kinds, parameter, list(filters), draw(st.booleans()), draw(leaves()), draw(st.lists(sort_keys, max_size=2))
    )


__all__ = ["aligned_queries", "queries", "resources", "single_resources"]
