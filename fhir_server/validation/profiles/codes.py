"""The codes of value sets, as bindings ask for them: those that R4 requires and lists.

Spec: https://hl7.org/fhir/R4/terminologies.html
"""

from __future__ import annotations

from fhir_server.definitions.structures import Structures


class RequiredCodes:
    """The value sets of R4 that its own bindings require."""

    def __init__(self, structures: Structures) -> None:
        self._structures = structures

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Tell whether a code is in a value set; None if it is not one of these."""
        codes = self._structures.codes(value_set.partition("|")[0])
        if codes is None:
            return None
        return code in codes if system is None else system in codes.get(code, ())
