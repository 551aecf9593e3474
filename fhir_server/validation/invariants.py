"""The invariants of R4, compiled: rules between elements, evaluated at each element that declares them.

Spec: https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_server.definitions.structures import Invariant, Structures
from fhir_server.fhirpath import EvaluationError, Item, Path, compile_path
from fhir_server.outcome import Severity
from fhir_server.validation.faults import Fault, Found, Scope
from fhir_server.validation.properties import Rule

ELSEWHERE: Final[Mapping[str, str]] = {
    "ele-1": "what is empty is told as empty-object, empty-array, string-blank or structure-null",
    "ref-1": "told where the reference is resolved, also for types that may not be referred to",
    "dom-6": "R4's advice to send a narrative; a warning on nearly every resource would hide the others",
}
"""Invariants that are not evaluated here: why."""

ONLY_WITH: Final[Mapping[str, str]] = dict.fromkeys(("dom-2", "dom-3", "dom-4", "dom-5"), "contained")
"""The property without which an invariant holds, for those that nearly every resource would pay for."""


class Invariants:
    """The rules of all types, each compiled when its type is first checked: all at once would keep a process that
    starts for longer than all its definitions. The tests compile every one."""

    def __init__(self, structures: Structures) -> None:
        self._structures = structures
        self._paths: dict[tuple[str, str], Path] = {}

    def rule(self, path: str, type_: str) -> Rule | None:
        """Return the check of what is declared at a type or element path, None if nothing is.

        ``type_`` is the type that FHIRPath shall see: a type code, or a backbone's path.
        """
        rules = [
            (invariant, self._compiled(invariant, path), ONLY_WITH.get(invariant.key))
            for invariant in self._structures.invariants(path)
            if invariant.key not in ELSEWHERE
        ]
        if not rules:
            return None

        def check(value: Any, extras: Any, scope: Scope) -> Found:
            found: Found = None
            item: Item | None = None
            for invariant, compiled, needed in rules:
                if needed is not None and needed not in value:
                    continue
                if item is None:
                    item = Item(value, type_, extras)
                fault = _evaluate(invariant, compiled, item, scope)
                if fault is not None:
                    found = [*(found or ()), fault]
            return found

        return check

    def _compiled(self, invariant: Invariant, context: str) -> Path:
        found = self._paths.get((context, invariant.expression))
        if found is None:
            found = compile_path(invariant.expression, context, self._structures)
            self._paths[context, invariant.expression] = found
        return found


def _evaluate(invariant: Invariant, compiled: Path, item: Item, scope: Scope) -> Fault | None:
    try:
        if compiled.holds(item, scope.environment()):
            return None
    except EvaluationError:
        id_, told, severity = "invariant-not-checked", "cannot be evaluated on this data", Severity.WARNING
    else:
        id_, told, severity = f"invariant-{invariant.key}", "does not hold", Severity(invariant.severity)
    if severity is not Severity.ERROR and not scope.may_warn():
        return None
    return Fault(id_, f"{invariant.key} {told}: {invariant.expression}", severity=severity)
