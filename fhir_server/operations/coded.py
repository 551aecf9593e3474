"""The codes that an operation is asked about: ``code`` with ``system``, a Coding, or a CodeableConcept.

Spec: https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhir_server.operations.call import Values
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.terminology.membership import Code
from fhir_server.terminology.validate_code import Coded

CODINGS: Final = 100
"""Codings of one CodeableConcept."""

FORMS: Final = ("code", "coding", "codeableConcept")


def coded(values: Values, forms: Sequence[str] = FORMS, system: str | None = None) -> list[Coded]:
    """Return the codings given in one of the forms; ``system`` is that of a code given without.

    The version of a code is ``systemVersion`` or ``version``. Raises ``BadRequest`` where there is not one form, or a
    coding says no system or no code.
    """
    form = values.one_of(forms)
    if form == "code":
        system = values.text("system") or system
        if system is None:
            raise _missing("a code needs its system", "code", values)
        version = values.text("systemVersion") or values.text("version")
        return [Coded(Code(system, values.text("code") or "", version), values.text("display"))]
    for name in ("system", "display"):
        if values.has(name):
            told = f"{name} stands beside code only, not beside {form}"
            raise BadRequest(Issue(IssueType.INVALID, told, (values.at(name),), id="operation-parameters"))
    given = values.object(form) or {}
    codings = [given] if form == "coding" else given.get("coding", [])
    if len(codings) > CODINGS:
        told = f"the CodeableConcept has {len(codings)} codings; the bound is {CODINGS}"
        raise BadRequest(Issue(IssueType.TOO_COSTLY, told, (values.at(form),), id="terminology-too-costly"))
    found = [_coding(one) for one in codings]
    if form == "coding" and found == [None]:
        raise _missing("a Coding needs system and code", form, values)
    return [one for one in found if one is not None]


def _coding(given: Mapping[str, Any]) -> Coded | None:
    if "system" not in given or "code" not in given:
        return None
    return Coded(Code(given["system"], given["code"], given.get("version")), given.get("display"))


def _missing(told: str, name: str, values: Values) -> BadRequest:
    return BadRequest(Issue(IssueType.REQUIRED, told, (values.at(name),), id="operation-parameters"))
