"""_summary and _elements. https://hl7.org/fhir/R4/search.html#summary"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhir_server.definitions.registry import Registry
from fhir_server.search.shape import SUBSETTED, subset

PRACTITIONER: dict[str, Any] = {
    "resourceType": "Practitioner",
    "id": "1",
    "meta": {"versionId": "1", "tag": [{"system": "s", "code": "c"}]},
    "text": {"status": "generated", "div": "<div/>"},
    "contained": [{"resourceType": "Organization", "id": "o"}],
    "extension": [{"url": "http://x", "valueString": "y"}],
    "identifier": [{"system": "s", "value": "v"}],
    "name": [{"family": "F"}],
    "gender": "male",
    "birthDate": "1970",
    "_birthDate": {"extension": [{"url": "http://x", "valueString": "y"}]},
    "qualification": [{"code": {"text": "q"}}],
}
APPOINTMENT: dict[str, Any] = {
    "resourceType": "Appointment",
    "status": "booked",
    "comment": "x",
    "participant": [{"actor": {"reference": "Patient/1"}, "required": "required", "status": "accepted", "period": {}}],
}
KEPT = [
    (PRACTITIONER, "true", (), "birthDate _birthDate gender identifier name"),
    (PRACTITIONER, "text", (), "text"),
    (PRACTITIONER, "data", (), "contained extension identifier name gender birthDate _birthDate qualification"),
    (PRACTITIONER, None, ("gender", "name"), "gender name"),
    (PRACTITIONER, None, ("birthDate",), "birthDate _birthDate"),
    (PRACTITIONER, "data", ("gender",), "gender"),
    (APPOINTMENT, "text", (), "status participant"),
    (APPOINTMENT, None, ("comment",), "status participant comment"),
    (APPOINTMENT, "true", (), "status participant"),
]


@pytest.mark.parametrize(("resource", "summary", "elements", "kept"), KEPT)
def test_part_that_is_kept(
    registry: Registry, resource: dict[str, Any], summary: str | None, elements: tuple[str, ...], kept: str
) -> None:
    before = copy.deepcopy(resource)
    found = subset(resource, registry, summary, elements)
    assert set(found) - {"resourceType", "id", "meta"} == set(kept.split())
    assert found["meta"]["tag"][-1] == SUBSETTED
    assert resource == before


def test_summary_reaches_into_backbones(registry: Registry) -> None:
    (participant,) = subset(APPOINTMENT, registry, "true", ())["participant"]
    assert set(participant) == {"actor", "required", "status"}


@pytest.mark.parametrize("summary", [None, "false", "count"])
def test_whole_resource_is_itself(registry: Registry, summary: str | None) -> None:
    assert subset(PRACTITIONER, registry, summary, ()) is PRACTITIONER


def test_tag_stands_once_and_others_stay(registry: Registry) -> None:
    once = subset(PRACTITIONER, registry, "data", ())
    twice = subset(once, registry, "data", ())
    assert twice["meta"]["tag"] == [{"system": "s", "code": "c"}, SUBSETTED]
