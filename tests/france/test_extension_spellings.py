"""Extensions that FR Core has spelled in several ways: each is accepted where it stands, and stored as it came.

What goes out to the SAS carries the URL of its guide: ``test_outgoing.py``. What comes in may carry either, or a
participant: ``sas/test_appointments.py``.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

import pytest

from fhir_server.france.aliases import spelling
from fhir_server.france.sas.profiles import OPERATOR_ROLE, OPERATORS
from tests.definitions.test_profile_examples import EXAMPLES, told

Json = dict[str, Any]

FR_CORE_1: Final = "http://interopsante.org/fhir/"
AVAILABILITY: Final = (
    f"{FR_CORE_1}StructureDefinition/FrScheduleAvailabiltyTime",
    "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-schedule-availability-time",
)
OPENING: Final = [
    {"url": "start", "valueDateTime": "2026-01-05T08:00:00+01:00"},
    {"url": "end", "valueDateTime": "2026-01-05T12:00:00+01:00"},
]


def warned(profile: str, resource: Json) -> list[tuple[str, str, str]]:
    return [one for one in told(profile, resource) if one[0] != "information"]


@pytest.mark.parametrize("url", sorted(OPERATORS))
def test_either_url_of_the_operator_of_an_appointment_conforms_and_is_checked(url: str) -> None:
    appointment = deepcopy(EXAMPLES["cpts-appointment"]["valid"][0])
    appointment["extension"][0]["url"] = url
    assert warned("cpts-appointment", appointment) == []
    appointment["extension"].append(appointment["extension"][0])
    assert [path for severity, path, _ in warned("cpts-appointment", appointment)] == ["Appointment.extension"]


def test_an_operator_that_is_a_participant_conforms() -> None:
    appointment = deepcopy(EXAMPLES["cpts-appointment"]["valid"][0])
    actor = appointment.pop("extension")[0]["valueReference"]
    role = [{"coding": [{"system": OPERATOR_ROLE[0], "code": OPERATOR_ROLE[1]}]}]
    appointment["participant"].append({"type": role, "actor": actor, "status": "accepted"})
    assert [one for one in warned("cpts-appointment", appointment) if one[0] == "error"] == []


@pytest.mark.parametrize("url", AVAILABILITY)
def test_either_url_of_the_opening_hours_of_a_schedule_conforms(url: str) -> None:
    schedule = {**EXAMPLES["cpts-schedule"]["valid"][0], "extension": [{"url": url, "extension": OPENING}]}
    assert warned("cpts-schedule", schedule) == []


def test_a_spelling_that_is_part_of_a_canonical_url_is_not_mended() -> None:
    url = f"{FR_CORE_1}ValueSet/fr-practioner-identifier-type"
    assert spelling()(url) == url
