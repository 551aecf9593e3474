"""``_at`` of a history: the versions that were current at some time of a date, so also the last ones made before it.

Newest first, a version from before the date is one of them if the version after it is not from before the date too.

Spec: https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Address, HistoryPage, Scope, Snapshot, Stored, Versions

MOST: Final = 1_000
"""Versions looked at for one page; a page that ends there, even empty, has a next one."""

_TOGETHER: Final = 200


async def current_at(snapshot: Snapshot, scope: Scope, page: HistoryPage, low: int) -> tuple[Versions, Address | None]:
    """Return a page of the versions before ``page.before_instant`` that were current at ``low`` or came later, and
    where the next page goes on."""
    found: list[Stored] = []
    later: dict[Key, Stored] = {}
    last = page.after
    looked, more = 0, page.count > 0
    while more and looked < MOST and len(found) < page.count:
        part = await snapshot.history(scope, replace(page, count=_TOGETHER, after=last))
        more = part.more
        for place, stored in enumerate(part.versions, 1):
            looked, last = looked + 1, stored.address
            if await _was_current(snapshot, stored, later.get(stored.key), low):
                found.append(stored)
            later[stored.key] = stored
            if len(found) == page.count:
                more = more or place < len(part.versions)
                break
    return Versions(tuple(found), more), last


async def _was_current(snapshot: Snapshot, stored: Stored, later: Stored | None, low: int) -> bool:
    """Tell whether a version was current at ``low`` or came later; ``later`` is its successor, if it was passed."""
    if stored.instant >= low:
        return True
    if stored.body is None:
        return False
    if later is None:
        later = await snapshot.vread(stored.key, stored.version + 1)
    return later is None or later.instant > low
