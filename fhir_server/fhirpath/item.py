"""What FHIRPath works on: items of a collection, the environment of an evaluation, and what can go wrong.

Spec: http://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
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


class Budget:
    """What expressions of others may cost together: items that they go through, and seconds."""

    __slots__ = ("_left", "_until")

    def __init__(self, items: int, seconds: float) -> None:
        self._left = items
        self._until = monotonic() + seconds

    def spend(self, items: int) -> None:
        """Count what is gone through now. Raises ``EvaluationError`` where it is too much."""
        self._left -= items
        if self._left < 0 or monotonic() > self._until:
            self._left = -1
            raise EvaluationError("it costs too much")


Resolver = Callable[[str], Item | None]
"""From the text of a reference to the resource, or None if it is not to be had."""


Judge = Callable[[Item, str], bool | None]
"""From an item and a canonical URL to whether it is a code of that value set, or conforms to that profile."""


@dataclass(slots=True)
class Environment:
    """What an expression can see besides its context; good for one state of one resource.

    ``resource`` is the resource that holds the context, ``root`` the outermost one if ``resource`` is contained:
    ``%resource`` and ``%rootResource``. A resource inside a Bundle is its own root. ``resolve`` finds resources
    that are not contained; without it, ``resolve()`` still tells the type that the reference names. What was found
    out is kept in ``memo``, and in ``of_root`` what is the same for all resources that one root contains. A ``budget``
    is for expressions of others: what they go through is counted, and their regular expressions run on RE2.
    ``judges`` answer what needs other definitions, by the name of the function.
    """

    resource: Item
    root: Item
    resolve: Resolver | None = None
    context: Item | None = None
    memo: dict[Any, Any] = field(default_factory=dict)
    of_root: dict[Any, Any] = field(default_factory=dict)
    budget: Budget | None = None
    judges: Mapping[str, Judge] = field(default_factory=dict)

    def counted(self, items: list[Item]) -> list[Item]:
        """Return items that are to be gone through, one by one. Raises ``EvaluationError`` where they are too many."""
        self.spend(1 + len(items))
        return items

    def spend(self, items: int) -> None:
        """Count what is gone through. Raises ``EvaluationError`` where it is too much."""
        if self.budget is not None:
            self.budget.spend(items)

    def within(self, context: Item) -> Environment:
        """Return the environment of an expression that names ``%context``."""
        return Environment(self.resource, self.root, self.resolve, context, of_root=self.of_root, budget=self.budget)
