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

APPOINTMENT: Final = f"{_OLD}/FrAppointmentSAS"
SOS_APPOINTMENT: Final = f"{_NEW}/sas-sos-appointment"
APPOINTMENTS: Final = frozenset({APPOINTMENT, SOS_APPOINTMENT})

OPERATOR: Final = "http://interopsante.org/fhir/StructureDefinition/FrAppointmentOperator"
OPERATORS: Final = frozenset({OPERATOR, "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-appointment-operator"})
"""Who booked an Appointment: the extension of FR Core 1, which the SAS asks for, and that of FR Core 2.0 to 2.2."""

OPERATOR_ROLE: Final = ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "ENT")
"""The type of the participant that is the operator since FR Core 2.3, in which there is no extension."""

ORIENTATION: Final = f"{_NEW}/sas-categorie-orientation"
ORIENTATIONS: Final = frozenset({"001", "002", "003", "124", "603", "604"})
"""Where a patient is sent to, since guide 1.2.0: PS, PDM, SOS, and of TRE_R66 CDS, MSP, CPTS."""

R5_SERVICE_TYPE: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Slot.serviceType"
"""The extension of ``Slot.serviceType`` that refers to the HealthcareService of a CPTS that sees the slot."""

CPTS_CATEGORY: Final = "604"
"""A CPTS among the categories of structures, TRE_R66."""
