"""The validator: from a resource to the list of everything that is wrong with it.

Spec: https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fhir_server.definitions.registry import ENVELOPES
from fhir_server.definitions.structures import Structures
from fhir_server.outcome import Issue, IssueType, Severity
from fhir_server.validation.faults import MAX_FAULTS, MAX_ISSUES, Fault, Found, Scope, mismatch
from fhir_server.validation.invariants import Invariants
from fhir_server.validation.second_opinion import SecondOpinion
from fhir_server.validation.structure import StructureChecks, wrong_type


class Validator:
    """Checks resources against base R4: structure, required codes, references, invariants, a second opinion."""

    def __init__(
        self, structures: Structures, served: frozenset[str] | None = None, *, second_opinion: bool = True
    ) -> None:
        """``served``: the resource types accepted (beside the ``ENVELOPES``), None for all of R4."""
        self._types = structures.resource_types
        self._served = self._types if served is None else served | ENVELOPES
        self._checks = _checks(structures)
        self._second_opinion = SecondOpinion(structures) if second_opinion else None

    def validate(self, resource: Any, *, entries: bool = True, conditional_references: bool = False) -> list[Issue]:
        """Return what is wrong with a resource, perhaps nothing; never raises.

        ``entries``: whether the resources in a Bundle are checked too; a caller that will validate each of them
        says no. ``conditional_references``: whether references may be searches, as they may in a Bundle, until
        a transaction resolves them. See ``kinds`` for the ids of the issues, and for ``status_of``.
        """
        if type(resource) is not dict:
            return _issues(mismatch("type-object", resource, "a resource: an object"), "Resource")
        type_ = resource.get("resourceType")
        if type(type_) is not str or type_ not in self._types:
            return _issues([wrong_type(resource, type_)], "Resource")
        if type_ not in self._served:
            return _issues([Fault("resource-not-served", f"{type_} is not served here")], type_)
        if type_ == "Bundle":
            conditional_references = True
        scope = Scope(resource, conditional_references, entries)
        faults = self._checks.of(type_)(resource, resource, scope)
        issues = _issues(faults, type_, scope.has_forgotten())
        if self._second_opinion is not None and not any(issue.is_error for issue in issues):
            issues += self._second_opinion.issues(resource if entries else _without_entries(resource))
        return issues


@lru_cache(maxsize=4)
def _checks(structures: Structures) -> StructureChecks:
    """Return the checks of some structures, always the same ones: what one server has compiled, the next need not."""
    return StructureChecks(structures, Invariants(structures).rule)


def _without_entries(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a Bundle without the resources in it; any other resource as it is."""
    if resource["resourceType"] != "Bundle" or "entry" not in resource:
        return resource
    bare = [{name: value for name, value in entry.items() if name != "resource"} for entry in resource["entry"]]
    return {**resource, "entry": [entry for entry in bare if entry]}


def _issues(faults: Found, root: str, have_forgotten: bool = False) -> list[Issue]:
    if not faults:
        return []
    if len(faults) > MAX_ISSUES:  # errors first: what refuses the resource is never cut off
        faults.sort(key=lambda fault: fault.severity is not Severity.ERROR)
    issues = [fault.issue(root) for fault in faults[:MAX_ISSUES]]
    if len(faults) > MAX_ISSUES:
        told = f"{len(faults) - MAX_ISSUES} more issues are not told"
        if have_forgotten or len(faults) > MAX_FAULTS:
            told += ", and checking stopped: there may be others"
        issues.append(Issue(IssueType.INFORMATIONAL, told, (), Severity.INFORMATION, "issues-cut"))
    return issues
