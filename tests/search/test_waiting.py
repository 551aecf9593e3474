"""A parameter that is new or has changed is refused until the resources it is about are indexed by it."""

from __future__ import annotations

import pytest

from fhir_server.definitions.installed import Installed
from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.parameters import SearchParameterType as Kind
from fhir_server.definitions.registry import Registry
from fhir_server.outcome import IssueType
from tests.search.asking import Ask

PARAMETERS = (
    SearchParameter("colour", Kind.STRING, "Schedule", "Schedule.comment", "https://example.org/a", id="a"),
    SearchParameter("place", Kind.REFERENCE, "Slot", "Slot.extension.value", "https://example.org/b", id="b"),
)
CHANGED = {("Schedule", "colour"): 5, ("Slot", "place"): 5}


def behind(registry: Registry, **oldest: int) -> Ask:
    return Ask(registry.with_installed(Installed(5, PARAMETERS, CHANGED), oldest))


@pytest.mark.parametrize(
    ("type_", "query", "oldest"),
    [
        ("Schedule", "colour=red", {"Schedule": 0}),
        ("Schedule", "colour:missing=true", {"Schedule": 4}),
        ("Schedule", "_sort=-colour", {"Schedule": 4}),
        ("Slot", "schedule.colour=red", {"Schedule": 4}),
        ("Slot", "schedule.colour=red", {"Slot": 4}),
        ("Appointment", "slot.schedule.colour=red", {"Appointment": 0}),
        ("Schedule", "_has:Slot:schedule:place=Location/1", {"Slot": 0}),
        ("Location", "_has:Slot:place:status=free", {"Slot": 0}),
        ("Slot", "place.name=x", {"Slot": 0}),
        ("Slot", "_include=Slot:place", {"Slot": 0}),
        ("Slot", "_include=*", {"Slot": 0}),
        ("Location", "_revinclude=Slot:*", {"Slot": 0}),
        ("Location", "_revinclude:iterate=*", {"Slot": 0}),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_search_by_what_is_not_yet_indexed_is_refused(
    registry: Registry, type_: str, query: str, oldest: dict[str, int], strict: bool
) -> None:
    """Lenient handling leaves out what is unknown; this is known."""
    ask = behind(registry, **oldest)
    if not strict:
        with pytest.raises(Exception, match="reindexed"):
            ask.request(type_, query, strict=False)
        return
    (issue,) = ask.refused(type_, query)
    assert (issue.id, issue.code) == ("search-parameter-reindexing", IssueType.TRANSIENT)
    assert issue.expression[0].removeprefix("http.") in query


@pytest.mark.parametrize(
    ("type_", "query", "oldest"),
    [
        ("Schedule", "colour=red", {}),
        ("Schedule", "colour=red", {"Slot": 0}),
        ("Schedule", "colour=red", {"Schedule": 5}),
        ("Schedule", "actor=Location/1&_sort=date", {"Schedule": 0}),
        ("Schedule", "_has:Slot:schedule:status=free", {"Schedule": 0, "Slot": 0}),
        ("Slot", "_include=Slot:schedule", {"Slot": 0}),
    ],
)
def test_other_searches_are_answered_meanwhile(
    registry: Registry, type_: str, query: str, oldest: dict[str, int]
) -> None:
    assert behind(registry, **oldest).request(type_, query).understood


def test_a_chain_to_several_types_waits_for_each(registry: Registry) -> None:
    both = (
        *PARAMETERS,
        SearchParameter("colour", Kind.STRING, "Slot", "Slot.comment", "https://example.org/c", id="c"),
    )
    changed = {("Schedule", "colour"): 5, ("Slot", "colour"): 7}
    ask = Ask(registry.with_installed(Installed(7, both, changed), {"Slot": 6}))
    (issue,) = ask.refused("Task", "focus.colour=red")
    assert '"colour" of Slot' in issue.diagnostics
    assert ask.request("Task", "focus:Schedule.colour=red").criteria
