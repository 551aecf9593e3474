"""The invariants of a profile: FHIRPath that must hold on each value of an element.

They run in our own FHIRPath and are counted: see ``docs/decisions/0018-invariants-of-profiles.md``.
Spec: https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.constraint
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import EvaluationError, ExpressionError, Item, Path, compile_path
from fhir_server.outcome import Severity
from fhir_server.validation.faults import Fault, Found
from fhir_server.validation.profiles.element import Check
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node
from fhir_server.validation.profiles.types import CORE

MAX_EXPRESSION: Final = 4_000
"""Characters of an expression; a longer one is not checked."""


class Constraint(NamedTuple):
    """One invariant of a profile."""

    key: str
    severity: Severity
    expression: str


def constraints_of(node: Node, known: frozenset[str]) -> list[Constraint]:
    """Return the invariants that a profile adds. ``known``: the keys of R4's own, which are checked elsewhere."""
    found = []
    listed = node.definition.get("constraint")
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, dict) or _is_core(one, known):
            continue
        key, expression = one.get("key"), one.get("expression")
        if isinstance(key, str) and isinstance(expression, str):
            severity = Severity.WARNING if one.get("severity") == "warning" else Severity.ERROR
            found.append(Constraint(key, severity, expression))
    return found


def _is_core(constraint: dict[str, Any], known: frozenset[str]) -> bool:
    source = constraint.get("source")
    return constraint.get("key") in known and (not isinstance(source, str) or source.startswith(CORE))


def constraint_check(constraint: Constraint, told: str) -> Check:
    """Return the check of an invariant on each value of an element."""
    key, severity, expression = constraint

    def check(item: Item, run: Run) -> Found:
        if not run.may_go_on() or holds(expression, item, run, key, f"{key}{told}") is not False:
            return None
        return [Fault(f"invariant-{key}", f"{key} does not hold: {expression}{told}", severity=severity)]

    return check


def holds(expression: str, item: Item, run: Run, about: str, named: str) -> bool | None:
    """Return whether an expression holds on a value, None (noted ``about`` what, ``named``) if that cannot be told."""
    compiled = _compiled(expression, item.type, run.structures)
    if isinstance(compiled, str):
        run.note("invariant-not-checked", about, f"{named} cannot be evaluated here ({compiled}): {expression}")
        return None
    try:
        return compiled.holds(item, run.environment)
    except EvaluationError as error:
        run.note("invariant-not-checked", about, f"{named} cannot be evaluated on this data ({error})")
        return None


def problem(constraint: Constraint, type_: str, structures: Structures) -> str | None:
    """Return why an invariant cannot be run on values of a type, None if it can."""
    compiled = _compiled(constraint.expression, type_, structures)
    return compiled if isinstance(compiled, str) else None


@lru_cache(maxsize=4096)
def _compiled(expression: str, type_: str, structures: Structures) -> Path | str:
    """Return an expression ready to run on values of a type, or why it cannot be run."""
    if len(expression) > MAX_EXPRESSION:
        return f"it has more than {MAX_EXPRESSION} characters"
    try:
        return compile_path(expression, type_, structures)
    except ExpressionError as error:
        return str(error)
