"""The profiles of the SAS guide by their canonicals, of which there are two families that are both in force.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/
"""

from __future__ import annotations

from typing import Final

_NEW: Final = "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition"
_OLD: Final = "http://sas.fr/fhir/StructureDefinition"

PLAIN_SLOT: Final = f"{_OLD}/FrSlotAgregateur"
CPTS_SLOT: Final = f"{_NEW}/sas-cpts-slot-aggregator"
SOS_SLOT: Final = f"{_NEW}/sas-sos-slot-aggregator"
SLOTS: Final = frozenset({PLAIN_SLOT, CPTS_SLOT, SOS_SLOT})

SCHEDULE: Final = f"{_OLD}/FrScheduleAgregateur"
SOS_SCHEDULE: Final = f"{_NEW}/sas-sos-schedule-aggregator"
PRACTITIONER: Final = f"{_OLD}/FrPractitionerAgregateur"
PRACTITIONER_ROLE: Final = f"{_OLD}/FrPractitionerRoleExerciceAgregateur"
LOCATION: Final = f"{_OLD}/FrLocationAgregateur"
SOS_LOCATION: Final = f"{_NEW}/sas-sos-location-aggregator"
CPTS_SERVICE: Final = f"{_NEW}/sas-cpts-healthcareservice-aggregator"
CPTS_ORGANIZATION: Final = f"{_NEW}/sas-cpts-organization-aggregator"
SOS_ORGANIZATION: Final = f"{_NEW}/sas-sos-organization-aggregator"

R5_SERVICE_TYPE: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Slot.serviceType"
"""The extension of ``Slot.serviceType`` that refers to the HealthcareService of a CPTS that sees the slot."""

CPTS_CATEGORY: Final = "604"
"""A CPTS among the categories of structures, TRE_R66."""
