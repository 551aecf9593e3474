"""What an active resource claims in its family."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.france import identifiers as ids
from fhir_server.france.aliases import system_speller
from fhir_server.france.families import Claim, read_families
from fhir_server.france.regulators import ACCOUNTS

SPELLED = system_speller()
FAMILIES = read_families(SPELLED)
NOS = "https://mos.esante.gouv.fr/NOS"
G15 = f"{NOS}/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
REGUL = "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/FrPractitionerRegul"

Json = dict[str, Any]


def claims(type_: str, *numbers: tuple[str, str], **more: Any) -> set[Claim]:
    identifiers = [{"system": system, "value": value} for system, value in numbers]
    return set(FAMILIES.claims({"resourceType": type_, "identifier": identifiers, **more}))


def profession(code: str, system: str = G15) -> Json:
    return {"code": {"coding": [{"system": system, "code": code}]}}


RPPS, IDNPS = (ids.RPPS_SYSTEM, "99700990015"), (ids.IDNPS_SYSTEM, "899700990015")
FINESS, SIRET = (ids.FINESS_SYSTEM, "259999068"), (ids.SIRENE_SYSTEM, "99999901400015")


def test_forms_of_a_number_are_one_claim() -> None:
    assert len(claims("Practitioner", RPPS, IDNPS, ("http://rpps.esante.gouv.fr", "99700990015"))) == 1
    assert claims("Practitioner", RPPS) == claims("Practitioner", IDNPS)
    assert claims("Organization", FINESS) == claims("Organization", (ids.IDNST_SYSTEM, "1259999068"))
    assert claims("Organization", SIRET) == claims("Organization", (ids.IDNST_SYSTEM, "399999901400015"))


def test_professional_claims_a_number_in_each_profession() -> None:
    doctor = claims("Practitioner", RPPS, qualification=[profession("10")])
    nurse = claims("Practitioner", RPPS, qualification=[profession("60")])
    both = claims("Practitioner", RPPS, qualification=[profession("10"), profession("60")])
    assert both == doctor | nurse
    assert not doctor & nurse
    assert not claims("Practitioner", RPPS) & both
    spelled_otherwise = profession("10", f"{NOS}/TRE_G15-ProfessionSante")
    assert claims("Practitioner", RPPS, qualification=[spelled_otherwise]) == doctor


def test_diploma_is_no_profession() -> None:
    diploma = profession("DE09", f"{NOS}/TRE_R48-DiplomeEtatFrancais/FHIR/TRE-R48-DiplomeEtatFrancais")
    assert claims("Practitioner", RPPS, qualification=[diploma]) == claims("Practitioner", RPPS)


def test_account_of_a_regulator_is_not_compared_with_professionals() -> None:  # facts §10 row 11
    account = claims("Practitioner", IDNPS, meta={"profile": [REGUL]})
    assert account
    assert not account & claims("Practitioner", IDNPS)
    assert claims("Practitioner", IDNPS, meta={"profile": [f"{REGUL}|1.1.0"]}) == account
    assert claims("Practitioner", IDNPS, meta={"source": "urn:oid:1.2.250.1.213.3.6"}) == account
    assert claims("Practitioner", ("urn:x", "1"), meta={"profile": [REGUL]})


@pytest.mark.parametrize(
    ("type_", "number"),
    [
        ("Practitioner", ("https://example.org", "1")),
        ("Practitioner", ("https://adeli.esante.gouv.fr", "259999050")),
        ("Practitioner", (ids.RPPS_SYSTEM, "1")),
        ("Organization", (ids.SIRENE_SYSTEM, "999999014")),  # its establishments share it
        ("Patient", ("urn:oid:1.2.250.1.213.1.4.8", "255081416802538")),
    ],
)
def test_other_numbers_claim_nothing(type_: str, number: tuple[str, str]) -> None:
    assert claims(type_, number) == set()


def test_number_that_is_no_longer_used_claims_nothing() -> None:
    old = {"use": "old", "system": RPPS[0], "value": RPPS[1]}
    assert not FAMILIES.claims({"resourceType": "Practitioner", "identifier": [old]})


def test_site_does_not_claim_the_number_of_its_legal_entity() -> None:
    def typed(code: str, value: str) -> Json:
        return {"type": {"coding": [{"code": code}]}, "system": ids.FINESS_SYSTEM, "value": value}

    site, entity = typed("FINEG", "259999068"), typed("FINEJ", "259999027")
    assert set(FAMILIES.claims({"resourceType": "Organization", "identifier": [entity, site]})) == claims(
        "Organization", FINESS
    )
    assert len(FAMILIES.claims({"resourceType": "Organization", "identifier": [entity]})) == 1


def test_who_is_not_active_claims_nothing() -> None:
    assert claims("Practitioner", RPPS, active=True) == claims("Practitioner", RPPS)
    assert claims("Practitioner", RPPS, active=False) == set()


def test_accounts_are_told_apart_alike_in_checks_and_families() -> None:
    assert FAMILIES.all[0] == ACCOUNTS


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"familles": [{"nom": "x", "type": "Practitioner", "identifiants": ["RPSS"]}]}']
)
def test_bad_file_of_families_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "identifier-families.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"identifier-families\.json"):
        read_families(SPELLED, file)


NAMED = partial(st.dictionaries, st.sampled_from(["profile", "source"]))
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner) | NAMED(inner), max_leaves=6
)


@given(JSON)
def test_membership_of_what_is_no_resource_is_told_too(meta: Any) -> None:
    assert not ACCOUNTS.has({"resourceType": "Practitioner", "meta": meta})
