"""What an operation is: where it stands, what it takes, whether it changes anything. How it is done is told elsewhere.

Routes, refusals, the CapabilityStatement and OpenAPI follow from these.
Spec: https://hl7.org/fhir/R4/operationdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fhir_server.definitions.canonical import HL7


class Level(StrEnum):
    """What an operation is asked of: ``[base]/$name``, ``[base]/[type]/$name``, ``[base]/[type]/[id]/$name``."""

    SYSTEM = "system"
    TYPE = "type"
    INSTANCE = "instance"


ALL_TYPES: Final = "Resource"
"""In the place of a type: every type that is served."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that an operation takes.

    ``type`` is a type of R4: primitive, complex, or of a resource (``Resource`` for any); empty where it has ``parts``.
    ``max`` is None where there is no end. ``levels`` are those where it may be given.
    """

    name: str
    type: str
    min: int = 0
    max: int | None = 1
    parts: tuple[Parameter, ...] = ()
    levels: frozenset[Level] = frozenset(Level)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. ``name`` stands behind the ``$``; ``types`` are empty for one of the system alone."""

    name: str
    url: str
    types: tuple[str, ...]
    levels: frozenset[Level]
    parameters: tuple[Parameter, ...]
    affects_state: bool = False

    def stands_on(self, level: Level, type: str | None) -> bool:
        """Tell whether it can be asked at a level, and there of a type."""
        if level not in self.levels:
            return False
        return level is Level.SYSTEM or ALL_TYPES in self.types or type in self.types

    def parameters_at(self, level: Level) -> tuple[Parameter, ...]:
        """Return what it takes at a level."""
        return tuple(parameter for parameter in self.parameters if level in parameter.levels)


def of_r4(
    id: str,
    levels: Iterable[Level],
    parameters: Iterable[Parameter],
    *,
    types: Iterable[str] | None = None,
    affects_state: bool = False,
) -> Operation:
    """Return an operation that R4 defines, by the id of its definition: ``ValueSet-expand``."""
    type_, _, name = id.partition("-")
    return Operation(
        name,
        f"{HL7}OperationDefinition/{id}",
        (type_,) if types is None else tuple(types),
        frozenset(levels),
        tuple(parameters),
        affects_state,
    )
