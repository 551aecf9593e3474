"""How a plan is run, the same on every engine."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.storage.protocol import Clock, Head, Planned

PLAN_WAITED: Final = "a plan awaits nothing but its view: this one waited for something else"
READS_WAITED: Final = "reads together await nothing but the snapshot that they are given"
MILLISECOND: Final = 1000


def instant_after(head: Head, clock: Clock) -> int:
    """Return the instant of the commit after a head: a whole millisecond, never before that of the head."""
    return max(clock() // MILLISECOND * MILLISECOND, head.instant)


def checked(planned: object) -> Planned[Any]:
    """Return what a plan has returned. Raises ``TypeError`` for anything else."""
    if not isinstance(planned, Planned):
        raise TypeError(f"a plan returns Planned, not {type(planned).__name__}")
    return planned
