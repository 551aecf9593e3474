"""Profiles where resources are written: those that the server demands, and those that resources claim.

Spec: https://hl7.org/fhir/R4/profiling.html, https://hl7.org/fhir/R4/resource.html#profile-tags
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from fhir_server.definitions.library import Library
from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue, IssueType, Severity
from fhir_server.validation.profiles.codes import LibraryCodes
from fhir_server.validation.profiles.types import core_type
from fhir_server.validation.profiles.validator import ProfileValidator
from fhir_server.validation.profiles.walk import claimed_profiles


class Claims(StrEnum):
    """What becomes of a profile that a resource names in ``meta.profile`` when it is written."""

    IGNORE = "ignore"
    NOTE = "note"
    """A warning if it is not loaded; nothing is checked against it."""
    WARN = "warn"
    ENFORCE = "enforce"


class Demand(NamedTuple):
    """A profile that resources must conform to; ``type`` None: those of the profile's own type."""

    profile: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Demands:
    """What is asked of the resources that are written."""

    profiles: tuple[Demand, ...] = ()
    claims: Claims = Claims.NOTE

    @classmethod
    def read(cls, profiles: Sequence[str], claims: str) -> Demands:
        """Return what settings say: profiles as ``Type=canonical`` or ``canonical``."""
        pairs = (text.partition("=") if _names_type(text) else ("", "", text) for text in profiles)
        return cls(tuple(Demand(profile, type_ or None) for type_, _, profile in pairs), Claims(claims))

    @property
    def may_refuse(self) -> bool:
        """Whether a write can be refused for a profile."""
        return bool(self.profiles) or self.claims is Claims.ENFORCE

    def concern(self, resource: Resource) -> bool:
        """Tell whether there may be something to check on a resource."""
        type_ = resource["resourceType"]
        if any(one.type in {None, type_} for one in self.profiles):
            return True
        return self.claims is not Claims.IGNORE and "profile" in resource.get("meta", {})


def _names_type(text: str) -> bool:
    type_, equals, _ = text.partition("=")
    return bool(equals) and type_.isalpha()


def conformance(
    structures: Structures, library: Library, resource: Resource, profiles: Sequence[str] = (), *, claimed: bool = True
) -> list[Issue]:
    """Return what is wrong with a resource against profiles; see ``ProfileValidator.validate``."""
    validator = ProfileValidator.of(structures)
    return validator.validate(resource, library, LibraryCodes(library), profiles, claimed=claimed)


def written(structures: Structures, library: Library, resource: Resource, demands: Demands) -> list[Issue]:
    """Return what a resource that is to be stored is told: errors forbid it."""
    issues, demanded = [], []
    for profile, type_ in demands.profiles:
        definition = library.find(profile, "StructureDefinition")
        if (type_ or (definition or {}).get("type")) == resource["resourceType"]:
            demanded.append(profile)
            if definition is None:
                issues.append(_not_loaded(profile, resource["resourceType"]))
        elif definition is None and type_ is None:
            told = f"the profile {profile}, which this server demands, is not loaded: nothing is checked against it"
            issues.append(_issue(told, resource["resourceType"], Severity.WARNING))
    if demanded:
        issues += conformance(structures, library, resource, demanded, claimed=False)
    match demands.claims:
        case Claims.NOTE:
            issues += _unknown(structures, library, resource)
        case Claims.WARN | Claims.ENFORCE:
            issues += _claimed(structures, library, resource, demands)
    return list(dict.fromkeys(issues))


def _unknown(structures: Structures, library: Library, resource: Resource) -> Iterator[Issue]:
    """Yield a remark on each profile that a resource claims and that is not loaded."""
    for profile in claimed_profiles(resource):
        if core_type(profile, structures) is None and library.find(profile, "StructureDefinition") is None:
            told = f"the profile {profile} is not loaded, so nobody has checked that the resource conforms to it"
            yield _issue(told, resource["resourceType"], Severity.WARNING)


def _claimed(structures: Structures, library: Library, resource: Resource, demands: Demands) -> list[Issue]:
    issues = conformance(structures, library, resource)
    if demands.claims is Claims.ENFORCE:
        return issues
    return [replace(issue, severity=Severity.WARNING) if issue.is_error else issue for issue in issues]


def _not_loaded(profile: str, type_: str) -> Issue:
    told = f"a {type_} must conform to {profile}, which is not loaded: nothing can be checked against it"
    return _issue(told, type_, Severity.ERROR)


def _issue(told: str, type_: str, severity: Severity) -> Issue:
    return Issue(_NOT_CHECKED, told, (type_,), severity, "profile-not-checked")


_NOT_CHECKED: Final = IssueType.NOT_SUPPORTED
