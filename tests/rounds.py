"""How often a loop goes round: in full by ``scripts/torture``, about a tenth of that otherwise.

A test that asks is marked ``torture``, since otherwise ``scripts/torture`` would leave it out.
"""

from __future__ import annotations

import os
from typing import Final

FULL: Final = os.environ.get("FHIR_TORTURE") == "full"
