"""Faults: issues in the making, whose path grows while the checks return from the inside to the outside."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from fhir_server.fhirpath import Environment, Item
from fhir_server.fhirpath.types import first_by_id
from fhir_server.outcome import Issue, Severity
from fhir_server.validation.kinds import kind_of

_NAME: Final = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")


class Fault:
    """One problem; ``steps`` lead from it to the resource (``["[1]", ".serviceType"]``)."""

    __slots__ = ("id", "severity", "steps", "text")

    def __init__(self, id_: str, text: str, *steps: str, severity: Severity = Severity.ERROR) -> None:
        self.id = id_
        self.text = text
        self.steps = list(steps)
        self.severity = severity

    def issue(self, root: str) -> Issue:
        """Return the issue; ``root`` is the type of the resource."""
        path = root + "".join(reversed(self.steps))
        return Issue(kind_of(self.id).code, f"{path}: {self.text}", (path,), self.severity, self.id)


MAX_ISSUES: Final = 200
"""Issues told about one resource; one more says that there are others."""

MAX_WARNINGS: Final = MAX_ISSUES + 1
"""Warnings kept of one resource; others are forgotten, so that no number of them hides an error."""

MAX_FAULTS: Final = MAX_ISSUES + MAX_WARNINGS
"""An object or an array with more faults is not checked further: too many are errors for any to be left untold."""

Found: TypeAlias = list[Fault] | None
"""What a check returns: None or an empty list if all is well."""

Check: TypeAlias = Callable[[Any, dict[str, Any], "Scope"], Found]
"""A compiled check: the value, the object that it is a property of, the scope."""


class Scope:
    """What checks must know of the resource around them."""

    __slots__ = (
        "_environment", "_firsts", "_of_root", "_warnings", "conditional", "contained", "entries", "level", "nested",
        "resource", "root",
    )  # fmt: skip

    def __init__(self, root: dict[str, Any], conditional: bool, entries: bool, level: int = 0) -> None:
        """``conditional``: whether a reference may be a search; ``entries``: whether to look into those of a Bundle."""
        self.root = root
        self.resource = root
        self.contained = _types_by_id(root["contained"]) if "contained" in root else {}
        self.conditional = conditional
        self.entries = entries
        self.level = level
        self.nested = 0
        self._environment: Environment | None = None
        self._of_root: dict[Any, Any] = {}
        self._firsts: dict[int, dict[str, dict[str, Any]]] = {}
        self._warnings = [0]

    def inside(self, resource: dict[str, Any]) -> Scope:
        """Return the scope of a resource that stands on its own inside this one."""
        scope = Scope(resource, self.conditional, self.entries, self.level)
        scope.nested = self.nested + (self.resource is not self.root)
        scope._warnings = self._warnings
        return scope

    def may_warn(self) -> bool:
        """Count a warning; return whether it is to be kept."""
        self._warnings[0] += 1
        return self._warnings[0] <= MAX_WARNINGS

    def has_forgotten(self) -> bool:
        """Return whether there were more warnings than are kept."""
        return self._warnings[0] > MAX_WARNINGS

    def environment(self) -> Environment:
        """Return what invariants see: the resource that is checked now, and the one that contains it."""
        if self._environment is None:
            root = Item(self.root, self.root["resourceType"])
            here = root if self.resource is self.root else Item(self.resource, self.resource["resourceType"])
            self._environment = Environment(here, root, of_root=self._of_root)
        return self._environment

    def enter(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Go into a contained resource, or back; return where we were."""
        outer, self.resource, self._environment = self.resource, resource, None
        return outer

    def first_with_id(self, contained: list[Any], id_: Any) -> Any:
        """Return the first of some contained resources that has this id. ``contained`` is a part of the resource."""
        if not isinstance(id_, str):  # a fault, of which only so many are looked for
            return next(item for item in contained if isinstance(item, dict) and item.get("id") == id_)
        firsts = self._firsts.get(id(contained))
        if firsts is None:
            firsts = self._firsts[id(contained)] = first_by_id(contained)
        return firsts[id_]


def _types_by_id(contained: Any) -> dict[str, str]:
    items = contained if isinstance(contained, list) else ()
    return {
        item["id"]: item["resourceType"]
        for item in items
        if isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("resourceType"), str)
    }


def extend(found: Found, faults: list[Fault], step: str) -> list[Fault]:
    """Return what was found and new faults, these one step further out."""
    for fault in faults:
        fault.steps.append(step)
    if found is None:
        return faults
    found.extend(faults)
    return found


def shape(value: Any) -> str:
    """Return what a value is, never its content: it may be personal data."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"a string of {len(value)} characters" if value else "an empty string"
    if isinstance(value, list):
        return f"an array of {len(value)}" if value else "an empty array"
    if isinstance(value, bool):
        return "a boolean"
    return "an object" if isinstance(value, dict) else "a number"


def mismatch(id_: str, value: Any, expected: str) -> list[Fault]:
    """Return the one fault of a value that is something else than expected."""
    return [Fault(id_, f"received {shape(value)}, expected {expected}")]


def property_step(name: str) -> str:
    """Return the step to a property the client named; what is no name is not repeated."""
    return f".{name}" if _NAME.fullmatch(name) else ""
