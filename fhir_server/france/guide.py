"""The French guide: what a CPTS, the SAS platform and the national guides add to R4.

Source of the SAS's parameters: ans.fhir.fr.sas 1.1.0, https://interop.esante.gouv.fr/ig/fhir/sas/
"""

from __future__ import annotations

from fhir_server.definitions.guide import parameters_of
from fhir_server.interactions.guide import Guide


def guide() -> Guide:
    """Return the guide, read from ``profiles/``."""
    return Guide("france", parameters_of())
