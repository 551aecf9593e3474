"""Contradictions of the national guides, one test for each that the SAS meets: the server does what is advised there.

The numbers are those of the project's list of pitfalls; some others stand beside what they are about (``pitfall``).
Source: https://interop.esante.gouv.fr/ig/fhir/sas/
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.france import vocabulary
from fhir_server.france.aliases import spelling
from fhir_server.france.identifiers import RPPS_SYSTEM, wrong_pattern
from fhir_server.france.regulators import ACCOUNTS
from fhir_server.france.sas import profiles
from fhir_server.france.sas.appointments import ACCEPTED
from fhir_server.france.sas.asked import check, slots_of_agendas
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.slots import check as check_slot
from fhir_server.outcome import BadRequest

LABELS = vocabulary.tre("TRE_R314-TypeCreneau")
IDNST = "urn:oid:1.2.250.1.71.4.2.2"


def slot(*labels: str, **more: Any) -> dict[str, Any]:
    security = [{"system": LABELS, "code": label} for label in labels]
    return {"resourceType": "Slot", "meta": {"profile": [profiles.PLAIN_SLOT], "security": security}, **more}


@pytest.mark.parametrize("family", ["https://interop.esante.gouv.fr/ig/fhir/sas", "http://sas.fr/fhir"])
def test_pitfall_1_either_family_of_canonicals_makes_an_account(family: str) -> None:
    url = f"{family}/StructureDefinition/FrPractitionerRegul"
    assert ACCOUNTS.has({"resourceType": "Practitioner", "meta": {"profile": [url]}})
    assert not ACCOUNTS.has({"resourceType": "Practitioner", "meta": {"profile": [url.lower()]}})


@pytest.mark.parametrize(
    "system",
    [
        "https://mos.esante.gouv.fr/NOS/TRE_R66-CategorieEtablissement",
        "https://mos.esante.gouv.fr/NOS/TRE_R66-CategorieEtablissement/TRE_R66-CategorieEtablissement",
        "https://mos.esante.gouv.fr/NOS/TRE_R66-CategorieEtablissement/FHIR/TRE-R66-CategorieEtablissement/",
    ],
)
def test_pitfall_4_categories_are_understood_in_each_spelling(system: str) -> None:
    assert spelling()(system) == vocabulary.tre("TRE_R66-CategorieEtablissement")
    named = {"url": profiles.R5_SERVICE_TYPE, "valueReference": {"reference": "HealthcareService/snp"}}
    seen = slot("SNP", serviceType=[{"coding": [{"system": system, "code": "604"}], "extension": [named]}])
    seen["meta"]["profile"] = [profiles.CPTS_SLOT]
    assert not list(check_slot(seen))


def test_pitfall_14_a_bar_that_lost_its_percent_sign_is_no_bar() -> None:
    asked = slots_of_agendas(
        [("_has:Slot:schedule:status", "free"), ("actor:Location.organization.identifier", f"{IDNST}7C399999901400015")]
    )
    assert asked is not None
    assert asked.pairs[-1][1] == f"{IDNST}7C399999901400015"


def test_pitfall_14_more_structures_than_a_page_of_the_guide_says_are_answered() -> None:
    many = ",".join([f"{IDNST}|399999901400015"] * 25)
    check([("actor:Location.organization.identifier", many)], most=100, spelled=spelling())
    with pytest.raises(BadRequest):
        check([("actor:Location.organization.identifier", many)], most=10, spelled=spelling())


def test_pitfall_16_a_reason_may_stand_as_text_of_the_service() -> None:
    assert not list(check_slot(slot("SNP", serviceType=[{"text": "Consultation de médecine générale"}])))


@pytest.mark.parametrize(("label", "issues"), [("PRO", []), ("private", ["sas-slot-label"])])
def test_pitfall_17_private_is_no_audience(label: str, issues: list[str]) -> None:
    assert [issue.id for issue in check_slot(slot(label))] == issues


def test_pitfall_19_states_of_participants_are_of_the_guides_version() -> None:
    assert ACCEPTED[Version.V1_1] == ("accepted",)
    assert ACCEPTED[Version.V1_2] == ("accepted", "needs-action")


@pytest.mark.parametrize("rank", ["9970099001501", "99700990015001", "F754567860"])
def test_pitfall_24_a_rank_is_never_refused_for_its_form(rank: str) -> None:
    assert wrong_pattern("https://rppsrang.esante.gouv.fr", rank) is None
    assert wrong_pattern(RPPS_SYSTEM, rank) is not None
