"""What is written in several ways is found in each of them: index and search agree on one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.definitions.aliases import Aliases, together
from fhir_server.definitions.registry import Registry
from fhir_server.france import identifiers as ids
from fhir_server.france.aliases import french_aliases, system_speller
from fhir_server.model.reference import Key
from fhir_server.search.index import Indexer
from fhir_server.search.match import matches
from fhir_server.search.plan import plan
from fhir_server.search.request import parse_search

PARIS = ZoneInfo("Europe/Paris")
BASE = "http://127.0.0.1:8080/fhir"
NOS = "https://mos.esante.gouv.fr/NOS"
G15 = f"{NOS}/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
R66 = f"{NOS}/TRE_R66-CategorieEtablissement/FHIR/TRE-R66-CategorieEtablissement"
OLD_TYPES = "http://interopsante.org/fhir/CodeSystem/fr-v2-0203"
TYPES = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203"
IDNPS, IDNST = ids.IDNPS_SYSTEM, ids.IDNST_SYSTEM
RPPS, FINESS = ids.RPPS_SYSTEM, ids.FINESS_SYSTEM

Json = dict[str, Any]


@cache
def indexer() -> Indexer:
    return Indexer(registry(), PARIS, (BASE,))


@cache
def registry() -> Registry:
    return Registry.load().with_aliases(french_aliases())


def finds(resource: Json, name: str, value: str) -> bool:
    """Tell whether a search for one parameter finds a resource."""
    type_ = resource["resourceType"]
    request = parse_search(registry(), (type_,), [(name, value)], strict=True)
    where = plan(request, registry(), PARIS, (BASE,), 0).where
    return matches(where, Key(type_, "x"), indexer().entries(resource))


def person(system: str, value: str, types: str = TYPES, code: str = "IDNPS") -> Json:
    kind = {"coding": [{"system": types, "code": code}]}
    return {"resourceType": "Practitioner", "identifier": [{"type": kind, "system": system, "value": value}]}


@pytest.mark.parametrize(
    ("spelling", "system"),
    [
        ("http://rpps.esante.gouv.fr", RPPS),  # facts §9 row 25
        ("http://finess.esante.gouv.fr", FINESS),
        ("http://sirene.fr", ids.SIRENE_SYSTEM),
        ("http://interopsante.org/fhir/CodeSystem/fr-location-identifier-type", TYPES),  # row 3
        (OLD_TYPES, TYPES),
        (f"{NOS}/TRE_R66-CategorieEtablissement", R66),  # row 4
        (f"{NOS}/TRE_R66-CategorieEtablissement/", R66),
        (f"{NOS}/TRE_R66-CategorieEtablissement/TRE_R66-CategorieEtablissement", R66),
        (f"{R66}/", R66),
        (R66.replace("https", "http"), R66),
        ("urn:oid:1.2.250.1.71.1.2.7", G15),
        (f"{NOS}/TRE_R13-Commune/FHIR/TRE-R13-Commune", ids.COMMUNE_SYSTEM),  # row 29
    ],
)
def test_spellings_of_a_system_are_compared_as_one(spelling: str, system: str) -> None:
    spelled = system_speller()
    assert spelled(spelling) == spelled(system) == system


@given(st.text(max_size=40))
def test_any_system_is_spelled_and_once_is_enough(text: str) -> None:
    spelled = system_speller()
    assert spelled(spelled(text)) == spelled(text)


@pytest.mark.parametrize("system", ["", "https://example.org", f"{NOS}/JDV_J105", "https://mos.esante.gouv.fr/NOS/"])
def test_other_systems_stay(system: str) -> None:
    assert system_speller()(system) == system


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "{}", '{"systemes": {"a": ["b"], "b": ["c"]}, "nos": {"base": "", "anciens": {}, "oid": {}}}'],
)
def test_bad_file_of_spellings_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "aliases.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"aliases\.json"):
        system_speller(file)


@pytest.mark.parametrize(
    "stored", [(RPPS, "99700990015"), ("http://rpps.esante.gouv.fr", "99700990015"), (IDNPS, "899700990015")]
)
@pytest.mark.parametrize(
    "asked",
    [
        f"{RPPS}|99700990015",
        "http://rpps.esante.gouv.fr|99700990015",
        f"{IDNPS}|899700990015",
        "99700990015",
        "899700990015",
    ],
)
def test_prefixed_and_bare_number_are_one(stored: tuple[str, str], asked: str) -> None:
    assert finds(person(*stored), "identifier", asked)
    assert not finds(person(*stored), "identifier:not", asked)
    other = person(RPPS, ids.fictitious_rpps(999))
    assert not finds(other, "identifier", asked)
    assert finds(other, "identifier:not", asked)


@pytest.mark.parametrize(
    ("bare", "national"),
    [
        ((FINESS, "259999068"), "1259999068"),
        ((ids.SIRENE_SYSTEM, "999999014"), "2999999014"),
        ((ids.SIRENE_SYSTEM, "99999901400015"), "399999901400015"),
        (("https://rppsrang.esante.gouv.fr", "99700990015001"), "499700990015001"),
        (("http://adelirang.esante.gouv.fr", "25999905000"), "025999905000"),
    ],
)
def test_structure_is_found_by_either_form(bare: tuple[str, str], national: str) -> None:
    for system, value in (bare, (IDNST, national)):
        structure = {"resourceType": "Organization", "identifier": [{"system": system, "value": value}]}
        assert finds(structure, "identifier", "|".join(bare))
        assert finds(structure, "identifier", f"{IDNST}|{national}")


def test_system_alone_finds_all_its_spellings_and_forms() -> None:
    stored = person("http://rpps.esante.gouv.fr", "99700990015")
    for asked in (f"{RPPS}|", "http://rpps.esante.gouv.fr|", f"{IDNPS}|"):
        assert finds(stored, "identifier", asked)
    assert not finds(stored, "identifier", f"{FINESS}|")
    assert not finds(stored, "identifier", "|99700990015")


def test_type_of_an_identifier_is_found_in_either_spelling() -> None:
    stored = person(IDNPS, "899700990015", OLD_TYPES)
    assert finds(stored, "identifier:of-type", f"{TYPES}|IDNPS|899700990015")
    assert finds(stored, "identifier:of-type", f"{OLD_TYPES}|IDNPS|899700990015")
    assert not finds(stored, "identifier:of-type", f"{TYPES}|RPPS|899700990015")


def test_logical_reference_is_found_by_either_form() -> None:
    role = {
        "resourceType": "PractitionerRole",
        "organization": {"identifier": {"system": IDNST, "value": "1259999068"}},
    }
    assert finds(role, "organization:identifier", f"{IDNST}|1259999068")
    assert finds(role, "organization:identifier", "http://finess.esante.gouv.fr|259999068")
    assert finds(role, "organization:identifier", "259999068")


def test_contained_resource_is_found_by_either_form() -> None:
    role = {
        "resourceType": "PractitionerRole",
        "contained": [{**person(RPPS, "99700990015"), "id": "p"}],
        "practitioner": {"reference": "#p"},
    }
    assert finds(role, "practitioner.identifier", f"{IDNPS}|899700990015")


def test_code_is_found_in_any_spelling_of_its_system() -> None:
    coding = {"system": f"{NOS}/TRE_R66-CategorieEtablissement", "code": "604"}
    cpts = {"resourceType": "Organization", "type": [{"coding": [coding]}]}
    assert finds(cpts, "type", f"{R66}|604")
    assert finds(cpts, "type", f"{R66}/|")
    assert not finds(cpts, "type", f"{G15}|604")


def test_number_with_blanks_is_found_without_and_with_them() -> None:
    stored = {
        "resourceType": "Organization",
        "identifier": [{"system": ids.SIRENE_SYSTEM, "value": "999 999 014 00015"}],
    }
    assert finds(stored, "identifier", f"{ids.SIRENE_SYSTEM}|99999901400015")
    assert finds(stored, "identifier", f"{ids.SIRENE_SYSTEM}|999 999 014 00015")
    assert finds(stored, "identifier", "999 999 014 00015")


@pytest.mark.parametrize("stored", ["0381000000", "03 81 00 00 00", "+33 3 81 00 00 00"])
@pytest.mark.parametrize("asked", ["0381000000", "03 81 00 00 00", "+33 3 81 00 00 00", "+33381000000", " 33381000000"])
def test_telephone_number_is_found_however_it_is_written(stored: str, asked: str) -> None:
    resource = {"resourceType": "Practitioner", "telecom": [{"system": "phone", "value": stored}]}
    for name in ("phone", "telecom"):
        assert finds(resource, name, asked)
        assert finds(resource, name, f"phone|{asked}")
    assert not finds(resource, "phone", "0381000001")


def test_resource_with_both_forms_has_no_more_entries() -> None:
    both = person(IDNPS, "899700990015")
    both["identifier"].append({"system": RPPS, "value": "99700990015"})
    plain = Indexer(Registry.load(), PARIS, (BASE,)).entries(both)
    assert len(indexer().entries(both)) == len(plain)


def test_aliases_of_several_guides_follow_each_other() -> None:
    upper = Aliases(str.upper, str.upper, lambda system, value: ((system, value), (system, value.upper())))
    both = together((french_aliases(), Aliases(), upper))
    assert both.system("http://sirene.fr") == "HTTPS://SIRENE.FR"
    assert both.number(RPPS, "99700990015") == (RPPS, "99700990015")
    assert (IDNPS, "899700990015") in both.numbers(RPPS, "99700990015")
    assert both.numbers("x", "a") == (("x", "a"), ("x", "A"))
