"""The parts of a FHIRPath expression, as parsed.

Spec: http://hl7.org/fhirpath/N1/grammar.html
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; ``type`` is the FHIR type code nearest to its System type. None is the empty collection."""

    value: str | bool | int | Decimal | None
    type: str


@dataclass(frozen=True, slots=True)
class This:
    """``$this``, or the context that a path without a beginning starts from."""


@dataclass(frozen=True, slots=True)
class Variable:
    """``%resource``, ``%ucum``, ``%'ext-…'``."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """``source.name``; without a source, an element of the context or the name of its type."""

    source: Node | None
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """``source.name(arguments)``."""

    source: Node | None
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """``source[position]``."""

    source: Node
    position: Node


@dataclass(frozen=True, slots=True)
class Unary:
    """``-operand``, ``+operand``."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """``left operator right``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class TypeOperation:
    """``operand is type``, ``operand as type``."""

    operator: str
    operand: Node
    type: str


Node = Literal | This | Variable | Member | Call | Index | Unary | Binary | TypeOperation
