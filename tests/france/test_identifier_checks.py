"""Identifiers of known systems are checked wherever they stand; no text repeats a number."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.france import identifiers as ids
from fhir_server.france.aliases import system_speller
from fhir_server.france.identifier_checks import IdentifierChecks, search_fault
from fhir_server.outcome import Issue

SPELLED = system_speller()
INS = "urn:oid:1.2.250.1.213.1.4.8"
RIGHT, WRONG_KEY = "255081416802538", "255081416802539"

Json = dict[str, Any]


def told(resource: Json, *, production: bool = False, refuse_digits: bool = False) -> list[Issue]:
    check = IdentifierChecks(SPELLED, refuse_trials=production, refuse_digits=refuse_digits)
    return list(check({"resourceType": "Patient", **resource}))


def identifier(system: str, value: str) -> Json:
    return {"system": system, "value": value}


def commune(code: str, system: str = ids.COMMUNE_SYSTEM) -> Json:
    return {"url": "x", "valueCoding": {"system": system, "code": code}}


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ({"identifier": [identifier(INS, "12")]}, "Patient.identifier[0].value"),
        (
            {"contact": [{"organization": {"identifier": identifier(ids.IDNST_SYSTEM, "12")}}]},
            "Patient.contact[0].organization.identifier.value",
        ),
        (
            {"contained": [{"resourceType": "Practitioner", "identifier": [identifier(ids.RPPS_SYSTEM, "12")]}]},
            "Patient.contained[0].identifier[0].value",
        ),
        (
            {"extension": [{"url": "x", "valueIdentifier": identifier("http://sirene.fr", "12")}]},
            "Patient.extension[0].valueIdentifier.value",
        ),
        (
            {"identifier": [{"system": "x", "assigner": {"identifier": identifier(ids.FINESS_SYSTEM, "1")}}]},
            "Patient.identifier[0].assigner.identifier.value",
        ),
        ({"address": [{"extension": [commune("2503")]}]}, "Patient.address[0].extension[0].valueCoding.code"),
        ({"address": [{"extension": [commune("2C004")]}]}, "Patient.address[0].extension[0].valueCoding.code"),
        (
            {"extension": [commune("Audincourt", ids.COMMUNE_SYSTEM.replace("OM", ""))]},
            "Patient.extension[0].valueCoding.code",
        ),
    ],
)
def test_wrong_pattern_is_an_error_wherever_it_stands(resource: Json, path: str) -> None:
    [issue] = told(resource)
    assert (issue.is_error, issue.id, issue.expression) == (True, "identifier-pattern", (path,))


@pytest.mark.parametrize(
    "resource",
    [
        {"identifier": [identifier(INS, RIGHT)]},
        {"identifier": [identifier(INS, "2 55 08 14 168 025 38")]},
        {"identifier": [identifier("https://example.org", "12")]},
        {"identifier": [{"system": INS}]},
        {"extension": [{"url": "x", "valueQuantity": {"system": INS, "value": 12}}]},
        {"extension": [{"url": "x", "valueCoding": {"system": ids.RPPS_SYSTEM, "code": "12"}}]},
        *({"address": [{"extension": [commune(code)]}]} for code in ("25031", "2A004", "2B033", "97411", "99100")),
        # The number of a situation of practice has RPPS's system, and any form.
        {"resourceType": "PractitionerRole", "identifier": [identifier(ids.RPPS_SYSTEM, "F58000880311022013")]},
        {"contained": [{"resourceType": "PractitionerRole", "identifier": [identifier(ids.RPPS_SYSTEM, "1")]}]},
    ],
)
def test_what_is_right_or_not_known_is_not_told(resource: Json) -> None:
    assert told(resource) == []


def test_wrong_check_digit_is_a_warning_and_by_setting_an_error() -> None:
    resource = {"identifier": [identifier(INS, WRONG_KEY)]}
    [issue] = told(resource)
    assert (issue.is_error, issue.id) == (False, "identifier-check")
    [issue] = told(resource, refuse_digits=True)
    assert issue.is_error


def test_corsican_number_has_no_digit_to_check() -> None:
    assert told({"identifier": [identifier(ids.FINESS_SYSTEM, "2A0000012")]}) == []


def test_rank_of_a_practice_in_another_form_is_only_doubted() -> None:  # facts §9 row 24
    [issue] = told({"identifier": [identifier("https://rppsrang.esante.gouv.fr", "F754567860")]}, refuse_digits=True)
    assert not issue.is_error


@pytest.mark.parametrize("arc", ["10", "11"])
def test_test_identity_is_refused_in_production_only(arc: str) -> None:  # facts §9 row 28
    resource = {"identifier": [identifier(f"urn:oid:1.2.250.1.213.1.4.{arc}", RIGHT)]}
    assert told(resource) == []
    [issue] = told(resource, production=True)
    assert (issue.is_error, issue.id) == (True, "identifier-trial")


@pytest.mark.parametrize("value", [WRONG_KEY, "25508141680253", "2550814168025388"])
def test_number_of_a_patient_is_in_no_text(value: str) -> None:
    for issue in told({"identifier": [identifier(INS, value)]}, refuse_digits=True):
        assert value[:9] not in issue.diagnostics


def test_search_for_what_cannot_be_is_told() -> None:
    assert search_fault(SPELLED, "http://rpps.esante.gouv.fr", "12") is not None
    assert search_fault(SPELLED, ids.RPPS_SYSTEM, "99700990015") is None
    assert search_fault(SPELLED, "https://example.org", "12") is None
