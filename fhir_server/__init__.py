"""A FHIR R4 (4.0.1) server for the French CPTS. https://hl7.org/fhir/R4/"""

from typing import Final

__version__: Final = "0.1.0"
