"""The canonical URLs under which definitions are known: HL7's, and this project's, with the version of ours.

Spec: https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

from typing import Final

HL7: Final = "http://hl7.org/fhir/"
"""The base of R4's own definitions."""

OURS: Final = "https://cpts.example.org/fhir/"
"""The base of the definitions that this project adds to R4: the one place that says so."""

VERSION: Final = "0.1.0"
"""The version of those definitions, and of the working copies beside them: the one place that says it. It is not the
server's: it changes when what a definition asks for does."""
