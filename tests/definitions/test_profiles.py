"""``profiles/``: each file is valid R4, as ``fhir-server snapshot`` writes it, and refers to nothing missing."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from fhir_server.definitions.authoring import completed, faults, text, unsaid
from fhir_server.definitions.canonical import HL7, OURS, VERSION
from fhir_server.definitions.guide import PROFILES, Folder, parameters_of
from fhir_server.definitions.parameters import SearchParameters
from fhir_server.definitions.registry import CONFORMANCE_TYPES, Registry
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import compile_path
from fhir_server.france import vocabulary
from fhir_server.outcome import Unprocessable
from fhir_server.search.definition import faults as search_faults
from fhir_server.terminology.expansion import Expander
from fhir_server.validation.validator import Validator
from tests.docs.reading import ROOT
from tests.terminology.loading import Shelved

R4: Final = Structures.load()
FILES: Final = dict(Folder().resources())
BY_URL: Final = {resource["url"]: resource for resource in FILES.values() if "url" in resource}
REGISTRY: Final = Registry.load().with_parameters(parameters_of(), generation=0)
PROSE: Final = ("title", "short", "description", "human")
ENGLISH: Final = re.compile(r"\b(the|of|which|with|this|are)\b")


@cache
def validator() -> Validator:
    return Validator(R4, REGISTRY.types)


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_valid_r4_without_a_warning(name: str) -> None:
    issues = [issue for issue in validator().validate(FILES[name]) if issue.severity != "information"]
    assert [(issue.expression, issue.diagnostics) for issue in issues] == []


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_as_the_command_writes_it(name: str) -> None:
    assert text(completed(FILES[name], R4)) == (PROFILES / name).read_bytes(), "run scripts/profiles"


@pytest.mark.parametrize("name", FILES)
def test_each_file_says_what_it_is_in_which_version_and_whether_it_is_in_earnest(name: str) -> None:
    resource = FILES[name]
    assert unsaid(resource, R4) == []
    assert resource.get("version", VERSION) == VERSION
    assert resource["status"] == ("draft" if "Copie de travail" in resource["description"] else "active")


def test_names_and_urls_fit_and_what_is_named_of_ours_is_defined() -> None:
    assert list(faults(FILES)) == []


def test_faults_of_names_and_urls_are_told() -> None:
    url = f"{OURS}ValueSet/other"
    value_set: dict[str, Any] = {"resourceType": "ValueSet", "id": "one", "url": url, "status": "draft"}
    rebased = {**value_set, "url": f"{OURS}ValueSet/one", "publisher": OURS.replace("fhir", "elsewhere") + "x"}
    missing = {**value_set, "url": "https://a.example.net/one", "compose": {"include": [{"valueSet": [url]}]}}
    assert list(faults({"ValueSet-1.json": value_set})) == [
        "ValueSet-1.json: the file of ValueSet/one is named ValueSet-one.json",
        f"ValueSet-1.json: the url is {url}; expected is {OURS}ValueSet/one",
    ]
    assert "is not under the canonical base" in next(faults({"ValueSet-one.json": rebased}))
    assert "other is defined in no file" in next(faults({"ValueSet-one.json": missing}))


@pytest.mark.parametrize("name", FILES)
def test_names_are_english_words_and_what_people_read_is_french(name: str) -> None:
    resource = FILES[name]
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", resource["name"])
    told = [value for key, value in _texts({**resource, "snapshot": None}) if key in PROSE]
    assert resource.get("description")
    assert [value for value in told if ENGLISH.search(value)] == []


def _texts(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(name, value)]
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _texts(inner, key)]
    return [found for inner in value for found in _texts(inner, name)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("SearchParameter-")])
def test_each_search_parameter_can_be_searched_by_also_where_it_is_stored(name: str) -> None:
    assert list(search_faults(FILES[name], REGISTRY)) == []


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("StructureDefinition-")])
def test_each_constraint_can_be_evaluated(name: str) -> None:
    for element in FILES[name]["differential"]["element"]:
        for constraint in element.get("constraint", ()):
            path = next(one for one in FILES[name]["snapshot"]["element"] if one["id"] == element["id"])
            types = [one["code"] for one in path.get("type", ())]
            context = path["path"] if not types or types == ["BackboneElement"] else types[0]
            compile_path(constraint["expression"], context, R4)


def test_required_value_sets_of_ours_list_their_codes_or_name_whole_systems() -> None:
    for resource in FILES.values():
        for element in resource.get("differential", {}).get("element", ()):
            binding = element.get("binding", {})
            assert not binding or binding["valueSet"] in BY_URL, binding


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("CapabilityStatement-")])
def test_capability_statements_name_parameters_that_are_there(name: str) -> None:
    tables = SearchParameters.of_r4()
    for resource in FILES[name]["rest"][0]["resource"]:
        there = REGISTRY.parameters(resource["type"])
        for parameter in resource.get("searchParam", ()):
            found = there[parameter["name"]]
            assert (found.url, found.type) == (parameter["definition"], parameter["type"]), resource["type"]
        for include in (*resource.get("searchInclude", ()), *resource.get("searchRevInclude", ())):
            type_, code, *_ = include.split(":")
            assert code in REGISTRY.parameters(type_) or code in tables.of_type(type_)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("ConceptMap-")])
def test_maps_lead_from_codes_of_their_source_to_codes_of_their_target(name: str) -> None:
    map_ = FILES[name]
    for end in ("source", "target"):
        value_set = BY_URL.get(map_[f"{end}Canonical"])
        systems = {one["system"]: one for one in value_set["compose"]["include"]} if value_set is not None else {}
        assert systems or map_[f"{end}Canonical"].startswith(HL7)
        for group in map_["group"] if systems else ():
            listed = systems[group[end]].get("concept") or BY_URL[group[end]]["concept"]
            assert _codes_of(group, end) <= {concept["code"] for concept in listed}


def _codes_of(group: Any, end: str) -> set[str]:
    elements = group["element"]
    if end == "source":
        return {element["code"] for element in elements}
    return {target["code"] for element in elements for target in element["target"] if "code" in target}


WITHOUT_CODES = {
    "ValueSet-commune.json": "TRE-R13-CommuneOM",
    "ValueSet-practitioner-degree.json": "TRE-R36-AutreDiplomeObtenu",
}


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("ValueSet-")])
def test_each_value_set_is_expanded_offline_or_says_which_code_system_is_missing(name: str) -> None:
    library = Shelved(*BY_URL.values())
    if (missing := WITHOUT_CODES.get(name)) is not None:
        with pytest.raises(Unprocessable, match=rf"the CodeSystem .*{missing} is not loaded here"):
            Expander(library).within(FILES[name])
    else:
        assert Expander(library).within(FILES[name])


def test_only_conformance_resources_stand_here() -> None:
    assert {resource["resourceType"] for resource in FILES.values()} <= CONFORMANCE_TYPES


def test_profiles_derive_from_r4_and_name_no_french_parent_but_in_mapping() -> None:
    for resource in FILES.values():
        if resource["resourceType"] == "StructureDefinition":
            assert resource["baseDefinition"].startswith(f"{HL7}StructureDefinition/")


def test_code_systems_that_the_french_room_takes_are_defined() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in Path(vocabulary.__file__).parent.rglob("*.py"))
    for name in re.findall(r'own\("([a-z-]+)"\)', source):
        assert f"CodeSystem-{name}.json" in FILES


def test_the_page_names_every_file() -> None:
    page = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    missing = [
        resource["id"]
        for resource in FILES.values()
        if f"`{resource.get('code', resource['id'])}`" not in page and f"`{resource['id']}`" not in page
    ]
    assert missing == []
