"""The other statement of ``capabilities``: what can be asked about codes.

Spec: https://hl7.org/fhir/R4/terminologycapabilities.html
"""

from __future__ import annotations

from typing import Final

from fhir_server import __released__
from fhir_server.definitions.operations import Level
from fhir_server.interactions.context import Context
from fhir_server.model.formats import Resource

_ABOUT: Final = frozenset(("url", "valueSet", "valueSetVersion"))
"""Parameters of ``$expand`` that name the value set, and do not shape its expansion."""


def terminology_statement(context: Context) -> Resource:
    """Return the TerminologyCapabilities as a resource. Which code systems are there tells a search for them."""
    told: Resource = {
        "resourceType": "TerminologyCapabilities",
        "id": "terminology",
        "url": f"{context.base}/metadata?mode=terminology",
        "version": context.software_version,
        "name": "FhirServerCptsTerminology",
        "title": "Terminology of the FHIR R4 server for the French CPTS",
        "status": "active",
        "date": __released__,
        "kind": "instance",
        "software": {"name": "fhir-server-cpts", "version": context.software_version},
        "implementation": {"description": "FHIR R4 server for the French CPTS", "url": context.base},
    }
    expand = context.registry.operations_at(Level.TYPE, "ValueSet").get("expand")
    if expand is not None:
        told["expansion"] = {
            "hierarchical": False,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": one.name} for one in expand.parameters if one.name not in _ABOUT],
            "textFilter": "each word begins a word of the code, a display or a designation; not by case or accents",
        }
    return {
        **told,
        "codeSearch": "explicit",
        "validateCode": {"translations": False},
        "translation": {"needsMap": True},
        "closure": {"translation": False},
    }
