"""Index entries computed anew, under newer definitions: not a commit, since nothing a client wrote changes."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.storage.protocol import Reindexed
from fhir_server.storage.sqlite import entries as entry_rows
from fhir_server.storage.sqlite.reading import Reading


def reindex(reading: Reading, entries: Sequence[Reindexed], *, again: bool = False) -> int:
    """Write the entries of each version that is still current and was indexed with an older generation, or with the
    same one if ``again``."""
    written = 0
    for key, version, generation, own in entries:
        number = reading.names.type(key.type)
        if number is None:
            continue
        row = reading.connection.execute(
            """
            SELECT ordinal FROM resource
            WHERE type = ? AND id = ? AND version = ? AND generation < ? + ? AND deleted = 0
            """,
            (number, key.id, version, generation, int(again)),
        ).fetchone()
        if row is None:
            continue
        (ordinal,) = row
        if own is not None:
            entry_rows.replace(reading.connection, ordinal, entry_rows.rows(reading.names, number, ordinal, own))
        reading.connection.execute("UPDATE resource SET generation = ? WHERE ordinal = ?", (generation, ordinal))
        written += 1
    return written
