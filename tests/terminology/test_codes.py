"""What is told of codes: valid or not, with which display; what they mean; which is above which.

Spec: https://hl7.org/fhir/R4/codesystem-operations.html
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fhir_server.outcome import NotFound, Unprocessable
from fhir_server.terminology.code_system import CodeSystem
from fhir_server.terminology.displays import display, languages
from fhir_server.terminology.expansion import Expander
from fhir_server.terminology.lookup import look_up
from fhir_server.terminology.membership import Code
from fhir_server.terminology.subsumption import subsumption
from fhir_server.terminology.validate_code import Coded, Verdict, Wish, in_code_system, in_value_set
from tests.terminology.loading import (
    BASE,
    CARE,
    EMPTY,
    FLAT,
    OTHERS,
    PARTIAL,
    SYSTEM,
    Shelved,
    code_system,
    concept,
    url,
    value_set,
    where,
)

SET = value_set("aid", where("concept", "is-a", "first-aid"), {"system": CARE, "concept": [{"code": "care"}]})
NAMED = value_set("named", {"system": CARE, "concept": [{"code": "burn", "display": "A burn"}]})
LIBRARY = Shelved(SYSTEM, *OTHERS, SET, NAMED)


def coded(code: str, display: str | None = None, system: str = CARE, version: str | None = None) -> Coded:
    return Coded(Code(system, code, version), display)


VERDICTS: dict[str, tuple[str, list[Coded], Wish, tuple[bool | None, str | None, str | None]]] = {
    "valid": ("aid", [coded("burn")], Wish(), (True, None, "Burn")),
    "not in it": ("aid", [coded("advice")], Wish(), (False, "is not in the ValueSet", "Advice")),
    "no code at all": ("aid", [coded("none")], Wish(), (False, "is not in the ValueSet", None)),
    "another system": ("aid", [coded("burn", system=FLAT)], Wish(), (False, "is not in the ValueSet", None)),
    "the right display": ("aid", [coded("burn", "BURN ")], Wish(), (True, None, "Burn")),
    "a designation": ("aid", [coded("burn", "Brûlure")], Wish(), (True, None, "Burn")),
    "a wrong display": ("aid", [coded("burn", "Wound")], Wish(), (False, "is 'Burn', not the one given", "Burn")),
    "a display of the value set": ("named", [coded("burn", "a burn")], Wish(), (True, None, "A burn")),
    "in French": ("aid", [coded("burn")], Wish(languages("fr")), (True, None, "Brûlure")),
    "abstract": ("aid", [coded("care")], Wish(), (False, "only groups other codes", "Care")),
    "abstract is valid": ("aid", [coded("care")], Wish(takes_abstract=True), (True, None, "Care")),
    "one of several": ("aid", [coded("advice"), coded("burn")], Wish(), (True, None, "Burn")),
    "none of several": ("aid", [coded("advice"), coded("none")], Wish(), (False, "; ", "Advice")),
    "no coding": ("aid", [], Wish(), (False, "no coding", None)),
    "a version that is there": ("aid", [coded("burn", version="2")], Wish(), (True, None, "Burn")),
    "a version that is not": ("aid", [coded("burn", version="3")], Wish(), (None, "version 3 is not loaded", None)),
}


@pytest.mark.parametrize(("name", "several", "wish", "wanted"), VERDICTS.values(), ids=VERDICTS)
def test_code_is_judged_by_a_value_set(
    name: str, several: list[Coded], wish: Wish, wanted: tuple[bool | None, str | None, str | None]
) -> None:
    verdict = in_value_set(LIBRARY, url(name), several, wish)
    assert (verdict.is_valid, verdict.display) == (wanted[0], wanted[2])
    assert (wanted[1] or "") in (verdict.message or "")
    assert (verdict.message is None) is (wanted[1] is None)


@pytest.mark.parametrize(
    ("several", "is_valid", "told"),
    [
        ([coded("burn")], True, ""),
        ([coded("none")], False, "is not in its CodeSystem"),
        ([coded("A", system=FLAT)], True, ""),
        ([coded("some", system=PARTIAL)], True, ""),
        ([coded("other", system=PARTIAL)], None, "not with all of its codes"),
        ([coded("any", system=EMPTY)], None, "content 'not-present'"),
        ([coded("any", system="urn:x")], None, "urn:x is not loaded"),
        ([coded("burn", version="3")], None, r"care|3 is not loaded"),
        ([coded("any", system="urn:x"), coded("burn")], True, ""),
    ],
)
def test_code_is_judged_by_its_code_system(several: list[Coded], is_valid: bool | None, told: str) -> None:
    verdict = in_code_system(LIBRARY, None, several, Wish())
    assert verdict.is_valid is is_valid
    assert told in (verdict.message or "")


def test_code_of_another_system_than_the_one_given_is_not_valid() -> None:
    assert in_code_system(LIBRARY, SYSTEM, [coded("a", system=FLAT)], Wish()).is_valid is False
    assert in_code_system(LIBRARY, SYSTEM, [coded("burn", version="1")], Wish()).is_valid is False
    assert in_code_system(LIBRARY, SYSTEM, [coded("burn")], Wish()) == Verdict(True, None, "Burn")


# --- lookup ----------------------------------------------------------------------------------------------------------


def test_lookup_tells_all_of_a_code() -> None:
    found = look_up(LIBRARY, Code(CARE, "first-aid"), [], [])
    assert (found.name, found.version, found.display) == ("Care", "2", "First aid")
    assert found.properties == (
        ("parent", "code", "care"),
        ("child", "code", "burn"),
        ("child", "code", "wound"),
        ("inactive", "boolean", False),
    )
    old = look_up(LIBRARY, Code(CARE, "old-advice"), [], [])
    assert old.properties == (("parent", "code", "advice"), ("inactive", "boolean", True), ("kind", "code", "early"))


def test_lookup_tells_what_is_asked_for() -> None:
    found = look_up(LIBRARY, Code(CARE, "burn"), ["parent"], [])
    assert found.properties == (("parent", "code", "first-aid"),)
    assert found.designations == ()
    assert len(look_up(LIBRARY, Code(CARE, "burn"), ["designation"], []).designations) == 2
    assert look_up(LIBRARY, Code(CARE, "burn"), [], ["fr"]).display == "Brûlure"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (Code(CARE, "none"), "no code none in .*care.2"),
        (Code(PARTIAL, "none"), "content 'fragment'"),
        (Code("urn:x", "a"), "urn:x is not loaded"),
        (Code(CARE, "burn", "3"), r"care\|3 is not loaded"),
    ],
)
def test_lookup_of_what_is_not_there_is_not_found(code: Code, told: str) -> None:
    with pytest.raises(NotFound, match=told):
        look_up(LIBRARY, code, [], [])


def test_lookup_of_a_property_that_is_not_there_is_refused() -> None:
    with pytest.raises(Unprocessable, match=r"no property colour; there are .*kind"):
        look_up(LIBRARY, Code(CARE, "burn"), ["colour"], [])


# --- hierarchy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ("burn", "burn", "equivalent"),
        ("care", "burn", "subsumes"),
        ("burn", "care", "subsumed-by"),
        ("burn", "wound", "not-subsumed"),
        ("advice", "old-advice", "subsumes"),
    ],
)
def test_subsumption(first: str, second: str, outcome: str) -> None:
    assert subsumption(CodeSystem(SYSTEM), first, second) == outcome


def test_subsumption_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound, match="no code none"):
        subsumption(CodeSystem(SYSTEM), "burn", "none")
    with pytest.raises(Unprocessable, match="not-present"):
        subsumption(CodeSystem(OTHERS[2]), "a", "b")


def test_hierarchy_that_goes_in_a_circle_ends() -> None:
    system = CodeSystem({"url": FLAT, "concept": [concept("a", parent="b"), concept("b", parent="a")]})
    assert system.ancestors("a") == system.descendants("a") == {"b"}


def test_children_by_property_are_below() -> None:
    child = {"code": "sub", "uri": "http://hl7.org/fhir/concept-properties#child", "type": "code"}
    system = CodeSystem({"url": FLAT, "property": [child], "concept": [concept("a", sub="b"), concept("b")]})
    assert system.ancestors("b") == {"a"}


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("fr", "Brûlure"),
        ("fr-CH", "Brûlure"),
        ("en", "Burn"),
        ("de", "Burn"),
        ("de,fr;q=0.5", "Brûlure"),
        (None, "Burn"),
    ],
)
def test_display_is_in_the_language_wanted(wanted: str | None, text: str) -> None:
    assert display("Burn", "en", [{"language": "fr", "value": "Brûlure"}], languages(wanted)) == text


SUPPLEMENT = code_system(
    f"{BASE}/CodeSystem/care-fr", concept("burn", display="Brûlure"), content="supplement", supplements=CARE
)
SUPPLEMENTED = Shelved(SYSTEM, SUPPLEMENT)
BURN = coded("burn", system=SUPPLEMENT["url"])


@pytest.mark.parametrize(
    "take",
    [
        lambda: look_up(SUPPLEMENTED, BURN.code, (), ()),
        lambda: in_code_system(SUPPLEMENTED, None, [BURN], Wish()),
        lambda: in_code_system(SUPPLEMENTED, SUPPLEMENT, [BURN], Wish()),
        lambda: in_value_set(SUPPLEMENTED, value_set("all", {"system": SUPPLEMENT["url"]}), [BURN], Wish()),
        lambda: Expander(SUPPLEMENTED).within(value_set("all", {"system": SUPPLEMENT["url"]})),
    ],
)
def test_supplement_is_never_taken_for_a_code_system(take: Callable[[], object]) -> None:
    with pytest.raises(Unprocessable, match=f"only supplements {CARE}"):
        take()
    assert look_up(SUPPLEMENTED, Code(CARE, "burn"), (), ()).display == "Burn"
