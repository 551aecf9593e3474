"""Whether a resource conforms to profiles: those that are named, and those that it claims itself.

Spec: https://hl7.org/fhir/R4/validation.html, https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from fhir_server.definitions.library import Library
from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue, Severity
from fhir_server.validation.faults import MAX_ISSUES
from fhir_server.validation.kinds import kind_of
from fhir_server.validation.profiles.bindings import in_value_set
from fhir_server.validation.profiles.loaded import LoadedProfiles
from fhir_server.validation.profiles.run import Codes, Run, as_item
from fhir_server.validation.profiles.walk import Walk

_SEVERITIES: Final = (Severity.ERROR, Severity.WARNING, Severity.INFORMATION)


class ProfileValidator:
    """Checks resources against profiles; what it has compiled is kept."""

    def __init__(self, structures: Structures) -> None:
        self._structures = structures
        self._profiles = LoadedProfiles(structures)

    @classmethod
    @cache
    def of(cls, structures: Structures) -> ProfileValidator:
        """Return the one for these structures, always the same, with what it has compiled."""
        return cls(structures)

    def validate(
        self, resource: Resource, library: Library, codes: Codes, profiles: Sequence[str] = (), *, claimed: bool = True
    ) -> list[Issue]:
        """Return what is wrong with a resource that is R4, beyond R4; never raises.

        ``profiles``: canonical URLs of profiles that it must conform to. ``claimed``: also against those that it and
        the resources in it name in ``meta.profile``. Extensions are checked where their definitions are loaded. What
        cannot be checked is a warning each: ``profile-not-checked`` and the like, see ``kinds``; of a profile that is
        validated itself, what could not be checked against it.
        """
        root = as_item(resource, self._structures)
        run = Run(self._structures, library, codes, self._profiles, root)
        run.judge("memberOf", lambda item, value_set: in_value_set(item, value_set, run))
        walk = Walk(run, claimed=claimed)
        try:
            for profile in profiles:
                walk.faults.extend(run.conforms(root, profile) or ())
            walk.resource(root)
            if root.type == "StructureDefinition" and resource.get("derivation") == "constraint":
                self._profiles.look_into(resource, run)
        except RecursionError:  # expressions that call profiles, which have such expressions
            run.too_deep()
        issues = list(dict.fromkeys(fault.issue(root.type) for fault in walk.faults))
        issues += [
            Issue(kind_of(id_).code, told, (root.type,), Severity.WARNING, id_) for (id_, _), told in run.notes.items()
        ]
        return _cut(issues)


def _cut(issues: list[Issue]) -> list[Issue]:
    """Return the issues, the worst first; beyond ``MAX_ISSUES`` only how many there are."""
    issues.sort(key=lambda issue: _SEVERITIES.index(issue.severity))
    if len(issues) <= MAX_ISSUES:
        return issues
    told = f"{len(issues) - MAX_ISSUES} more issues are not told"
    return [*issues[:MAX_ISSUES], Issue(kind_of("issues-cut").code, told, (), Severity.INFORMATION, "issues-cut")]
