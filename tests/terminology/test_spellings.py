"""Code systems asked for under another spelling of their URL: the answers are those of the one that is loaded.

Spec: https://hl7.org/fhir/R4/terminologies.html#system
"""

from __future__ import annotations

import pytest

from fhir_server.terminology.expansion import Expander
from fhir_server.terminology.finding import Versions, code_system
from fhir_server.terminology.lookup import look_up
from fhir_server.terminology.membership import Code
from fhir_server.terminology.spelling import Spelled, is_same, meant, otherwise, with_spellings
from fhir_server.terminology.translation import Asked, translate
from fhir_server.terminology.validate_code import Coded, Wish, in_code_system, in_value_set
from tests.terminology.loading import BASE, CARE, FLAT, OTHERS, SYSTEM, Json, Shelved, concept, url, value_set, where
from tests.terminology.loading import code_system as system_of

OLD = "urn:oid:1.2.3"
OWN = "urn:oid:1.2.4"
"""A spelling of the same, under which another code system is loaded."""
AID = value_set("aid", where("concept", "is-a", "first-aid"))
AID_OF_OLD = value_set("aid-of-old", {**where("concept", "is-a", "first-aid"), "system": OLD})
BOTH = value_set("both", {"system": OLD, "concept": [{"code": "burn"}], "valueSet": [url("aid")]})
WITHOUT = value_set("without", {"system": CARE}, exclude=[{"system": OLD}])
BROUGHT: Json = {
    "resourceType": "ValueSet",
    "url": url("brought"),
    "status": "active",
    "expansion": {"timestamp": "2026-01-05", "contains": [{"system": OLD, "code": "burn"}]},
}
MAP: Json = {
    "resourceType": "ConceptMap",
    "url": f"{BASE}/ConceptMap/care",
    "status": "active",
    "group": [
        {
            "source": CARE,
            "target": FLAT,
            "element": [{"code": "burn", "target": [{"code": "b", "equivalence": "equal"}]}],
        }
    ],
}
SHELVED = Shelved(SYSTEM, *OTHERS, system_of(OWN, concept("burn")), AID, AID_OF_OLD, BOTH, WITHOUT, BROUGHT)
LIBRARY = Spelled(SHELVED, lambda system: {OLD: CARE, OWN: CARE}.get(system, system))


def test_spelling_that_is_loaded_is_itself_and_another_the_one_compared() -> None:
    assert [meant(LIBRARY, one) for one in (CARE, OLD, OWN, "urn:x")] == [CARE, CARE, OWN, "urn:x"]
    assert (otherwise(LIBRARY, OLD), otherwise(LIBRARY, CARE), otherwise(LIBRARY, OWN)) == (CARE, None, None)
    assert is_same(LIBRARY, OLD, CARE)
    assert not is_same(LIBRARY, OWN, CARE)
    assert not is_same(LIBRARY, None, CARE)


def test_library_without_spellings_takes_a_uri_as_it_is() -> None:
    assert meant(SHELVED, OLD) == OLD
    assert code_system(SHELVED, OLD) is None
    assert with_spellings(lambda library: meant(library, OLD), lambda _: CARE)(SHELVED) == CARE


def test_lookup_tells_the_code_system_that_it_found() -> None:
    found = look_up(LIBRARY, Code(OLD, "burn"), (), ())
    assert found == look_up(LIBRARY, Code(CARE, "burn"), (), ())
    assert found.system == CARE
    assert look_up(LIBRARY, Code(OWN, "burn"), (), ()).system == OWN


@pytest.mark.parametrize("name", ["aid", "aid-of-old", "both", "brought"])
@pytest.mark.parametrize("system", [OLD, CARE])
def test_code_is_in_a_value_set_however_either_spells_its_system(name: str, system: str) -> None:
    verdict = in_value_set(LIBRARY, url(name), [Coded(Code(system, "burn"))], Wish())
    assert verdict.is_valid is True
    assert verdict.system == (CARE if system == OLD else None)
    assert in_value_set(LIBRARY, url(name), [Coded(Code(system, "advice"))], Wish()).is_valid is False
    assert in_value_set(LIBRARY, url(name), [Coded(Code(OWN, "burn"))], Wish()).is_valid is False


def test_code_is_of_a_code_system_that_is_given() -> None:
    for resource in (None, SYSTEM):
        verdict = in_code_system(LIBRARY, resource, [Coded(Code(OLD, "burn"))], Wish())
        assert (verdict.is_valid, verdict.system) == (True, CARE)
    assert in_code_system(LIBRARY, SYSTEM, [Coded(Code(OWN, "burn"))], Wish()).is_valid is False


def test_value_sets_of_several_spellings_are_intersected_and_excluded() -> None:
    codes = {name: [one.code for one in Expander(LIBRARY).of(url(name)).values()] for name in ("both", "without")}
    assert codes == {"both": ["burn"], "without": []}
    assert list(Expander(LIBRARY).of(url("aid-of-old"))) == list(Expander(LIBRARY).of(url("aid")))
    assert not Expander(LIBRARY, excluded_systems=frozenset({OLD})).of(url("aid"))
    assert not Expander(LIBRARY, excluded_systems=frozenset({OLD})).of(url("brought"))


def test_version_is_that_of_the_code_system_meant() -> None:
    versions = Versions(forced={CARE: "1"})
    assert code_system(LIBRARY, OLD) is not None
    assert code_system(LIBRARY, OLD, versions=versions) is None


def test_map_is_followed_from_and_to_any_spelling() -> None:
    (forwards,) = translate(LIBRARY, [MAP], Asked([Code(OLD, "burn")]))
    assert forwards.code == Code(FLAT, "b")
    (backwards,) = translate(LIBRARY, [MAP], Asked([Code(FLAT, "b")], target_system=OLD, is_reverse=True))
    assert backwards.code == Code(CARE, "burn")
    assert translate(LIBRARY, [MAP], Asked([Code(OWN, "burn")])) == []
