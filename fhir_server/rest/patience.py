"""How long a client may take to send its request."""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 30.0
"""Seconds in which headers must be whole, and in which a body must go on."""

BODY_SECONDS: Final = 300.0
"""Seconds in which a body must be whole, however steadily it trickles: 20 MB at half a megabit a second."""
