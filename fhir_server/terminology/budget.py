"""How much work one question about codes may cause: whoever may write a value set, or send one, decides what is asked.

Spec: https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

from typing import Final

from fhir_server.terminology.problems import too_costly

STEPS: Final = 200_000
"""Codes that are looked at, those that others exclude among them, each once for each filter."""


class Budget:
    """What is left for one question."""

    def __init__(self) -> None:
        self._left = STEPS

    def spend(self, steps: int) -> None:
        """Take some of it. Raises ``BadRequest`` where nothing is left."""
        self._left -= steps
        if self._left < 0:
            raise too_costly(f"the value set would have to look at more than {STEPS} codes")
