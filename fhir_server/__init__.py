"""A FHIR R4 (4.0.1) server for the French CPTS. https://hl7.org/fhir/R4/"""

__version__ = "0.1.0"
__released__ = "2026-11-23"
"""When what this version does was last changed: the date of its CapabilityStatement."""
