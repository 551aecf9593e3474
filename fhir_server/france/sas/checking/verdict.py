"""What one look at an answer says of one rule: that it holds there, or not."""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    """``where`` is a place in the answer (``Slot/12 start``); ``received`` is what stands there, never a person's name,
    number or address."""

    rule: str
    holds: bool
    where: str = ""
    received: str = ""
