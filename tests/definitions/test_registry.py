"""What is served, what may be searched, who belongs to whose compartment."""

from __future__ import annotations

import pytest

from fhir_server.definitions.canonical import OURS
from fhir_server.definitions.compartments import ITSELF
from fhir_server.definitions.parameters import COMPARATORS, SearchParameter, SearchParameters, SearchParameterType
from fhir_server.definitions.registry import CONFORMANCE_TYPES, CORE_TYPES, DEFAULT_TYPES, Registry

REGISTRY = Registry.load()
COMMON = {"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"}


def test_served_types_are_a_choice_among_those_of_r4() -> None:
    assert REGISTRY.types == DEFAULT_TYPES
    assert CORE_TYPES | CONFORMANCE_TYPES < DEFAULT_TYPES < REGISTRY.structures.resource_types
    assert Registry.load(["Slot"]).types == {"Slot"}
    with pytest.raises(ValueError, match="not a resource type of R4: Slots"):
        Registry.load(["Slot", "Slots"])


def test_every_type_has_the_common_parameters_and_none_without_expression() -> None:
    for type_ in REGISTRY.structures.resource_types:
        parameters = REGISTRY.parameters(type_)
        assert set(parameters) >= COMMON
        assert not {"_text", "_content", "_query"} & set(parameters)
        assert all(parameter.expression for parameter in parameters.values())
    assert set(REGISTRY.parameters("Resource")) == COMMON


def test_an_unknown_type_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        REGISTRY.parameters("Slots")


def test_a_parameter_says_all_that_the_table_does() -> None:
    actor = REGISTRY.parameters("Appointment")["actor"]
    assert actor.type is SearchParameterType.REFERENCE
    assert actor.base == "Appointment"
    assert "HealthcareService" in actor.targets
    assert actor.url == "http://hl7.org/fhir/SearchParameter/Appointment-actor"
    assert actor.comparators == ()
    date = REGISTRY.parameters("CareTeam")["date"]
    assert date.comparators == COMPARATORS
    assert date.url == "http://hl7.org/fhir/SearchParameter/clinical-date"
    assert REGISTRY.parameters("Task")["focus"].targets == frozenset()
    composite = REGISTRY.parameters("Group")["characteristic-value"]
    assert composite.type is SearchParameterType.COMPOSITE
    assert composite.components == (("Group-characteristic", "code"), ("Group-value", "value"))


@pytest.mark.parametrize("type_", ["Slot", "Appointment"])
def test_our_own_end_is_marked(type_: str) -> None:
    end = REGISTRY.parameters(type_)["end"]
    assert end.type is SearchParameterType.DATE
    assert end.url == f"{OURS}SearchParameter/{type_}-end"
    assert end.is_ours
    assert not REGISTRY.parameters(type_)["identifier"].is_ours


def test_our_own_value_set_of_a_code_system_is_marked() -> None:
    found = REGISTRY.parameters("CodeSystem")["value-set"]
    assert (found.type, found.expression) == (SearchParameterType.URI, "CodeSystem.valueSet")
    assert found.is_ours


def test_our_own_parameters_hide_none_of_r4() -> None:
    r4, ours = SearchParameters.of_r4(), SearchParameters.of_ours()
    for base in ours.bases:
        assert not set(r4.of_type(base)) & set(ours.of_type(base))


def test_parameters_of_references_are_found_by_an_element_that_refers() -> None:
    for type_ in REGISTRY.types:
        for parameter in REGISTRY.parameters(type_).values():
            assert parameter.targets <= REGISTRY.structures.resource_types
            assert not parameter.targets or parameter.type is SearchParameterType.REFERENCE


def test_an_installed_parameter_makes_a_new_registry() -> None:
    added = SearchParameter(
        "service-type-reference", SearchParameterType.REFERENCE, "Slot", "Slot.extension.value", "http://a/b"
    )
    later = REGISTRY.with_parameters([added], generation=7)
    assert later.generation == 7
    assert later.parameters("Slot")["service-type-reference"] is added
    assert "service-type-reference" not in later.parameters("Schedule")
    assert "service-type-reference" not in REGISTRY.parameters("Slot")
    assert REGISTRY.generation == 0
    again = later.with_parameters([], generation=8)
    assert again.parameters("Slot")["service-type-reference"] is added


def test_compartments_name_parameters_that_exist() -> None:
    assert REGISTRY.compartments == {"Patient", "Practitioner", "RelatedPerson"}
    for name in REGISTRY.compartments:
        for type_, codes in (REGISTRY.compartment(name) or {}).items():
            parameters = REGISTRY.parameters(type_)
            for code in codes:
                if code == ITSELF:
                    assert type_ == name
                else:
                    targets = parameters[code].targets
                    assert not targets or name in targets, f"{type_}.{code} never refers to a {name}"


def test_compartments_are_those_of_r4() -> None:
    patient, practitioner = REGISTRY.compartment("Patient"), REGISTRY.compartment("Practitioner")
    assert patient is not None
    assert practitioner is not None
    assert patient["Appointment"] == ("actor",)
    assert patient["CareTeam"] == ("patient", "participant")
    assert "Slot" not in patient
    assert practitioner["PractitionerRole"] == ("practitioner",)
    assert practitioner["Practitioner"] == (ITSELF,)
    assert REGISTRY.compartment("Encounter") is None
