"""Index entries: what each FHIR type gives under each type of parameter. https://hl7.org/fhir/R4/search.html#ptypes"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_server.definitions.parameters import SearchParameter, SearchParameterType
from fhir_server.definitions.registry import Registry
from fhir_server.model.formats import parse
from fhir_server.search.index import Indexer
from fhir_server.search.query import HIGHEST, LOWEST
from fhir_server.search.values import LARGEST
from tests.search.asking import BASE

FOLDER = Path(__file__).parent / "cases"
CASES = [
    (type_, *row)
    for section in json.loads((FOLDER / "index.json").read_text()).values()
    for type_, rows in section.items()
    for row in rows
]
MARKS = {"LOWEST": LOWEST, "HIGHEST": HIGHEST, "LARGEST": LARGEST, "-LARGEST": -LARGEST, "BASE": BASE}


def _readable(value: Any) -> Any:
    """Return an entry's value as the cases write it: ␟ and ␞ for the separators, names for the open ends."""
    if isinstance(value, str):
        return value.replace("\x1f", "␟").replace("\x1e", "␞")
    return next((name for name, mark in MARKS.items() if value == mark), value)


@pytest.mark.parametrize(("type_", "elements", "codes", "expected"), CASES)
def test_entries_of_a_value(
    indexer: Indexer, type_: str, elements: dict[str, Any], codes: str, expected: list[list[Any]]
) -> None:
    """``codes`` are the parameters looked at, derived ones written out; each expected entry is [code, value …]."""
    body = json.dumps({"resourceType": type_, **elements}).replace("{BASE}", BASE)
    entries = indexer.entries(parse(body.encode()))
    found = [[_readable(part) for part in entry] for entry in entries if entry.parameter in codes.split()]
    assert found == expected


def test_every_parameter_of_every_served_type_is_compiled(registry: Registry, indexer: Indexer) -> None:
    for type_ in sorted(registry.types):
        assert isinstance(indexer.entries({"resourceType": type_}), tuple)


def test_entries_stand_once(indexer: Indexer) -> None:
    twice = {"resourceType": "Slot", "serviceType": [{"coding": [{"code": "a"}, {"code": "a"}]}]}
    entries = indexer.entries(twice)
    assert len(entries) == len(set(entries)) == 1


def test_chains_into_contained_resources_have_entries(indexer: Indexer) -> None:
    role = {
        "resourceType": "PractitionerRole",
        "practitioner": {"reference": "#p"},
        "organization": {"reference": "#o"},
        "contained": [
            {"resourceType": "Practitioner", "id": "p", "active": True},
            {"resourceType": "Organization", "id": "o", "name": "Un", "partOf": {"reference": "#o"}},
            {"resourceType": "Organization", "id": "unused", "name": "Deux"},
        ],
    }
    found = {(entry.parameter, entry[1]) for entry in indexer.entries(role)}
    assert found == {
        ("practitioner", ""),
        ("organization", ""),
        ("practitioner:Practitioner._id", "p"),
        ("practitioner:Practitioner.active", "true\x1f"),
        ("organization:Organization._id", "o"),
        ("organization:Organization.name", "un"),
        ("organization:Organization.phonetic", "un"),
        ("organization:Organization.partof", ""),
        ("organization:Organization.partof:Organization._id", "o"),
        ("organization:Organization.partof:Organization.name", "un"),
        ("organization:Organization.partof:Organization.phonetic", "un"),
        ("organization:Organization.partof:Organization.partof", ""),
        ("organization:Organization.partof:Organization.partof:Organization._id", "o"),
        ("organization:Organization.partof:Organization.partof:Organization.name", "un"),
        ("organization:Organization.partof:Organization.partof:Organization.phonetic", "un"),
        ("organization:Organization.partof:Organization.partof:Organization.partof", ""),
    }


def test_membership_of_compartments(indexer: Indexer) -> None:
    actors = [{"actor": {"reference": text}} for text in ("Patient/1", "Practitioner/2", "Patient/1/_history/3")]
    entries = indexer.entries({"resourceType": "Appointment", "id": "a", "participant": actors})
    assert [tuple(entry) for entry in entries if entry.parameter.startswith("compartment:")] == [
        ("compartment:Patient", "Patient/1"),
        ("compartment:Practitioner", "Practitioner/2"),
    ]
    itself = indexer.entries({"resourceType": "Patient", "id": "1"})
    assert ("compartment:Patient", "Patient/1") in itself


def test_an_expression_that_cannot_be_evaluated_on_a_resource_finds_nothing_there(registry: Registry) -> None:
    """Whoever adds a parameter must not be able to stop the writes of its type."""
    expression = "Schedule.actor.where(%resource.actor.reference.startsWith('#'))"
    added = SearchParameter("strange", SearchParameterType.REFERENCE, "Schedule", expression, "https://example.org/a")
    indexer = Indexer(registry.with_parameters([added], 0), ZoneInfo("Europe/Paris"), (BASE,))
    actors = [{"reference": "#a"}, {"reference": "Location/b"}]
    schedule = {"resourceType": "Schedule", "contained": [{"resourceType": "Patient", "id": "a"}], "actor": actors}
    entries = indexer.entries(schedule)
    assert not [entry for entry in entries if entry.parameter == "strange"]
    assert [entry for entry in entries if entry.parameter == "actor"]


def test_version_and_instant_are_not_looked_at(registry: Registry) -> None:
    """They are not known when a resource is indexed before it is written, and would be when it is indexed anew."""
    added = SearchParameter("when", SearchParameterType.DATE, "Slot", "Slot.meta.lastUpdated", "https://example.org/a")
    indexer = Indexer(registry.with_parameters([added], 0), ZoneInfo("Europe/Paris"), (BASE,))
    slot = {"resourceType": "Slot", "meta": {"tag": [{"code": "x"}]}}
    stamp = {"versionId": "3", "lastUpdated": "2026-01-05T08:00:00Z"}
    assert indexer.entries({**slot, "meta": {**slot["meta"], **stamp}}) == indexer.entries(slot)  # type: ignore[dict-item]
