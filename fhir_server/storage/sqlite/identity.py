"""Is the file that is open still the one at its path? What is written to a file without a name is lost."""

from __future__ import annotations

from pathlib import Path

from fhir_server.storage.protocol import StoreUnavailable


class Identity:
    """The database and its write-ahead log as they were when the store was opened."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._paths = (database, log_of(database))
        self._known = self._look()

    def check(self) -> None:
        """Raise ``StoreUnavailable`` unless both are still in their place."""
        if self._look() != self._known:
            raise StoreUnavailable(f"{self._database} or its log was removed or replaced while it was open")

    def _look(self) -> list[tuple[int, int] | None]:
        found: list[tuple[int, int] | None] = []
        for path in self._paths:
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_dev, status.st_ino))
        return found


def log_of(database: Path) -> Path:
    """Return the path of a database's write-ahead log."""
    return database.with_name(database.name + "-wal")
