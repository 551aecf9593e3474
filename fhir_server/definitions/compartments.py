"""Compartments: which search parameters put a resource into the compartment of a patient or practitioner.

Spec: https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fhir_server.definitions.tables import R4, read_blocks

ITSELF: Final = "{def}"
"""In place of a search parameter: the resource that the compartment is named after."""


def read_compartments() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return compartment → type → search parameter codes; a type that can never be a member is absent."""
    found: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for name, lines in read_blocks(R4 / "compartments.txt"):
        members = {type_: tuple(codes) for type_, *codes in (line.split() for line in lines)}
        found[name] = MappingProxyType(members)
    return MappingProxyType(found)
