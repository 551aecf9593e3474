"""What the code's own tables hold stands in the documentation, and nothing else does."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Final

import pytest

from fhir_server.definitions.registry import Registry
from fhir_server.france.identifiers import KINDS
from fhir_server.interactions import capabilities, history
from fhir_server.interactions.headers import Return
from fhir_server.interactions.search import CURSOR
from fhir_server.interactions.writing.clashes import MOST
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import interval
from fhir_server.operations.table import OPERATIONS
from fhir_server.outcome import BadRequest, FhirError
from fhir_server.search.compounds import COMPOUNDS
from fhir_server.search.criteria import (
    HARMLESS,
    LIMITS,
    MODIFIERS,
    REFUSED_MODIFIERS,
    REFUSED_PARAMETERS,
    RESULT_PARAMETERS,
    SUMMARIES,
    TOTALS,
    Kind,
)
from fhir_server.search.plan import plan
from fhir_server.search.query import And, Node, Or
from fhir_server.search.request import parse_search
from fhir_server.search.value_sets import with_codes
from fhir_server.search.values import METRES, PREFIXES, TokenValue
from fhir_server.service import HANDLERS
from fhir_server.settings import PARIS
from fhir_server.storage.sqlite.drivers import Drivers
from tests.docs import tables
from tests.docs.reading import BASE, DOCS, PAGES, WALKTHROUGHS, code, rows

INDEX: Final = DOCS / "README.md"
SEARCH: Final = DOCS / "search.md"
ERRORS: Final = DOCS / "interactions" / "formats-and-errors.md"
FEATURES: Final = "## Types and modifiers"
SERVED: Final = {*HANDLERS, Interaction.BATCH, Interaction.TRANSACTION}


def first_cells(page: str, heading: str) -> list[str]:
    """Return what stands between backticks in the first column of a table."""
    return [name for row in rows(DOCS / page, heading) for name in code(row[0])]


# --- interactions ----------------------------------------------------------------------------------------------------


def test_each_interaction_has_its_line_and_its_page() -> None:
    listed = rows(INDEX, "## The REST API")
    assert {row[0] for row in listed} == {interaction.value for interaction in SERVED}
    linked = {link for row in listed for link in re.findall(r"\]\(([^)]+)\)", row[2])}
    assert {DOCS / link for link in linked} <= set(PAGES)


def test_each_url_has_its_line() -> None:
    listed = {tuple(url.split(" ")) for row in rows(INDEX, "## The REST API") for url in code(row[1])}
    assert listed == tables.urls()


def test_each_page_links_to_the_specification() -> None:
    for page in PAGES:
        if page not in WALKTHROUGHS:
            assert "https://hl7.org/fhir/R4/" in page.read_text(encoding="utf-8"), page.name


def test_each_page_of_an_interaction_says_what_is_refused() -> None:
    for page in (*(DOCS / "interactions").glob("*.md"), *(DOCS / "operations").glob("*.md")):
        if page != ERRORS:
            assert "\n## Refused\n" in page.read_text(encoding="utf-8"), page.name


def test_each_parameter_of_history_and_capabilities_has_its_line() -> None:
    assert set(first_cells("interactions/history.md", "## Parameters")) == set(history.PARAMETERS)
    modes = (DOCS / "interactions" / "capabilities.md").read_text(encoding="utf-8")
    assert all(f"`{mode}`" in modes for mode in capabilities.MODES)


def test_each_operation_has_its_line_and_its_page() -> None:
    listed = {code(row[0])[0]: DOCS / row[2].partition("](")[2].rstrip(")") for row in rows(INDEX, "## Operations")}
    assert set(listed) == {f"{type_}/${one.name}" for one in OPERATIONS for type_ in one.types}
    assert set(listed.values()) == set((DOCS / "operations").glob("*.md"))
    for operation in OPERATIONS:
        for type_ in operation.types:
            page = listed[f"{type_}/${operation.name}"]
            names = [name for row in rows(page, "## Parameters") for name in code(row[0])]
            assert sorted(names) == sorted(one.name for one in operation.parameters), page.name


# --- formats, errors -------------------------------------------------------------------------------------------------


def test_each_preference_has_its_line() -> None:
    wanted = {*(f"return={value.value}" for value in Return), "handling=strict", "handling=lenient"}
    assert set(first_cells("interactions/formats-and-errors.md", "## Prefer")) == wanted


def test_each_status_of_an_error_has_its_line() -> None:
    listed = {int(row[0]) for row in rows(ERRORS, "### Statuses")}
    missing = {each.status for each in FhirError.__subclasses__()} - listed
    assert missing <= {401}, "there is no access control yet"


def test_each_id_of_an_issue_has_its_line() -> None:
    listed = first_cells("interactions/formats-and-errors.md", "### Ids of issues")
    assert tables.issue_ids() - set(listed) == set(), "not in the documentation"
    assert set(listed) - tables.issue_ids() == set(), "not in the code"
    assert listed == sorted(set(listed))


# --- search ----------------------------------------------------------------------------------------------------------


def test_each_kind_of_identifier_has_its_line() -> None:
    listed = {code(row[0])[0]: code(row[1])[0] for row in rows(DOCS / "identifiers.md", "## Kinds")}
    assert listed == {kind.code: kind.system for kind in KINDS.values()}


def test_each_type_and_modifier_has_its_line() -> None:
    wanted = {(kind.value, modifier) for kind, modifiers in MODIFIERS.items() for modifier in ("", *modifiers)}
    wanted |= {(kind.value, modifier) for kind, modifier in REFUSED_MODIFIERS} | {("reference", "[type]")}
    assert {(row[0], row[1].strip("`:")) for row in rows(SEARCH, FEATURES)} == wanted


@pytest.mark.parametrize("row", rows(SEARCH, FEATURES), ids=lambda row: f"{row[0]}{row[1]} {row[3]}")
def test_example_of_a_modifier_is_indexed_scanned_or_refused_as_told(row: list[str]) -> None:
    kind, modifier, meaning, how, example = row
    (query,) = code(example)
    type_, _, pair = query.partition("?")
    name, _, value = pair.partition("=")
    registry = Registry.load([*Registry.load().types, "Observation", "RiskAssessment"])
    parameter = registry.parameters(type_)[re.split("[:.]", name)[0]]
    assert parameter.type.value == kind
    assert name.partition(":")[2].startswith(modifier.strip("`:").replace("[type]", "Pr"))
    if how == "refused":
        with pytest.raises(BadRequest) as caught:
            parse_search(registry, (type_,), [(name, value)])
        (issue,) = caught.value.issues
        assert issue.id == "search-refused"
        assert meaning.split(", which")[0] in issue.diagnostics
        return
    request = with_codes(parse_search(registry, (type_,), [(name, value)]), lambda _: [TokenValue("urn:x", "a")])
    where = plan(request, registry, PARIS, (BASE,), interval("2026-01-05", PARIS)[0]).where
    assert ("indexed" if is_indexed(where) else "scanned") == how


def is_indexed(node: Node) -> bool:
    """Tell whether SQLite finds the matches of a node by an index: whether there is a driver for it."""
    if isinstance(node, Or):
        return all(map(is_indexed, node.nodes))
    if isinstance(node, And):
        return any(map(is_indexed, node.nodes))
    drivers = Drivers.__dict__["_drivers"].dispatcher.registry
    return type(node) in drivers


def test_each_prefix_has_its_line() -> None:
    assert tuple(first_cells("search.md", "## Prefixes")) == PREFIXES


def test_units_of_near_are_listed() -> None:
    listed = re.search(r"^Units of `near`: (.*)\.$", SEARCH.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed
    assert code(listed[1]) == list(METRES)


def test_each_common_parameter_has_its_line() -> None:
    common = Registry.load().parameters("Resource")
    listed = {row[0].strip("`"): row[1] for row in rows(SEARCH, "## Common parameters")}
    assert listed == {name: parameter.type.value for name, parameter in common.items()}


def test_each_result_parameter_has_its_line() -> None:
    listed = first_cells("search.md", "## Result parameters")
    assert listed == [*RESULT_PARAMETERS, "_type", CURSOR]
    page = SEARCH.read_text(encoding="utf-8")
    assert all(f"_total={value}" in page for value in TOTALS)
    assert all(f"`{value}`" in page for value in SUMMARIES)


def test_each_harmless_parameter_has_its_line() -> None:
    start = (
        "Parameters of other servers that only shape an answer are accepted without effect. None of them could filter:"
    )
    assert set(first_cells("search.md", start)) == set(HARMLESS)


def test_each_refused_parameter_has_its_line_and_its_reason() -> None:
    listed = {row[0].strip("`"): row[1] for row in rows(SEARCH, "## Refused parameters")}
    assert listed == dict(REFUSED_PARAMETERS)


def test_each_bound_has_its_line_and_its_figure() -> None:
    listed = {row[0].strip("`"): row[1] for row in rows(SEARCH, "## Bounds")}
    assert list(listed) == [field.name for field in fields(LIMITS)]
    for name, text in listed.items():
        figure = re.match(r"[\d,]+", text)
        assert figure
        assert int(figure[0].replace(",", "")) == getattr(LIMITS, name), name


def test_bound_on_search_parameters_of_ones_own_is_told() -> None:
    page = (DOCS / "search-parameters.md").read_text(encoding="utf-8")
    assert f"Of one\ntype {MOST} such parameters can be active" in page


def test_each_compound_index_has_its_line() -> None:
    listed = {(row[0], row[1].strip("`")) for row in rows(SEARCH, "## What is fast")}
    assert listed == {(compound.type, compound.name) for compound in COMPOUNDS}


def test_types_of_search_parameters_all_have_modifiers_or_are_refused() -> None:
    assert set(MODIFIERS) == set(Kind)
