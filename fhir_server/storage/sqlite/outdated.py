"""The current resources whose index entries older definitions have made, the oldest first."""

from __future__ import annotations

from typing import Final

from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Stored
from fhir_server.storage.sqlite.reading import Reading, stored

INDEX: Final = "CREATE INDEX resource_generation ON resource (type, generation) WHERE deleted = 0"

_OUTDATED: Final = """
    SELECT r.id, v.version, v.instant, v.interaction, v.body, v.address, r.generation
    FROM resource r INDEXED BY resource_generation CROSS JOIN version v ON v.address = r.address
    WHERE r.type = ? AND r.generation < ? AND r.deleted = 0 ORDER BY r.generation, r.ordinal LIMIT ?
"""


def outdated(reading: Reading, type: str, generation: int, limit: int) -> tuple[Stored, ...]:
    """Return up to ``limit`` resources of a type whose entries are of an older generation than this one."""
    number = reading.names.type(type)
    if number is None:
        return ()
    rows = reading.connection.execute(_OUTDATED, (number, generation, limit)).fetchall()
    return tuple(stored(Key(type, id_), row) for id_, *row in rows)
