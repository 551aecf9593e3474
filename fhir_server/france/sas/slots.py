"""Slots published for the SAS: each has one profile, the one that its visibility asks for, and the guide's labels.

The platform tells slots apart by their sole profile, and their bytes are passed on as they are, so this is checked when
they are written. What the guide's profiles allow and the recette refuses is warned of.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (the three slot profiles)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from fhir_server.france.sas import profiles
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue, IssueType, Severity

INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d")
"""An instant as the platform reads it."""

_SLOT_TYPES: Final = "TRE_R314-TypeCreneau"
_LABELS: Final = {
    profiles.PLAIN_SLOT: ("PUBLIC", "SNP", "PRO", "CPTS"),
    profiles.CPTS_SLOT: ("PUBLIC", "SNP", "PRO", "CPTS"),
    profiles.SOS_SLOT: ("PUBLIC", "SNP"),
}
_CATEGORIES: Final = "TRE_R66-CategorieEtablissement"


def check(slot: Resource) -> Iterator[Issue]:
    """Yield what keeps a Slot that claims a profile of the SAS from being one; nothing for any other resource."""
    if slot.get("resourceType") != "Slot":
        return
    claimed = [one for one in slot.get("meta", {}).get("profile", ()) if isinstance(one, str)]
    ours = [one for one in claimed if one in profiles.SLOTS]
    if not ours:
        return
    if len(claimed) > 1:
        told = f"a Slot for the SAS has one profile, here are {len(claimed)}: the platform overlooks it otherwise"
        yield Issue(IssueType.BUSINESS_RULE, told, ("Slot.meta.profile",), id="sas-slot-profile")
        return
    yield from _visibility(slot, ours[0])
    yield from _labels(slot, ours[0])
    yield from _instants(slot)


def _visibility(slot: Resource, profile: str) -> Iterator[Issue]:
    is_shared = False
    for place, kind in enumerate(slot.get("serviceType", ())):
        path = f"Slot.serviceType[{place}]"
        is_cpts = any(_is_cpts(coding) for coding in kind.get("coding", ()))
        services = [one for one in kind.get("extension", ()) if one.get("url") == profiles.R5_SERVICE_TYPE]
        if is_cpts != (len(services) == 1):
            told = "a CPTS that sees the slot is category 604 and one extension Slot.serviceType that names its service"
            yield Issue(IssueType.BUSINESS_RULE, told, (path,), id="sas-slot-visibility")
        for one in services:
            if not one.get("valueReference", {}).get("reference"):
                told = "the extension refers to no HealthcareService: valueReference.reference is expected"
                yield Issue(IssueType.BUSINESS_RULE, told, (f"{path}.extension",), id="sas-slot-visibility")
        is_shared = is_shared or is_cpts
    if is_shared != (profile == profiles.CPTS_SLOT):
        wanted = profiles.CPTS_SLOT if is_shared else f"{profiles.PLAIN_SLOT} (or {profiles.SOS_SLOT})"
        told = f"a slot that {'a' if is_shared else 'no'} CPTS sees has the profile {wanted}; received is {profile}"
        yield Issue(IssueType.BUSINESS_RULE, told, ("Slot.meta.profile",), id="sas-slot-profile")


def _labels(slot: Resource, profile: str) -> Iterator[Issue]:
    labels = slot["meta"].get("security", ())
    if not labels:
        told = f"the slot says to whom it is open by none of {', '.join(_LABELS[profile])}; the platform asks for one"
        yield Issue(IssueType.BUSINESS_RULE, told, ("Slot.meta.security",), Severity.WARNING, id="sas-slot-label")
    for place, label in enumerate(labels):
        if label.get("code") not in _LABELS[profile] or _SLOT_TYPES not in label.get("system", ""):
            told = f"the audience of the slot is none of {', '.join(_LABELS[profile])} of {_SLOT_TYPES}"
            yield Issue(IssueType.BUSINESS_RULE, told, (f"Slot.meta.security[{place}]",), id="sas-slot-label")


def _instants(slot: Resource) -> Iterator[Issue]:
    for element in ("start", "end"):
        if element in slot and not INSTANT.fullmatch(slot[element]):
            told = "the platform asks for milliseconds and an offset in figures, as in 2030-01-15T09:00:00.000+01:00"
            path = f"Slot.{element}"
            yield Issue(IssueType.BUSINESS_RULE, told, (path,), Severity.WARNING, id="sas-slot-instant")


def _is_cpts(coding: dict[str, Any]) -> bool:
    # The code system is written three ways, all of which hold its name.
    return coding.get("code") == profiles.CPTS_CATEGORY and _CATEGORIES in coding.get("system", "")
