"""How many resources of a type there are, without counting them each time: from the last count on, by the log."""

from __future__ import annotations

from typing import Final

from fhir_server.storage.sqlite.reading import Reading, address

CHANGES: Final = 1_000
"""So many changes cost less to follow than a large type to count."""

_ALL: Final = "SELECT count(*) FROM resource INDEXED BY resource_type WHERE type = ? AND deleted = 0"
_SINCE: Final = """
    SELECT id, version FROM version INDEXED BY version_type WHERE type = ? AND address >= ? ORDER BY address LIMIT ?
"""
_NOW: Final = "SELECT ordinal, deleted = 0 FROM resource WHERE type = ? AND id = ?"
_FIRST: Final = "SELECT body IS NOT NULL FROM version WHERE address = ?"
_LATER: Final = """
    SELECT body IS NOT NULL FROM version INDEXED BY version_instance
    WHERE type = ? AND id = ? AND version = ? AND version > 1
"""


def count_all(reading: Reading, type: int) -> int:
    """Return how many current resources of a type there are, by counting them."""
    (count,) = reading.connection.execute(_ALL, (type,)).fetchone()
    return int(count)


class Counts:
    """The last count of each type, and the change number that it was true at. All readers of a file share them."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}

    def count(self, reading: Reading, type: int, number: int) -> int:
        """Return how many current resources of a type there are in a snapshot, whose head has this number."""
        at, count = self._known.get(type, (0, 0))
        if at > number:  # another snapshot is newer
            return count_all(reading, type)
        if at < number:
            since = _since(reading, type, at) if at else None
            count = count_all(reading, type) if since is None else count + since
            self._known[type] = number, count
        return count


def _since(reading: Reading, type: int, number: int) -> int | None:
    """Return how many more resources of a type there are than at a change number, or None if too much has changed."""
    execute = reading.connection.execute
    changes = execute(_SINCE, (type, address(number + 1), CHANGES + 1)).fetchall()
    if len(changes) > CHANGES:
        return None
    more = 0
    for id_, version in dict(reversed(changes)).items():  # the first change of each resource
        ordinal, is_there = execute(_NOW, (type, id_)).fetchone()
        was_there = 0
        if version == 2:
            (was_there,) = execute(_FIRST, (ordinal,)).fetchone()
        elif version > 2:
            (was_there,) = execute(_LATER, (type, id_, version - 1)).fetchone()
        more += is_there - was_there
    return more
