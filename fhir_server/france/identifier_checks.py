"""Identifiers of known systems, and codes of communes, wherever they stand in a resource: a wrong pattern refuses, a
wrong check digit warns.

No text holds a number: it may be a patient's. Spec: https://hl7.org/fhir/R4/datatypes.html#Identifier
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from fhir_server.france.identifiers import (
    BY_SYSTEM,
    COMMUNE_SYSTEM,
    RPPS_SYSTEM,
    Kind,
    check,
    forms,
    kind_of,
    wrong_pattern,
)
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue, IssueType, Severity

_SITUATIONS: Final = "PractitionerRole"
"""Whose identifiers in the system of RPPS number a situation of practice, in whatever form."""


@dataclass(frozen=True, slots=True)
class IdentifierChecks:
    """The check of a guide. ``spelled`` gives a system its one spelling; ``refuse_trials``: numbers made for tests and
    demonstrations are refused; ``refuse_digits``: wrong check digits are, too."""

    spelled: Callable[[str], str]
    refuse_trials: bool = False
    refuse_digits: bool = False

    def __call__(self, resource: Resource) -> Iterator[Issue]:
        """Yield what is wrong with the identifiers of one valid resource."""
        for path, node, element, owner in _identifiers(resource, resource["resourceType"]):
            system = self.spelled(node["system"])
            is_meant = element == "value" or system == COMMUNE_SYSTEM
            if is_meant and system in BY_SYSTEM and not (system == RPPS_SYSTEM and owner == _SITUATIONS):
                yield from self._faults(system, node[element], path, element)

    def _faults(self, system: str, value: str, path: str, element: str) -> Iterator[Issue]:
        wrong = wrong_pattern(system, value)
        if wrong is not None:
            yield Issue(IssueType.BUSINESS_RULE, wrong, (f"{path}.{element}",), id="identifier-pattern")
            return
        kind = kind_of(system, value)
        if kind is not None and kind.is_trial and self.refuse_trials:
            told = f"{kind.code} numbers are for tests and demonstrations; this server holds real patients"
            yield Issue(IssueType.BUSINESS_RULE, told, (f"{path}.system",), id="identifier-trial")
        elif kind is None or check(kind.code, value) is False:
            severity = Severity.ERROR if self.refuse_digits and kind is not None else Severity.WARNING
            told = _doubt(system, kind)
            yield Issue(IssueType.BUSINESS_RULE, told, (f"{path}.{element}",), severity, "identifier-check")


def search_fault(spelled: Callable[[str], str], system: str, value: str) -> str | None:
    """Return why a search for ``system|value`` can find nothing: the value has no pattern of its system, not even
    without the prefix of a national number. None: it may, or the system is not known. For flows whose guide asks for a
    refusal; elsewhere such a search finds nothing."""
    number = spelled(system), value
    return wrong_pattern(*number) if len(forms(*number)) == 1 else None


def _doubt(system: str, kind: Kind | None) -> str:
    if kind is None:
        expected = ", or ".join(one.words for one in BY_SYSTEM[system])
        return f"this is hardly a {BY_SYSTEM[system][0].code}: expected is {expected}"
    return f"the check digit of this {kind.code} is wrong"


class _Found(NamedTuple):
    path: str
    node: Resource
    element: str
    """What holds the number: ``value`` of an Identifier, ``code`` of a Coding."""
    owner: str
    """The type of the resource whose own element it is; empty: it stands deeper."""


def _identifiers(node: Resource, path: str) -> Iterator[_Found]:
    """Yield the identifiers and codings with a system that stand inside of an element, however deep."""
    owner = node.get("resourceType", "")
    for name, value in node.items():
        if value.__class__ is list:
            for place, one in enumerate(value):
                if one.__class__ is dict:
                    yield from _identifier(one, f"{path}.{name}[{place}]", owner)
        elif value.__class__ is dict:
            yield from _identifier(value, f"{path}.{name}", owner)


def _identifier(node: Resource, path: str, owner: str) -> Iterator[_Found]:
    if node.get("system").__class__ is str:
        for element in ("value", "code"):
            if node.get(element).__class__ is str:
                yield _Found(path, node, element, owner)
    yield from _identifiers(node, path)
