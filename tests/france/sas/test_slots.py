"""Slots that claim a profile of the SAS: the one that their visibility asks for, alone, and the guide's labels."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.france.sas import profiles
from fhir_server.france.sas.slots import check

Json = dict[str, Any]

LABELS = "https://mos.esante.gouv.fr/NOS/TRE_R314-TypeCreneau/FHIR/TRE-R314-TypeCreneau"
CATEGORIES = "https://mos.esante.gouv.fr/NOS/TRE_R66-CategorieEtablissement/FHIR/TRE-R66-CategorieEtablissement"
CPTS = {"system": CATEGORIES, "code": "604"}


def named(service: str = "HealthcareService/1") -> Json:
    return {"url": profiles.R5_SERVICE_TYPE, "valueReference": {"reference": service}}


SHARED = {"coding": [CPTS], "extension": [named()]}
PLAIN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}]}


def slot(*claimed: str, labels: tuple[str, ...] = ("SNP",), kinds: tuple[Json, ...] = (PLAIN,)) -> Json:
    security = [{"system": LABELS, "code": label} for label in labels]
    return {
        "resourceType": "Slot",
        "meta": {"profile": list(claimed), "security": security},
        "serviceType": list(kinds),
    }


@pytest.mark.parametrize(
    "good",
    [
        slot(profiles.PLAIN_SLOT),
        slot(profiles.PLAIN_SLOT, labels=("PUBLIC", "SNP", "PRO", "CPTS")),
        slot(profiles.CPTS_SLOT, kinds=(PLAIN, SHARED, SHARED), labels=("CPTS",)),
        slot(profiles.SOS_SLOT, labels=("PUBLIC", "SNP")),
        slot("https://example.org/other", "https://example.org/another", kinds=(SHARED,), labels=("private",)),
        slot(),
        {"resourceType": "Schedule", "meta": {"profile": [profiles.PLAIN_SLOT, profiles.CPTS_SLOT]}},
        slot(
            profiles.CPTS_SLOT,
            kinds=({**SHARED, "coding": [{**CPTS, "system": CATEGORIES.partition("/FHIR")[0]}]},),
        ),
    ],
)
def test_slot_of_the_guide_or_of_no_concern_passes(good: Json) -> None:
    assert list(check(good)) == []


@pytest.mark.parametrize(
    ("bad", "ids"),
    [
        (slot(profiles.PLAIN_SLOT, "https://example.org/other"), ["sas-slot-profile"]),
        (slot(profiles.PLAIN_SLOT, kinds=(SHARED,)), ["sas-slot-profile"]),
        (slot(profiles.SOS_SLOT, kinds=(SHARED,)), ["sas-slot-profile"]),
        (slot(profiles.CPTS_SLOT), ["sas-slot-profile"]),
        (slot(profiles.CPTS_SLOT, kinds=({"coding": [CPTS]},)), ["sas-slot-visibility"]),
        (slot(profiles.CPTS_SLOT, kinds=({**SHARED, "extension": [named(), named()]},)), ["sas-slot-visibility"]),
        (slot(profiles.PLAIN_SLOT, kinds=({**PLAIN, "extension": [named()]},)), ["sas-slot-visibility"]),
        (
            slot(
                profiles.CPTS_SLOT, kinds=({**SHARED, "extension": [{**named(), "valueReference": {"display": "x"}}]},)
            ),
            ["sas-slot-visibility"],
        ),
        (slot(profiles.PLAIN_SLOT, labels=("private",)), ["sas-slot-label"]),
        (slot(profiles.SOS_SLOT, labels=("PRO", "SNP", "CPTS")), ["sas-slot-label", "sas-slot-label"]),
    ],
)
def test_slot_that_the_platform_would_overlook_is_refused(bad: Json, ids: list[str]) -> None:
    issues = list(check(bad))
    assert [issue.id for issue in issues] == ids
    assert all(issue.is_error and issue.expression for issue in issues)


@pytest.mark.parametrize(
    ("odd", "ids"),
    [
        (slot(profiles.PLAIN_SLOT, labels=()), ["sas-slot-label"]),
        ({**slot(profiles.SOS_SLOT), "start": "2026-01-05T08:00:00.000Z"}, ["sas-slot-instant"]),
        (
            {**slot(profiles.PLAIN_SLOT), "start": "2026-01-05T09:00:00+01:00", "end": "2026-01-05T09:20:00.1+01:00"},
            ["sas-slot-instant", "sas-slot-instant"],
        ),
        ({**slot(profiles.PLAIN_SLOT), "start": "2026-01-05T09:00:00.000+01:00"}, []),
        ({**slot(), "start": "2026-01-05T08:00:00Z"}, []),
    ],
)
def test_slot_that_the_recette_would_refuse_is_warned_of(odd: Json, ids: list[str]) -> None:
    issues = list(check(odd))
    assert [issue.id for issue in issues] == ids
    assert not any(issue.is_error for issue in issues)
