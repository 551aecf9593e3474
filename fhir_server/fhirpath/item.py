"""What FHIRPath works on: items of a collection, the environment of an evaluation, and what can go wrong.

Spec: http://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class ExpressionError(ValueError):
    """An expression that is not FHIRPath, or outside the subset that is compiled here; says where and why."""


class EvaluationError(ValueError):
    """An expression that cannot be evaluated on this data: several items where FHIRPath needs one, and the like."""


class Item(NamedTuple):
    """One item of a collection: JSON as parsed, with its FHIR type.

    ``type`` is a type code (``instant``, ``CodeableConcept``, ``Slot``) or a backbone path
    (``Appointment.participant``). ``extras`` is the ``_property`` beside a primitive: its id and extensions.
    A primitive that has only those has the value None.
    """

    value: Any
    type: str
    extras: Any = None


Resolver = Callable[[str], Item | None]
"""From the text of a reference to the resource, or None if it is not to be had."""


@dataclass(slots=True)
class Environment:
    """What an expression can see besides its context; good for one state of one resource.

    ``resource`` is the resource that holds the context, ``root`` the outermost one if ``resource`` is contained:
    ``%resource`` and ``%rootResource``. A resource inside a Bundle is its own root. ``resolve`` finds resources
    that are not contained; without it, ``resolve()`` still tells the type that the reference names. What was found
    out is kept in ``memo``, and in ``of_root`` what is the same for all resources that one root contains.
    """

    resource: Item
    root: Item
    resolve: Resolver | None = None
    context: Item | None = None
    memo: dict[Any, Any] = field(default_factory=dict)
    of_root: dict[Any, Any] = field(default_factory=dict)

    def within(self, context: Item) -> Environment:
        """Return the environment of an expression that names ``%context``."""
        return Environment(self.resource, self.root, self.resolve, context, of_root=self.of_root)
