"""What is in a value set: expanded, and asked about code by code; both must agree.

Spec: https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.definitions.builtin import Builtin
from fhir_server.definitions.structures import Structures
from fhir_server.outcome import BadRequest, FhirError, NotFound, Unprocessable
from fhir_server.terminology import budget
from fhir_server.terminology.expansion import Expander, narrowed
from fhir_server.terminology.finding import Versions
from fhir_server.terminology.membership import Code, Membership
from tests.terminology.loading import (
    CARE,
    EMPTY,
    FLAT,
    OTHERS,
    PARTIAL,
    SYSTEM,
    Json,
    Shelved,
    code_system,
    concept,
    url,
    value_set,
    where,
)

ALL = "care first-aid burn wound follow-up advice old-advice"
NAMED = (
    value_set("aid", where("concept", "is-a", "first-aid")),
    value_set("wounds", {"system": CARE, "concept": [{"code": "wound"}, {"code": "burn"}]}),
    value_set("loop", {"valueSet": [url("pool")]}),
    value_set("pool", {"valueSet": [url("loop")]}),
)
LIBRARY = Shelved(SYSTEM, *OTHERS, *NAMED)

EXPANDED: dict[str, tuple[Json, str]] = {
    "a whole system": (value_set("x", {"system": CARE}), ALL),
    "codes that are listed, in their order": (
        value_set("x", {"system": CARE, "concept": [{"code": "wound"}, {"code": "advice"}]}),
        "wound advice",
    ),
    "codes of a system that is not loaded": (
        value_set("x", {"system": "urn:x", "concept": [{"code": "one"}]}),
        "one",
    ),
    "a version that is there": (value_set("x", {"system": CARE, "version": "2"}), ALL),
    "is-a": (value_set("x", where("concept", "is-a", "first-aid")), "first-aid burn wound"),
    "descendent-of": (value_set("x", where("concept", "descendent-of", "first-aid")), "burn wound"),
    "is-not-a": (value_set("x", where("concept", "is-not-a", "care")), "advice old-advice"),
    "generalizes": (value_set("x", where("concept", "generalizes", "burn")), "care first-aid burn"),
    "is-a by the parent property": (value_set("x", where("concept", "is-a", "advice")), "advice old-advice"),
    "=": (value_set("x", where("kind", "=", "early")), "advice old-advice"),
    "= of the parent by nesting": (value_set("x", where("parent", "=", "first-aid")), "burn wound"),
    "= of the parent by property": (value_set("x", where("parent", "=", "advice")), "old-advice"),
    "= of a number": (value_set("x", where("rank", "=", "3")), "wound"),
    "= of inactive": (value_set("x", where("inactive", "=", "true")), "old-advice"),
    "= of what is not inactive": (value_set("x", where("inactive", "=", "false")), ALL.removesuffix(" old-advice")),
    "in": (value_set("x", where("concept", "in", "burn, advice,none")), "burn advice"),
    "not-in": (value_set("x", where("concept", "not-in", "burn,wound,care")), "first-aid follow-up advice old-advice"),
    "regex": (value_set("x", where("concept", "regex", "(first|follow)-.*")), "first-aid follow-up"),
    "regex of the whole": (value_set("x", where("display", "regex", "[Bb]ur")), ""),
    "exists": (value_set("x", where("kind", "exists", "true")), "follow-up advice old-advice"),
    "exists not": (value_set("x", where("kind", "exists", "false")), "care first-aid burn wound"),
    "filters that all hold": (
        value_set(
            "x",
            {
                "system": CARE,
                "filter": [
                    {"property": "concept", "op": "is-a", "value": "care"},
                    {"property": "kind", "op": "exists", "value": "false"},
                ],
            },
        ),
        "care first-aid burn wound",
    ),
    "includes, united, each code once": (
        value_set("x", where("concept", "is-a", "first-aid"), {"system": CARE, "concept": [{"code": "burn"}]}),
        "first-aid burn wound",
    ),
    "several systems": (value_set("x", {"system": FLAT}, where("rank", "=", "3")), "a b c wound"),
    "excluded codes": (
        value_set("x", {"system": CARE}, exclude=[where("concept", "is-a", "care")]),
        "advice old-advice",
    ),
    "an excluded system": (
        value_set("x", {"system": CARE}, {"system": FLAT}, exclude=[{"system": CARE}]),
        "a b c",
    ),
    "an excluded value set": (
        value_set("x", {"system": CARE}, exclude=[{"valueSet": [url("aid")]}]),
        "care follow-up advice old-advice",
    ),
    "another value set": (value_set("x", {"valueSet": [url("aid")]}), "first-aid burn wound"),
    "value sets of one include, intersected": (
        value_set("x", {"valueSet": [url("aid"), url("wounds")]}),
        "burn wound",
    ),
    "a system and a value set, intersected": (
        value_set("x", {**where("rank", "exists", "true"), "valueSet": [url("wounds")]}),
        "wound",
    ),
    "value sets of several includes, united": (
        value_set("x", {"valueSet": [url("wounds")]}, {"valueSet": [url("aid")]}),
        "wound burn first-aid",
    ),
    "without inactive codes": (value_set("x", {"system": CARE}, inactive=False), ALL.removesuffix(" old-advice")),
    "a code system's implicit value set": (value_set("x", {"valueSet": [f"{FLAT}?fhir_vs"]}), "a b c"),
    "an expansion that is given": (
        {
            "resourceType": "ValueSet",
            "expansion": {
                "timestamp": "2026-01-05",
                "contains": [{"abstract": True, "contains": [{"system": FLAT, "code": "b"}]}],
            },
        },
        "b",
    ),
}


def expanded(resource: Json) -> list[str]:
    return [code for _, code in Expander(LIBRARY).within(resource)]


@pytest.mark.parametrize(("resource", "codes"), EXPANDED.values(), ids=EXPANDED)
def test_value_set_is_expanded(resource: Json, codes: str) -> None:
    assert expanded(resource) == codes.split()


@pytest.mark.parametrize(("resource", "codes"), EXPANDED.values(), ids=EXPANDED)
def test_each_code_is_in_a_value_set_if_its_expansion_has_it(resource: Json, codes: str) -> None:
    membership = Membership(LIBRARY)
    for system, known in ((CARE, ALL), (FLAT, "a b c"), ("urn:x", "one two")):
        for code in (*known.split(), "nothing"):
            told = membership.within(resource, Code(system, code))
            assert told.is_member is ((system, code) in Expander(LIBRARY).within(resource)), code


PROPERTIES = st.sampled_from(["concept", "kind", "rank", "parent", "display"])
FILTERS = st.one_of(
    st.builds(where, PROPERTIES, st.just("exists"), st.sampled_from(["true", "false"])),
    st.builds(where, PROPERTIES, st.sampled_from(["=", "in", "not-in", "regex"]), st.sampled_from([*ALL.split(), "3"])),
    st.builds(
        where,
        st.just("concept"),
        st.sampled_from(["is-a", "is-not-a", "descendent-of", "generalizes"]),
        st.sampled_from(ALL.split()),
    ),
)
PARTS = st.one_of(
    FILTERS,
    st.just({"system": CARE}),
    st.sampled_from([{"valueSet": [url("aid")]}, {"valueSet": [url("wounds"), url("aid")]}]),
    st.builds(
        lambda codes: {"system": CARE, "concept": [{"code": code} for code in codes]},
        st.lists(st.sampled_from(ALL.split()), min_size=1, max_size=3),
    ),
)


@given(st.lists(PARTS, min_size=1, max_size=3), st.lists(PARTS, max_size=2), st.booleans())
@settings(max_examples=60, deadline=None)
def test_expansion_and_membership_agree(include: list[Json], exclude: list[Json], inactive: bool) -> None:
    resource = value_set("x", *include, exclude=exclude, inactive=inactive)
    codes = {code for _, code in Expander(LIBRARY).within(resource)}
    assert codes == {code for code in ALL.split() if Membership(LIBRARY).within(resource, Code(CARE, code)).is_member}


# --- what cannot be told ---------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Json, type[FhirError], str]] = {
    "a system that is not loaded": (value_set("x", {"system": "urn:x"}), Unprocessable, "urn:x is not loaded"),
    "a version that is not loaded": (
        value_set("x", {"system": CARE, "version": "3"}),
        Unprocessable,
        r"care\|3 is not loaded",
    ),
    "a system without its codes": (value_set("x", {"system": EMPTY}), Unprocessable, "content 'not-present'"),
    "a value set that is not loaded": (value_set("x", {"valueSet": ["urn:y"]}), Unprocessable, "urn:y is not loaded"),
    "value sets that contain each other": (
        value_set("x", {"valueSet": [url("loop")]}),
        Unprocessable,
        "loop → .*pool → .*loop",
    ),
    "a property that is not there": (value_set("x", where("colour", "=", "red")), Unprocessable, "no such property"),
    "a code that is not there": (value_set("x", where("concept", "is-a", "none")), Unprocessable, "no code 'none'"),
    "a hierarchy of a property": (
        value_set("x", where("kind", "is-a", "early")),
        Unprocessable,
        "property is concept",
    ),
    "an expression that is none": (
        value_set("x", where("concept", "regex", "(")),
        Unprocessable,
        "cannot be read",
    ),
    "an expression that looks back": (
        value_set("x", where("concept", "regex", r"(a)\1")),
        Unprocessable,
        "cannot be read",
    ),
    "an expression without end": (
        value_set("x", where("concept", "regex", "((a{1,100}){1,100}){1,100}")),
        Unprocessable,
        "too large",
    ),
    "exists maybe": (value_set("x", where("kind", "exists", "maybe")), Unprocessable, "true or false"),
    "an operator of R5": (
        value_set("x", where("concept", "child-of", "care")),
        Unprocessable,
        "no such operator",
    ),
    "nothing at all": ({"resourceType": "ValueSet", "url": "urn:z"}, Unprocessable, "no compose, no expansion"),
}


@pytest.mark.parametrize(("resource", "error", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_expanded_is_refused(resource: Json, error: type[FhirError], told: str) -> None:
    with pytest.raises(error, match=told):
        expanded(resource)


def test_value_set_that_is_asked_for_and_not_loaded_is_not_found() -> None:
    with pytest.raises(NotFound, match="urn:y is not loaded here"):
        Expander(LIBRARY).of("urn:y", asked=True)


UNTOLD: dict[str, tuple[Json, Code, str]] = {
    "a system that is not loaded": (value_set("x", {"system": "urn:x"}), Code("urn:x", "a"), "urn:x is not loaded"),
    "a fragment": (value_set("x", {"system": PARTIAL}), Code(PARTIAL, "other"), "content 'fragment'"),
    "a value set that is not loaded": (
        value_set("x", {"valueSet": ["urn:y"]}),
        Code(CARE, "burn"),
        "urn:y is not loaded",
    ),
    "an exclude that is not loaded": (
        value_set("x", {"system": CARE}, exclude=[{"valueSet": ["urn:y"]}]),
        Code(CARE, "burn"),
        "urn:y is not loaded",
    ),
    "a part of an expansion": (
        {"resourceType": "ValueSet", "expansion": {"total": 2, "contains": [{"system": FLAT, "code": "b"}]}},
        Code(FLAT, "a"),
        "a part of its expansion",
    ),
    "nothing at all": ({"resourceType": "ValueSet"}, Code(FLAT, "a"), "does not say"),
}


@pytest.mark.parametrize(("resource", "code", "why"), UNTOLD.values(), ids=UNTOLD)
def test_what_cannot_be_told_is_neither_yes_nor_no(resource: Json, code: Code, why: str) -> None:
    told = Membership(LIBRARY).within(resource, code)
    assert told.is_member is None
    assert why in "; ".join(told.reasons)


@pytest.mark.parametrize(
    ("resource", "code", "is_member"),
    [
        (value_set("x", {"system": PARTIAL}), Code(PARTIAL, "some"), True),
        (value_set("x", {"system": "urn:x"}, {"system": CARE}), Code(CARE, "burn"), True),
        (value_set("x", {"valueSet": ["urn:y", url("aid")]}), Code(CARE, "advice"), False),
        (value_set("x", {"system": CARE}, exclude=[{"valueSet": ["urn:y", url("aid")]}]), Code(CARE, "advice"), True),
        (value_set("x", {"system": CARE}), Code(CARE, "burn", "2"), True),
        (value_set("x", {"system": FLAT}), Code(FLAT, "A"), True),
        (value_set("x", {"system": FLAT, "concept": [{"code": "a"}]}), Code(FLAT, "A"), True),
    ],
)
def test_what_can_be_told_is_told_although_something_is_missing(resource: Json, code: Code, is_member: bool) -> None:
    assert Membership(LIBRARY).within(resource, code).is_member is is_member


def test_value_sets_that_contain_each_other_have_no_members() -> None:
    with pytest.raises(Unprocessable, match="loop"):
        Membership(LIBRARY).of(url("loop"), Code(CARE, "burn"))


WHY: Json = {"extension": [{"url": "urn:why", "valueString": "unknown"}]}
"""R4 lets it stand in the place of a value that is required, and such a resource is valid."""


def test_codes_that_are_only_explained_are_no_codes() -> None:
    flat = code_system(FLAT, {"_code": WHY, "concept": [{"code": "below"}]}, concept("a"), property=[{"_code": WHY}])
    flat["concept"][1]["property"] = [{"_code": WHY, "valueString": "x"}, {"code": "kind", "_valueCode": WHY}]
    listed = value_set("x", {"system": FLAT, "concept": [{"_code": WHY}, {"code": "a"}]})
    for resource in (value_set("x", {"system": FLAT}), listed):
        assert list(Expander(Shelved(flat)).within(resource)) == [(FLAT, "a")]
        assert Membership(Shelved(flat)).within(resource, Code(FLAT, "a")).is_member
        assert Membership(Shelved(flat)).within(resource, Code(FLAT, "b")).is_member is False
    with pytest.raises(Unprocessable, match="neither system nor valueSet"):
        Expander(LIBRARY).within(value_set("x", {"valueSet": [None], "_valueSet": [WHY]}))
    assert Membership(LIBRARY).within(value_set("x", {"valueSet": [None]}), Code(FLAT, "a")).is_member is False
    strange = value_set("x", {"system": CARE, "filter": [{"_property": WHY, "_op": WHY, "_value": WHY}]})
    with pytest.raises(Unprocessable, match="no such property"):
        Expander(LIBRARY).within(strange)


def chained(count: int, *, times: int = 1) -> Shelved:
    """Return value sets of which each includes the next one, several times; the last one has the code ``care``."""
    names = [f"n{number}" for number in range(count)]
    leading = [value_set(name, *[{"valueSet": [url(following)]}] * times) for name, following in pairwise(names)]
    return Shelved(SYSTEM, *leading, value_set(names[-1], {"system": CARE, "concept": [{"code": "care"}]}))


def test_value_sets_that_lead_too_far_are_refused() -> None:
    library = chained(400)
    told = r"more than 32 times: from .*n0 to .*n32"
    with pytest.raises(Unprocessable, match=told):
        Expander(library).of(url("n0"))
    with pytest.raises(Unprocessable, match=told):
        Membership(library).of(url("n0"), Code(CARE, "care"))


def test_value_set_that_many_lead_to_is_looked_at_once() -> None:
    library = chained(30, times=3)  # 3 to the power of 29 ways
    assert list(Expander(library).of(url("n0"))) == [(CARE, "care")]
    membership = Membership(library)
    assert membership.of(url("n0"), Code(CARE, "care")).is_member
    assert membership.of(url("n0"), Code(CARE, "burn")).is_member is False


def test_fragments_and_systems_used_are_told() -> None:
    expander = Expander(LIBRARY)
    expander.within(value_set("x", {"system": CARE}, {"system": PARTIAL}))
    assert list(expander.used) == [f"{CARE}|2", PARTIAL]
    assert list(expander.fragments) == [PARTIAL]


def test_expression_takes_time_in_proportion_to_the_text() -> None:
    evil = Shelved(code_system(FLAT, *(concept(f"{'a' * 5_000}{number}") for number in range(50))))
    assert Expander(evil).within(value_set("x", where("concept", "regex", "(a*)*b", FLAT))) == {}


def test_excludes_that_look_at_too_many_codes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STEPS", 20)
    resource = value_set("x", {"system": CARE})
    resource["compose"]["exclude"] = [{"system": "https://example.org/other"}]
    assert len(expanded(resource)) == 7
    resource["compose"]["exclude"] *= 2
    with pytest.raises(BadRequest, match="more than 20 codes"):
        expanded(resource)


def test_too_many_codes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STEPS", 9)
    assert len(expanded(value_set("x", {"system": CARE}))) == 7
    several = value_set("x", {"system": CARE}, {"system": FLAT})
    with pytest.raises(BadRequest, match="more than 9 codes"):
        expanded(several)
    membership = Membership(LIBRARY)
    for _ in range(3):
        assert membership.within(several, Code(FLAT, "a")).is_member
    filters = where("concept", "is-a", "care")
    with pytest.raises(BadRequest, match="more than 9 codes"):
        membership.within(value_set("x", filters, filters), Code(CARE, "advice"))


# --- versions, text --------------------------------------------------------------------------------------------------

TWO = Shelved(
    code_system(FLAT, concept("old"), version="1"), code_system(FLAT, concept("new"), version="2", status="active")
)


@pytest.mark.parametrize(
    ("include", "versions", "code"),
    [
        ({"system": FLAT}, Versions(), "new"),
        ({"system": FLAT, "version": "1"}, Versions(), "old"),
        ({"system": FLAT}, Versions(default={FLAT: "1"}), "old"),
        ({"system": FLAT, "version": "2"}, Versions(default={FLAT: "1"}), "new"),
        ({"system": FLAT, "version": "2"}, Versions(forced={FLAT: "1"}), "old"),
        ({"system": FLAT}, Versions(checked={FLAT: "1"}), "old"),
    ],
)
def test_version_is_the_one_that_is_meant(include: Json, versions: Versions, code: str) -> None:
    assert [key[1] for key in Expander(TWO, versions).within(value_set("x", include))] == [code]


def test_version_that_is_checked_must_be_used() -> None:
    with pytest.raises(Unprocessable, match="it was to be 1"):
        Expander(TWO, Versions(checked={FLAT: "1"})).within(value_set("x", {"system": FLAT, "version": "2"}))


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("burn", "burn"),
        ("BRU", "burn"),
        ("brulure", "burn"),
        ("scald", "burn"),
        ("aid first", "first-aid"),
        ("vice", ""),
        ("adv", "advice old-advice"),
        (None, ALL),
    ],
)
def test_text_filters_by_the_beginnings_of_words(text: str | None, codes: str) -> None:
    members = Expander(LIBRARY).within(value_set("x", {"system": CARE}))
    assert [one.code for one in narrowed(members, text, is_active=False, is_selectable=False)] == codes.split()


def test_inactive_and_abstract_codes_can_be_left_out() -> None:
    members = Expander(LIBRARY).within(value_set("x", {"system": CARE}))
    active = [one.code for one in narrowed(members, None, is_active=True, is_selectable=False)]
    assert set(ALL.split()) - set(active) == {"old-advice"}
    shown = [one.code for one in narrowed(members, None, is_active=False, is_selectable=True)]
    assert set(ALL.split()) - set(shown) == {"care"}


def test_required_value_sets_of_r4_are_expanded() -> None:
    builtin: Any = Builtin.of(Structures.load())
    members = Expander(builtin).of("http://hl7.org/fhir/ValueSet/administrative-gender")
    assert [code for _, code in members] == ["male", "female", "other", "unknown"]
    whole = Expander(builtin).of("http://hl7.org/fhir/administrative-gender?fhir_vs")
    assert list(whole) == list(members)
