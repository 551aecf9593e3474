"""Which SearchParameter resources can be searched by, and why others cannot."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.definitions.parameters import search_parameters
from fhir_server.definitions.registry import Registry
from fhir_server.outcome import Issue
from fhir_server.search.definition import faults, is_usable

SAS = (
    "Slot.serviceType.extension"
    ".where(url='http://hl7.org/fhir/5.0/StructureDefinition/extension-Slot.serviceType').value"
)


def resource(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "url": "https://example.org/SearchParameter/colour",
        "status": "active",
        "code": "colour",
        "base": ["Slot"],
        "type": "string",
        "expression": "Slot.comment",
        **more,
    }


def found(registry: Registry, **more: Any) -> list[Issue]:
    return list(faults(resource(**more), registry))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"type": "reference", "code": "service-type-reference", "expression": SAS, "target": ["HealthcareService"]},
        {"type": "reference", "expression": SAS},
        {"base": ["Slot", "Schedule"], "expression": "Slot.comment | Schedule.comment"},
        {"base": ["Resource"], "expression": "id", "type": "token"},
        {"base": ["DomainResource"], "expression": "DomainResource.extension.value", "type": "token"},
        {"type": "date", "expression": "Slot.start | Slot.end"},
        {"status": "draft", "expression": "nonsense("},
        {"status": "retired", "type": "composite"},
    ],
)
def test_a_definition_that_can_be_searched_by(registry: Registry, more: dict[str, Any]) -> None:
    assert found(registry, **more) == []


@pytest.mark.parametrize(
    ("more", "path", "told"),
    [
        ({"code": "_colour"}, "code", "what begins with _ is the standard's"),
        ({"code": "a:b"}, "code", "the code is 'a:b'"),
        ({"code": "a.b"}, "code", "letters, digits, - and _"),
        ({"code": "c" * 65}, "code", "64 characters at most"),
        ({"type": "composite"}, "type", "date, number, quantity, reference, string, token, uri"),
        ({"type": "special"}, "type", "a parameter of type special cannot be added"),
        ({"target": ["Patient"]}, "target", "this is a string"),
        ({"base": ["Encounter"], "expression": "Encounter.id"}, "base[0]", "Encounter is not served here; served are"),
        ({"code": "status"}, "code", "is a parameter of Slot already, http://hl7.org/fhir/SearchParameter/Slot-status"),
        ({"code": "end"}, "code", "is a parameter of Slot already"),
        ({"base": ["Resource"], "code": "identifier", "expression": "id"}, "code", "identifier is a parameter of"),
        ({"expression": "Slot.comment +"}, "expression", "at 14"),
        ({"expression": "Slot.comment.frobnicate()"}, "expression", "frobnicate"),
        ({"expression": "Slot.colour"}, "expression", "Slot has no element colour"),
        ({"expression": "Schedule.comment"}, "expression", "it says nothing of Slot: it begins with Schedule"),
        ({"expression": "Slot.comment" + " | Slot.comment" * 2_000}, "expression", "30012 characters"),
        ({"type": "date"}, "expression", "it leads to string on Slot; a date is found in Period, Timing, date"),
        ({"type": "quantity", "expression": "Slot.start"}, "expression", "it leads to instant on Slot"),
        ({"type": "date", "expression": "Slot.meta.lastUpdated"}, "expression", "not indexed: search by _lastUpdated"),
        ({"type": "date", "expression": "start | (meta.lastUpdated as instant)"}, "expression", "meta.lastUpdated is"),
        ({"type": "token", "expression": "Slot.meta.versionId"}, "expression", "meta.versionId is set by the server"),
    ],
)
def test_why_a_definition_cannot_be_searched_by(registry: Registry, more: dict[str, Any], path: str, told: str) -> None:
    (issue,) = found(registry, **more)
    assert issue.id == "search-parameter-definition"
    assert issue.expression == (f"SearchParameter.{path}",)
    assert told in issue.diagnostics


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("Slot.comment.where($this.matches('^(a+)+$'))", "matches()"),
        ("Slot.comment.replaceMatches('a', 'aa')", "replaceMatches()"),
        ("Slot.specialty.select($this.combine($this)).text", "select()"),
        ("Slot.specialty.combine(Slot.specialty).text", "combine()"),
        ("Slot.comment.iif(true, $this & $this)", "iif()"),
        ("Slot.comment & Slot.comment", "the operator &"),
        ("Slot.specialty.where(text.length() * 2 > 4).text", "the operator *"),
        ("Slot.specialty.where(-1 = 1).text", "the operator -"),
        ("Slot.descendants().descendants()", "descendants()"),
        ("Slot.specialty.where((%resource.specialty | $this).count() > 1).text", "%resource"),
        ("Slot.extension.value.resolve().text", "resolve()"),
        ("Slot.specialty[$this.children().count()].text", "children()"),
    ],
)
def test_what_may_cost_more_than_a_resource_is_long(registry: Registry, expression: str, told: str) -> None:
    (issue,) = found(registry, expression=expression)
    assert issue.expression == ("SearchParameter.expression",)
    assert f"{told} is not for search parameters" in issue.diagnostics


@pytest.mark.parametrize(
    "expression",
    [
        "Slot.specialty.where(coding.exists(system.startsWith('a') and code = 'b')).text",
        "Slot.specialty.first().text | Slot.comment",
        "Slot.extension('https://example.org/colour').value.ofType(string)",
        "(Slot.extension.value as string)",
        "Slot.specialty[0].text",
    ],
)
def test_what_costs_no_more_than_a_resource_is_long(registry: Registry, expression: str) -> None:
    assert found(registry, expression=expression) == []


def test_an_expression_has_its_length(registry: Registry) -> None:
    assert found(registry, expression="Slot.comment" + " " * 1_988) == []
    (issue,) = found(registry, expression="Slot.comment" + " " * 1_989)
    assert issue.diagnostics == "it has 2001 characters, at most 2000 are read"


def test_a_definition_without_an_expression_has_nothing_to_index(registry: Registry) -> None:
    given = resource()
    del given["expression"]
    (issue,) = faults(given, registry)
    assert issue.expression == ("SearchParameter.expression",)


def test_a_definition_with_an_extension_in_the_place_of_what_is_required(registry: Registry) -> None:
    for name in ("url", "code", "type"):
        given = resource()
        del given[name]
        assert [issue.expression for issue in faults(given, registry)] == [(f"SearchParameter.{name}",)]
    given = resource()
    del given["status"]
    assert list(faults(given, registry)) == []


def test_all_faults_are_told_at_once(registry: Registry) -> None:
    issues = found(registry, code="_x", type="composite", base=["Encounter", "Slot"], expression="x(")
    assert [issue.expression[0] for issue in issues] == [
        "SearchParameter.code",
        "SearchParameter.type",
        "SearchParameter.base[0]",
    ]


@pytest.mark.parametrize("status", ["active", "retired"])
def test_what_describes_what_is_built_in_may_say_it_again(registry: Registry, status: str) -> None:
    url = "http://hl7.org/fhir/SearchParameter/clinical-date"
    shared = {"url": url, "code": "date", "type": "date", "status": status, "expression": "whatever (R4 has it)"}
    assert found(registry, **shared, base=["CareTeam", "Encounter"]) == []
    composite = "http://hl7.org/fhir/SearchParameter/Group-characteristic-value"
    own = {"url": composite, "code": "characteristic-value", "type": "composite", "status": status}
    assert found(registry, **own, base=["Group"]) == []


def test_the_url_of_another_parameter_describes_nothing(registry: Registry) -> None:
    url = "http://hl7.org/fhir/SearchParameter/Slot-schedule"
    (issue,) = found(registry, url=url, code="status", type="token", expression="Slot.status")
    assert "give that url to describe it" in issue.diagnostics


@pytest.mark.parametrize(
    ("more", "usable"),
    [
        ({}, True),
        ({"code": "status"}, False),
        ({"code": "a:b"}, False),
        ({"type": "composite"}, False),
        ({"expression": "nonsense("}, False),
        ({"base": ["Encounter"], "expression": "Encounter.id"}, True),
    ],
)
def test_what_an_earlier_program_stored_is_used_if_it_can_be(
    registry: Registry, more: dict[str, Any], usable: bool
) -> None:
    (parameter,) = search_parameters(resource(**more))
    assert is_usable(parameter, registry) is usable
