"""A FHIR R4 (4.0.1) server for the French CPTS. https://hl7.org/fhir/R4/"""

__version__ = "0.1.0"
