"""Bindings: the codes of an element are those of a value set.

*required* forbids others, *extensible* warns of them; *preferred* and *example* are advice and check nothing.
Spec: https://hl7.org/fhir/R4/terminologies.html#strength
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fhir_server.fhirpath import Item
from fhir_server.outcome import Severity
from fhir_server.validation.faults import Fault, Found
from fhir_server.validation.profiles.element import Check
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node

_CODES: Final = frozenset(("code", "string", "uri"))


def value_set_of(node: Node) -> tuple[str, str] | None:
    """Return the strength and the value set of an element's binding, None if it binds nothing."""
    binding = node.definition.get("binding")
    if not isinstance(binding, dict):
        return None
    strength, value_set = binding.get("strength"), binding.get("valueSet")
    if strength not in {"required", "extensible"} or not isinstance(value_set, str):
        return None
    return strength, value_set


def required_value_set(node: Node) -> str | None:
    """Return the value set of a required binding."""
    found = value_set_of(node)
    return found[1] if found is not None and found[0] == "required" else None


def binding_check(strength: str, value_set: str, told: str) -> Check:
    """Return the check of an element's codes."""
    severity = Severity.ERROR if strength == "required" else Severity.WARNING

    def check(item: Item, run: Run) -> Found:
        if in_value_set(item, value_set, run) is not False:
            return None
        what = "no coding is" if item.type == "CodeableConcept" else "the code is not"
        return [Fault("profile-code", f"{what} of {value_set}, the {strength} value set{told}", severity=severity)]

    return check


def in_value_set(item: Item, value_set: str, run: Run) -> bool | None:
    """Tell whether one of the codes of a value is in a value set; None (noted) if that cannot be told."""
    codings = list(_codings(item))
    if not codings:
        return False if _is_said(item) else None
    results = [run.codes.contains(value_set, system, code) for system, code in codings]
    if True in results:
        return True
    if None in results:
        run.note("value-set-not-checked", value_set, f"the codes of the value set {value_set} are not known here")
        return None
    return False


def _is_said(item: Item) -> bool:
    """Tell whether a value without a code says something that should be coded: an extension alone does not."""
    said = {"CodeableConcept": ("coding", "text"), "Coding": ("system", "display")}.get(item.type, ())
    return isinstance(item.value, dict) and any(name in item.value for name in said)


def _codings(item: Item) -> Iterator[tuple[str | None, str]]:
    """Yield the system and code of each coding that a value has."""
    value: Any = item.value
    if item.type in _CODES and isinstance(value, str):
        yield None, value
    elif isinstance(value, dict):
        if item.type == "CodeableConcept":
            codings = value.get("coding")
            for coding in codings if isinstance(codings, list) else ():
                if isinstance(coding, dict) and isinstance(coding.get("code"), str):
                    yield _text(coding.get("system")), coding["code"]
        elif isinstance(value.get("code"), str):
            yield _text(value.get("system")), value["code"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
