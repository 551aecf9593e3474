"""Which logs a program may append to, the same on every engine."""

from __future__ import annotations

from fhir_server.storage.protocol import ENDED, SCHEMA, Head, SchemaTooNew, StoreUnavailable


def check_writable(head: Head) -> None:
    """Raise ``StoreUnavailable`` for a log that has ended, ``SchemaTooNew`` for one that a newer program writes."""
    if head.schema == ENDED:
        raise StoreUnavailable("this log has ended: it goes on in another store")
    if head.schema > SCHEMA:
        raise SchemaTooNew(f"the log has schema {head.schema}; this program knows schemas up to {SCHEMA}")
