"""The checks of a Reference: its literal form, and the types an element may refer to.

Spec: https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import re
from typing import Any, Final

from fhir_server.model.reference import type_named
from fhir_server.validation.faults import Fault, Found, Scope

_RELATIVE: Final = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]+)\?\S+")
_CONTAINED: Final = re.compile(r"#([A-Za-z0-9\-.]{0,64})")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")
_STEP: Final = ".reference"
_DEFINITIONS: Final = "http://hl7.org/fhir/StructureDefinition/"


class ReferenceCheck:
    """The check of one element's references. ``targets`` as in ``Element``: ``{"Resource"}`` for any type."""

    def __init__(self, targets: frozenset[str], resource_types: frozenset[str]) -> None:
        self._types = resource_types
        self._allowed = resource_types if "Resource" in targets else targets
        self._told = "a resource of R4" if "Resource" in targets else ", ".join(sorted(targets))

    def __call__(self, value: dict[str, Any], scope: Scope) -> Found:
        """Return the faults of a Reference whose structure is right."""
        text = value.get("reference")
        if "type" not in value:
            if text is None:
                return None
            match = _RELATIVE.fullmatch(text)
            if match is not None and match[1] in self._allowed:
                return None
        named, fault = self._literal(text, scope) if text is not None else (None, None)
        if fault is not None:
            return [fault]
        return self._check_type(value.get("type"), named)

    def _literal(self, text: str, scope: Scope) -> tuple[str | None, Fault | None]:
        """Return the type that a literal reference names, and what is wrong with the reference."""
        if match := _RELATIVE.fullmatch(text):
            named: str | None = match[1]
        elif match := _CONTAINED.fullmatch(text):
            named = scope.contained.get(match[1]) if match[1] else scope.root["resourceType"]
            if named is None:
                return None, Fault("invariant-ref-1", "no contained resource has the id of this reference", _STEP)
        elif match := _CONDITIONAL.fullmatch(text):
            named = match[1]
            if not scope.conditional:
                told = "received a search, which only a transaction resolves; expected the reference itself"
                return None, Fault("reference-conditional", told, _STEP)
        elif _ABSOLUTE.fullmatch(text):
            named = type_named(text)
            if named not in self._types:  # urn:uuid, or a URL that is not of a FHIR server
                return None, None
        else:
            told = "expected Type/id, #id, or an absolute URI, without white space"
            return None, Fault("reference-syntax", f"no literal reference: {told}", _STEP)
        return named, self._disallow(named or "", _STEP)

    def _disallow(self, named: str, step: str) -> Fault | None:
        if named in self._allowed:
            return None
        what = f"received a reference to {named}" if named in self._types else "received no resource type of R4"
        return Fault("reference-target", f"{what}, expected {self._told}", step)

    def _check_type(self, type_: Any, named: str | None) -> Found:
        if type_ is None:
            return None
        type_ = type_.removeprefix(_DEFINITIONS)
        if type_ not in self._types:
            if ":" in type_:  # a logical model
                return None
            return [Fault("reference-type", "received no resource type of R4, expected one", ".type")]
        if named is not None and named != type_:
            return [Fault("reference-type", f"received {type_}, but the reference is to {named}", ".type")]
        fault = None if named is not None else self._disallow(type_, ".type")
        return [fault] if fault is not None else None
