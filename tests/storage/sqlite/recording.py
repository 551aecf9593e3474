"""The statements that a search runs, and what SQLite says of their plans. https://www.sqlite.org/eqp.html"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fhir_server.search.query import Page, Query
from fhir_server.storage.sqlite.choosing import Effort
from fhir_server.storage.sqlite.planner import Planner
from fhir_server.storage.sqlite.readers import Reader


class Recorder:
    """Keeps the statements that a connection runs, with their plans."""

    def __init__(self, path: Path) -> None:
        self.reader = Reader(path)
        self.statements: list[str] = []
        self.reader.begin()

    def plan_with(self, effort: Effort) -> None:
        self.reader.planner = Planner(self.reader.reading, effort=effort)

    def close(self) -> None:
        self.reader.end()
        self.reader.connection.close()

    def search(self, query: Query, page: Page) -> int:
        self.reader.connection.set_trace_callback(self.statements.append)
        try:
            return len(self.reader.planner.search(query, page).matches)
        finally:
            self.reader.connection.set_trace_callback(None)

    def plans(self) -> Iterator[tuple[str, str]]:
        for statement in self.statements:
            if statement.lstrip().startswith("SELECT"):
                for *_, detail in self.reader.connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                    yield statement, detail

    def assert_searches(self) -> None:
        """Every table is searched by an index; only what was just selected, or bound as a list, is scanned."""
        for statement, detail in self.plans():
            if detail.startswith("SCAN"):
                subject = detail.split()[1]
                assert subject in SELECTED or subject.startswith("("), f"{detail}: {statement}"

    def reads_all(self) -> bool:
        """Tell whether some statement reads the index of all resources of a type."""
        return any("resource_type" in statement for statement in self.statements)


SELECTED: Final = frozenset(("json_each", "CONSTANT", "c", "wanted", "(subquery-1)"))
"""What a plan may scan: what was bound as a list, and what was selected before."""
