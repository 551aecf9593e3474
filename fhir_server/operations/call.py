"""One call of an operation: who is asked, and the values of its parameters, checked.

Spec: https://hl7.org/fhir/R4/operations.html#executing
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fhir_server.definitions.operations import Operation
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.model.formats import Resource
from fhir_server.outcome import BadRequest, Issue, IssueType


@dataclass(frozen=True, slots=True)
class Value:
    """One value: JSON of its type, or a resource; of a parameter with parts, those. ``at`` is where it stands."""

    name: str
    value: Any
    at: str
    parts: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Values:
    """What was given, in its order: of the names and types that the operation takes, and not too often."""

    given: tuple[Value, ...]

    def all(self, name: str) -> list[Any]:
        """Return the values of a parameter, in the order given."""
        return [one.value for one in self.given if one.name == name]

    def text(self, name: str) -> str | None:
        """Return the one value of a parameter whose type is a string of JSON; None where it was not given."""
        value = self._one(name)
        return value if isinstance(value, str) else None

    def integer(self, name: str) -> int | None:
        """Return the one value of an integer, None where it was not given."""
        value = self._one(name)
        return value if isinstance(value, int) else None

    def flag(self, name: str, default: bool = False) -> bool:
        """Return the one value of a boolean."""
        value = self._one(name)
        return value if isinstance(value, bool) else default

    def object(self, name: str) -> dict[str, Any] | None:
        """Return the one value of a complex type, or the one resource; None where it was not given."""
        value = self._one(name)
        return value if isinstance(value, dict) else None

    def at(self, name: str) -> str:
        """Return where a parameter stands, for the path of an issue; the request, where it was not given."""
        return next((one.at for one in self.given if one.name == name), "http")

    def has(self, name: str) -> bool:
        """Tell whether a parameter was given."""
        return any(one.name == name for one in self.given)

    def one_of(self, names: Sequence[str]) -> str:
        """Return which of some parameters was given. Raises ``BadRequest`` for none of them, and for several."""
        there = [name for name in names if self.has(name)]
        if len(there) == 1:
            return there[0]
        listed = ", ".join(names)
        told = f"{' and '.join(there)} exclude each other" if there else f"one of these is needed: {listed}"
        code = IssueType.INVALID if there else IssueType.REQUIRED
        raise BadRequest(Issue(code, told, tuple(map(self.at, there)), id="operation-parameters"))

    def _one(self, name: str) -> Any:
        return next((one.value for one in self.given if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Call:
    """An operation as it was called: ``type`` and ``id`` are those of the URL, None above their level."""

    operation: Operation
    type: str | None
    id: str | None
    values: Values
    request: Request


Perform: TypeAlias = Callable[[Context, Call], Awaitable[Response]]
"""Does what an operation is for, or raises ``FhirError``."""


def parameters(values: Iterable[tuple[str, str, Any]]) -> Resource:
    """Return a Parameters resource of (name, type, value): ``("result", "boolean", True)``; a type ``part`` has a list
    of such triples, ``resource`` a resource. What is None is left out."""
    return {"resourceType": "Parameters", "parameter": list(_written(values))}


def _written(values: Iterable[tuple[str, str, Any]]) -> Iterable[dict[str, Any]]:
    for name, type_, value in values:
        if value is None:
            continue
        if type_ == "part":
            yield {"name": name, "part": list(_written(value))}
        elif type_ == "resource":
            yield {"name": name, "resource": value}
        else:
            yield {"name": name, f"value{type_[0].upper()}{type_[1:]}": value}
