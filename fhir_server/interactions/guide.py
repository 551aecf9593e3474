"""An implementation guide as the server sees it: what is added to R4. The one seam by which a guide plugs in.

Spec: https://hl7.org/fhir/R4/implementationguide.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_server.definitions.aliases import Aliases
from fhir_server.definitions.parameters import SearchParameter
from fhir_server.interactions.rules import Check, Rule


@dataclass(frozen=True, slots=True)
class Guide:
    """A package of definitions, and the rules that a StructureDefinition cannot express.

    ``aliases`` are what index entries are made by: when they change, ``fhir-server reindex`` is due.
    """

    name: str
    parameters: tuple[SearchParameter, ...] = ()
    aliases: Aliases = field(default_factory=Aliases)
    checks: tuple[Check, ...] = ()
    rules: tuple[Rule, ...] = ()
