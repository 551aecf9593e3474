"""An implementation guide as the server sees it: what is added to R4. The one seam by which a guide plugs in.

Spec: https://hl7.org/fhir/R4/implementationguide.html
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.interactions.rules import Check, Rule


@dataclass(frozen=True, slots=True)
class Guide:
    """A package of definitions, and the rules that a StructureDefinition cannot express."""

    name: str
    parameters: tuple[SearchParameter, ...] = ()
    checks: tuple[Check, ...] = ()
    rules: tuple[Rule, ...] = ()
