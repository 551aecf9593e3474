"""The search parameters by which bookings are found: none of a client's own may take their place and mean otherwise.

Spec: https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue, IssueType

NEEDED: Final = {"Appointment": ("slot",), "Slot": ("schedule", "start", "end")}
"""Type → codes; each is just the element of its name."""

_ALL: Final = ("Resource", "DomainResource")


def check_parameters(resource: Resource) -> Iterable[Issue]:
    """Yield why an active SearchParameter cannot be: a check of the guide, asked of what is valid."""
    if resource.get("resourceType") != "SearchParameter" or resource.get("status") != "active":
        return
    code, base = resource.get("code"), resource.get("base", ())
    for type_, codes in NEEDED.items():
        wanted = f"{type_}.{code}"
        if code in codes and any(one in base for one in (type_, *_ALL)) and resource.get("expression") != wanted:
            told = f"bookings are found by {code} of {type_}, whose expression has to be {wanted}; choose another code"
            yield Issue(IssueType.BUSINESS_RULE, told, ("SearchParameter.code",), id="search-parameter-needed")
