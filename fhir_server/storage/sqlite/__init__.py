"""The embedded engine, on SQLite: nothing to install."""

from fhir_server.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
