"""Awaitables run to their end without an event loop: what is awaited where the connection is never suspends."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


def finished(awaitable: Awaitable[T], told: str) -> T:
    """Return what an awaitable returns. Raises ``RuntimeError`` with the text told if it has to wait for anything."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    except RuntimeError as error:
        if "no running event loop" in str(error):
            raise RuntimeError(told) from error
        raise
    steps.close()
    raise RuntimeError(told)
