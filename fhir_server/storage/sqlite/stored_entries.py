"""The index entries of a resource as they are stored: what check and reindex compare with those computed anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fhir_server.model.reference import Key
from fhir_server.search.query import IndexEntry
from fhir_server.storage.sqlite.entries import KIND
from fhir_server.storage.sqlite.names import Kind
from fhir_server.storage.sqlite.reading import Reading

_SELECT: Final[dict[Kind, str]] = {
    "equality": """
        SELECT f.parameter, e.value FROM equality e CROSS JOIN field f ON f.number = e.field WHERE e.ordinal = ?
    """,
    "text": """
        SELECT f.parameter, e.folded, e.exact FROM text e CROSS JOIN field f ON f.number = e.field WHERE e.ordinal = ?
    """,
    "span": """
        SELECT f.parameter, e.key, e.low, e.high FROM span e CROSS JOIN field f ON f.number = e.field
        WHERE e.ordinal = ?
    """,
    "point": """
        SELECT f.parameter, e.latitude, e.longitude FROM point e CROSS JOIN field f ON f.number = e.field
        WHERE e.ordinal = ?
    """,
}


def stored_entries(reading: Reading, keys: Iterable[Key]) -> dict[Key, tuple[IndexEntry, ...]]:
    """Return the entries of each resource that ever was; one that is deleted should have none."""
    found: dict[Key, tuple[IndexEntry, ...]] = {}
    for key in keys:
        number = reading.names.type(key.type)
        row = reading.connection.execute(
            "SELECT ordinal FROM resource WHERE type = ? AND id = ?", (number, key.id)
        ).fetchone()
        if row is not None:
            found[key] = tuple(
                kind(*values)
                for kind, table in KIND.items()
                for values in reading.connection.execute(_SELECT[table], row)
            )
    return found
