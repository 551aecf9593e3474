"""How far a command has come, and how it says that it cannot go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Takes what is done and what there is in all, in the command's own unit."""


class CommandFailed(Exception):
    """The command cannot be done; the text is one sentence for the person who gave it."""


def unheard(_done: int, _total: int) -> None:
    """Progress that nobody wants to see."""
