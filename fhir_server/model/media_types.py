"""What is read and written, by media type. https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

from typing import Final

FHIR_JSON: Final = "application/fhir+json"
JSON: Final = "application/json"
JSON_TYPES: Final = frozenset({FHIR_JSON, JSON, "application/json+fhir", "text/json"})
"""What is read and written as FHIR JSON; the SAS platform sends ``application/json+fhir``."""

JSON_PATCH: Final = "application/json-patch+json"
PATCH_TYPES: Final = JSON_TYPES | {JSON_PATCH}
"""What is read as a patch: a FHIRPath Patch is FHIR JSON."""

FORM: Final = "application/x-www-form-urlencoded"
