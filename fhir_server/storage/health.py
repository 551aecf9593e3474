"""What an operator is warned of, the same on every engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fhir_server.storage.protocol import Head

AHEAD_MICROSECONDS: Final = 5_000_000


def warnings(failure: str | None, head: Head, now: int) -> Iterator[str]:
    """Yield a sentence each for a last write that failed, and for a log that is ahead of this machine's clock."""
    if failure is not None:
        yield f"the last write failed: {failure}"
    ahead = head.instant - now
    if ahead > AHEAD_MICROSECONDS:
        yield f"the last commit is {ahead / 1e6:.1f} s ahead of this machine's clock"
