"""References in profiles: types and profiles of targets, aggregation, versions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.profiles.defining import Told, profile, told

CORE = "http://hl7.org/fhir/StructureDefinition/"
NAMED = profile("named", "Location", {"path": "name", "min": 1})
ACTIVE = profile("active", "Practitioner", {"path": "active", "fixedBoolean": True})


def actor(*targets: str, **rules: Any) -> dict[str, Any]:
    type_ = {"code": "Reference", "targetProfile": list(targets), **rules}
    return profile("own", "Appointment", {"path": "participant.actor", "type": [type_]})


def appointment(reference: str, *contained: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Appointment",
        "status": "booked",
        "participant": [{"status": "accepted", "actor": {"reference": reference}}],
    }
    return {**made, "contained": list(contained)} if contained else made


ACTOR = "Appointment.participant[0].actor"
NAMELESS = {"resourceType": "Location", "id": "l"}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], Told]] = [
    ("type", actor(CORE + "Location"), appointment("Location/1"), []),
    ("another type", actor(CORE + "Location"), appointment("Patient/1"), [("profile-target", ACTOR)]),
    ("type of a profile", actor(NAMED["url"]), appointment("Location/1"), []),
    ("another than of a profile", actor(NAMED["url"]), appointment("Patient/1"), [("profile-target", ACTOR)]),
    ("one of two", actor(NAMED["url"], ACTIVE["url"]), appointment("Practitioner/1"), []),
    ("profile that is not loaded", actor("urn:p"), appointment("Patient/1"), [("profile-not-checked", "Appointment")]),
    ("contained", actor(NAMED["url"]), appointment("#l", {**NAMELESS, "name": "a"}), []),
    ("contained, wrong", actor(NAMED["url"]), appointment("#l", NAMELESS), [("profile-target", ACTOR)]),
    ("any target of R4", actor(CORE + "Resource"), appointment("Patient/1"), []),
    ("aggregation", actor(NAMED["url"], aggregation=["referenced"]), appointment("Location/1"), []),
    (
        "aggregation, otherwise",
        actor(CORE + "Location", aggregation=["contained", "bundled"]),
        appointment("Location/1"),
        [("profile-aggregation", ACTOR)],
    ),
    (
        "versioning",
        actor(CORE + "Location", versioning="specific"),
        appointment("Location/1"),
        [("profile-aggregation", ACTOR)],
    ),
    ("versioning, as asked", actor(CORE + "Location", versioning="specific"), appointment("Location/1/_history/1"), []),
]


@pytest.mark.parametrize(("own", "resource", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_target(own: dict[str, Any], resource: dict[str, Any], expected: Told) -> None:
    assert told(resource, own, NAMED, ACTIVE) == expected


@pytest.mark.parametrize(
    ("url", "reference"),
    [("urn:uuid:1", "urn:uuid:1"), ("https://a.example/Location/l", "Location/l"), (None, "Location/l")],
)
def test_target_in_the_same_bundle_is_looked_into(url: str | None, reference: str) -> None:
    def bundle(location: dict[str, Any]) -> dict[str, Any]:
        entries: list[dict[str, Any]] = [
            {"resource": {**appointment(reference), "meta": {"profile": [actor()["url"]]}}}
        ]
        entries.append({"resource": location, **({"fullUrl": url} if url else {})})
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    own = actor(NAMED["url"], aggregation=["bundled"])
    core = CORE + "Bundle"
    assert told(bundle({**NAMELESS, "name": "a"}), own, NAMED, against=core) == []
    assert told(bundle(NAMELESS), own, NAMED, against=core) == [
        ("profile-target", f"Bundle.entry[0].resource.{ACTOR[12:]}")
    ]


def test_targets_that_refer_to_each_other_end() -> None:
    part = [{"code": "Reference", "targetProfile": ["http://example.org/fhir/part"]}]
    own = profile("part", "Location", {"path": "name", "min": 1}, {"path": "partOf", "type": part})
    entries = [
        {"resource": {"resourceType": "Location", "id": one, "name": "a", "partOf": {"reference": f"Location/{other}"}}}
        for one, other in ("ab", "bc", "ca")
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    whole = profile(
        "own", "Bundle", {"path": "entry.resource", "type": [{"code": "Location", "profile": [own["url"]]}]}
    )
    assert told(bundle, whole, own) == []
