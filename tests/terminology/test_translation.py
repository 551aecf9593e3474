"""From codes to codes by concept maps. https://hl7.org/fhir/R4/conceptmap.html"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.outcome import Unprocessable
from fhir_server.terminology.membership import Code
from fhir_server.terminology.translation import Asked, Match, translate
from tests.terminology.loading import BASE, CARE, FLAT, Json, Shelved, url, value_set

FAR = "urn:far"
OTHER = f"{BASE}/ConceptMap/other"
LOOP = f"{BASE}/ConceptMap/loop"


def target(code: str | None, equivalence: str = "equivalent", **more: Any) -> Json:
    return {"equivalence": equivalence, **({} if code is None else {"code": code}), **more}


def concept_map(name: str, unmapped: Json | None = None, system: str = FLAT, **elements: list[Json]) -> Json:
    group: Json = {"source": CARE, "target": system}
    group["element"] = [{"code": code.replace("_", "-"), "target": targets} for code, targets in elements.items()]
    if unmapped is not None:
        group["unmapped"] = unmapped
    return {"resourceType": "ConceptMap", "url": f"{BASE}/ConceptMap/{name}", "status": "active", "group": [group]}


AGED: Any = {"dependsOn": [{"property": "urn:age", "value": "old"}]}
PLAIN = concept_map(
    "plain",
    burn=[target("b", "wider")],
    wound=[target("a"), target("b", "relatedto", comment="rarely")],
    advice=[target(None, "unmatched")],
    care=[target("c", **AGED)],
    first_aid=[target("a", product=[{"property": "urn:kind", "system": FAR, "value": "k"}])],
)
LIBRARY = Shelved(
    concept_map("other", burn=[target("c")]),
    {**concept_map("loop", {"mode": "other-map", "url": LOOP}, wound=[]), "url": LOOP},
    value_set("only-b", {"system": FLAT, "concept": [{"code": "b"}]}),
    value_set("wounds", {"system": CARE, "concept": [{"code": "wound"}]}),
)


def told(maps: list[Json], code: str, **asked: Any) -> list[tuple[str, str | None]]:
    matches = translate(LIBRARY, maps, Asked((Code(asked.pop("system", CARE), code),), **asked))
    return [(match.equivalence, match.code.code if match.code else None) for match in matches]


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("burn", [("wider", "b")]),
        ("wound", [("equivalent", "a"), ("relatedto", "b")]),
        ("advice", [("unmatched", None)]),
        ("none", []),
        ("care", []),
    ],
)
def test_code_is_translated(code: str, wanted: list[tuple[str, str | None]]) -> None:
    assert told([PLAIN], code) == wanted


def test_match_tells_its_code_its_map_and_what_belongs_to_it() -> None:
    (match,) = translate(LIBRARY, [PLAIN], Asked((Code(CARE, "first-aid"),)))
    product = ("urn:kind", Code(FAR, "k"), None)
    assert match == Match("equivalent", Code(FLAT, "a"), None, PLAIN["url"], (product,))
    assert match.is_one
    (unmatched,) = translate(LIBRARY, [PLAIN], Asked((Code(CARE, "advice"),)))
    assert not unmatched.is_one


def test_what_depends_on_another_code_needs_it() -> None:
    assert told([PLAIN], "care", dependencies=frozenset({("urn:age", "urn:ages", "old")})) == [("equivalent", "c")]
    assert told([PLAIN], "care", dependencies=frozenset({("urn:age", "urn:ages", "new")})) == []


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("b", [("narrower", "burn"), ("relatedto", "wound")]),
        ("a", [("equivalent", "wound"), ("equivalent", "first-aid")]),
    ],
)
def test_map_is_read_backwards(code: str, wanted: list[tuple[str, str | None]]) -> None:
    assert told([PLAIN], code, system=FLAT, is_reverse=True) == wanted


def test_only_what_is_asked_for_is_told() -> None:
    assert told([PLAIN], "burn", target_system=FLAT) == [("wider", "b")]
    assert told([PLAIN], "burn", target_system=FAR) == []
    about = {**PLAIN, "targetCanonical": "urn:set|1", "sourceUri": "urn:start"}
    assert told([about], "burn", target_set="urn:set", source_set="urn:start") == [("wider", "b")]
    assert told([about], "burn", target_set="urn:other") == told([about], "burn", source_set="urn:other") == []
    assert told([about], "b", system=FLAT, is_reverse=True, target_set="urn:start") != []


def test_map_that_names_no_target_set_gives_what_is_in_the_one_asked_for() -> None:
    assert told([PLAIN], "wound", target_set=url("only-b")) == [("relatedto", "b")]
    assert told([PLAIN], "advice", target_set=url("only-b")) == []
    assert told([PLAIN], "b", system=FLAT, is_reverse=True, target_set=url("wounds")) == [("relatedto", "wound")]
    with pytest.raises(Unprocessable, match="urn:set is not loaded"):
        told([PLAIN], "wound", target_set="urn:set")


@pytest.mark.parametrize(
    ("unmapped", "wanted"),
    [
        ({"mode": "provided"}, [("equal", "burn")]),
        ({"mode": "fixed", "code": "c"}, [("inexact", "c")]),
        ({"mode": "other-map", "url": OTHER}, [("equivalent", "c")]),
    ],
)
def test_code_that_is_not_listed_becomes_what_the_map_says(unmapped: Json, wanted: list[tuple[str, str]]) -> None:
    assert told([concept_map("x", unmapped, wound=[target("a")])], "burn") == wanted
    assert told([concept_map("x", unmapped, burn=[target("a")])], "burn") == [("equivalent", "a")]


def test_maps_that_lead_to_themselves_are_refused() -> None:
    with pytest.raises(Unprocessable, match=r"loop → .*loop"):
        told([concept_map("x", {"mode": "other-map", "url": LOOP}, wound=[])], "burn")


def test_what_is_only_explained_translates_nothing() -> None:
    why = {"extension": [{"url": "urn:why", "valueString": "unknown"}]}
    strange = [
        {"_equivalence": why, "code": "a"},
        target("b", dependsOn=[{"_property": why, "_value": why}]),
        target("c", product=[{"_property": why, "_value": why}]),
    ]
    assert told([concept_map("x", burn=strange)], "burn") == [("equivalent", "c")]
    assert told([concept_map("x", burn=strange)], "a", system=FLAT, is_reverse=True) == []


def leading(count: int) -> tuple[Json, Shelved]:
    """Return the first of so many maps, each of which leaves the code to the next one twice, and all of them."""
    maps = [
        concept_map(f"m{number}", {"mode": "other-map", "url": f"{BASE}/ConceptMap/m{number + 1}"})
        for number in range(count - 1)
    ]
    for one in maps:
        one["group"] *= 2
    return maps[0], Shelved(*maps, concept_map(f"m{count - 1}", burn=[target("a")]))


def test_maps_that_lead_too_far_are_refused() -> None:
    first, library = leading(400)
    with pytest.raises(Unprocessable, match=r"more than 32 times: from .*m0 to .*m32"):
        translate(library, [first], Asked((Code(CARE, "burn"),)))


def test_map_that_many_lead_to_is_passed_once() -> None:
    first, library = leading(30)  # 2 to the power of 29 ways
    (match,) = translate(library, [first], Asked((Code(CARE, "burn"),)))
    assert match.code == Code(FLAT, "a")


def test_map_that_another_one_needs_must_be_loaded() -> None:
    with pytest.raises(Unprocessable, match="urn:m is not loaded"):
        told([concept_map("x", {"mode": "other-map", "url": "urn:m"}, wound=[])], "burn")


def test_each_match_is_told_once() -> None:
    assert told([PLAIN, PLAIN], "burn") == [("wider", "b")]
