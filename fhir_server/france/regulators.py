"""Accounts of regulators (INT_R02 of the SAS): which fields they must have, and which account an update means.

Of the profile FrPractitionerRegul only. Source: the SAS guide, https://interop.esante.gouv.fr/ig/fhir/sas/, and what
the national platform's test kit demands beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from fhir_server.france.families import Family
from fhir_server.france.identifiers import IDNPS_SYSTEM
from fhir_server.france.vocabulary import IDENTIFIER_TYPES
from fhir_server.model.formats import Resource, parse
from fhir_server.model.reference import Key
from fhir_server.outcome import Issue, IssueType, Severity
from fhir_server.storage.protocol import Stored

ACCOUNT_SYSTEM: Final = "urn:oid:1.2.250.1.213.3.6"
"""The system of the platform's own ids of accounts, and the source of the resources that it sends."""

ACCOUNTS: Final = Family(
    "regulator accounts",
    "Practitioner",
    frozenset("*"),
    frozenset(
        (
            "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/FrPractitionerRegul",
            "http://sas.fr/fhir/StructureDefinition/FrPractitionerRegul",
        )
    ),
    frozenset((ACCOUNT_SYSTEM,)),
)
"""What makes a Practitioner an account: one of its profile's canonicals, or its source."""

_TYPE_CODES: Final = MappingProxyType({IDNPS_SYSTEM: "IDNPS", ACCOUNT_SYSTEM: "INTRN"})
"""The code of the type of identifier that goes with each system."""

_UUID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AccountChecks:
    """The check of a guide: every field that the platform relies on is there, and they agree. ``spelled`` gives a
    system its one spelling."""

    spelled: Callable[[str], str]

    def __call__(self, resource: Resource) -> Iterator[Issue]:
        """Yield what is missing or contradicts itself in an account; nothing for other resources."""
        if ACCOUNTS.has(resource):
            yield from self._identifiers(resource.get("identifier", ()))
            yield from _name(resource.get("name", ()))
            yield from _telecom(resource.get("telecom", ()))
            if "active" not in resource:
                yield _issue("active", "an account says whether it is active")

    def _identifiers(self, identifiers: Sequence[Resource]) -> Iterator[Issue]:
        if not any(identifier.get("system") in _TYPE_CODES and "value" in identifier for identifier in identifiers):
            told = f"an account has an identifier, with its value, in {IDNPS_SYSTEM} or {ACCOUNT_SYSTEM}"
            yield _issue("identifier", told)
        for place, identifier in enumerate(identifiers):
            system, path = identifier.get("system", ""), f"identifier[{place}]"
            codes = {code for code in self._codes(identifier) if code in _TYPE_CODES.values()}
            if system in _TYPE_CODES and codes != {_TYPE_CODES[system]}:
                told = f"the type of an identifier in {system} is {_TYPE_CODES[system]}"
                yield _issue(f"{path}.type", f"{told}; received is {', '.join(sorted(codes)) or 'none'}")
            elif system not in _TYPE_CODES and codes:
                expected = " or ".join(one for one, code in _TYPE_CODES.items() if code in codes)
                yield _issue(f"{path}.system", f"the system of the type {' and '.join(sorted(codes))} is {expected}")
            if system == ACCOUNT_SYSTEM and not _UUID.fullmatch(identifier.get("value", "")):
                yield replace(_issue(f"{path}.value", "the platform's ids are UUIDs"), severity=Severity.WARNING)

    def _codes(self, identifier: Resource) -> Iterator[Any]:
        for coding in identifier.get("type", {}).get("coding", ()):
            if self.spelled(coding.get("system", "")) == IDENTIFIER_TYPES:
                yield coding.get("code")


def meant(sent: Resource, matches: Sequence[Stored]) -> Sequence[Key]:
    """Return which of the resources that criteria match a conditional update of an account means.

    Only accounts: a professional with the same number is somebody else. The active one goes before disabled ones, and
    of those alone the one that was changed last. For other resources all matches are meant.
    """
    if not ACCOUNTS.has(sent):
        return [stored.key for stored in matches]
    accounts = [(stored, body) for stored in matches if stored.body and ACCOUNTS.has(body := parse(stored.body))]
    active = [stored.key for stored, body in accounts if body.get("active") is not False]
    latest = sorted((stored.address, stored.key) for stored, _ in accounts)
    return active or [key for _, key in latest[-1:]]


def _name(names: Sequence[Resource]) -> Iterator[Issue]:
    if not names:
        yield _issue("name", "an account has a name, with family and given")
    for place, name in enumerate(names):
        for part in ("family", "given"):
            if not name.get(part):
                yield _issue(f"name[{place}].{part}", f"the name of an account has a {part}")


def _telecom(points: Sequence[Resource]) -> Iterator[Issue]:
    if not points:
        yield _issue("telecom", "an account has an e-mail address: telecom, with system email and a value")
    for place, point in enumerate(points):
        if point.get("system") != "email":
            told = f"an account has e-mail addresses only: system is email; received is {point.get('system') or 'none'}"
            yield _issue(f"telecom[{place}].system", told)
        if not point.get("value"):
            yield _issue(f"telecom[{place}].value", "an e-mail address has a value")


def _issue(element: str, told: str) -> Issue:
    return Issue(IssueType.BUSINESS_RULE, told, (f"Practitioner.{element}",), id="regulator-account")
