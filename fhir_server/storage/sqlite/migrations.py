"""From any older layout of the file to today's, one step at a time, under the writers' lock.

``PRAGMA user_version`` counts the steps taken. A step is never changed once released: a new layout is a new step.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from fhir_server.storage.protocol import SchemaTooNew
from fhir_server.storage.sqlite import outdated
from fhir_server.storage.sqlite.schema import TABLES

Step = Callable[[sqlite3.Connection], None]


def create_tables(connection: sqlite3.Connection) -> None:
    for statement in TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('log_id', ?), ('written', 0)", (secrets.token_hex(8),))


def index_generations(connection: sqlite3.Connection) -> None:
    connection.execute(outdated.INDEX)


STEPS: Final[tuple[Step, ...]] = (create_tables, index_generations)


def layout(connection: sqlite3.Connection) -> int:
    """Return how many steps the file has taken: 0 is a new file."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def check_layout(connection: sqlite3.Connection, known: int = len(STEPS)) -> None:
    """Raise ``SchemaTooNew`` if the file was written by a newer program."""
    found = layout(connection)
    if found > known:
        raise SchemaTooNew(f"the store has layout {found}; this program knows layouts up to {known}")


def migrate(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> int:
    """Take the steps that are missing, each in a transaction of its own; return how many. Call it in your turn."""
    check_layout(connection, len(steps))
    taken = 0
    for number in range(layout(connection), len(steps)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            steps[number](connection)
            connection.execute(f"PRAGMA user_version = {number + 1:d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        taken += 1
    return taken
