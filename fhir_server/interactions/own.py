"""What a transaction's own entries are found by, before any of them is stored.

R4 resolves conditional references last, so they may find what the same transaction writes; and two creates with the
same criteria are one. https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.match import matches
from fhir_server.search.query import Equal, Equality, IndexEntry, Node

MAX_COMPARISONS: Final = 100_000
"""Criteria other than one identifier are compared with each entry in turn; a transaction may ask for so many."""


@dataclass(slots=True)
class OwnEntries:
    """The index entries of the resources that a transaction writes, as they will be."""

    _entries: dict[Key, tuple[IndexEntry, ...]] = field(default_factory=dict)
    _by_value: dict[tuple[str, Equality], set[Key]] = field(default_factory=lambda: defaultdict(set))
    _comparisons: int = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def add(self, key: Key, entries: Sequence[IndexEntry]) -> None:
        self._entries[key] = tuple(entries)
        for entry in entries:
            if isinstance(entry, Equality):
                self._by_value[key.type, entry].add(key)

    def matching(self, type_: str, where: Node) -> set[Key]:
        """Return the keys of those that match. Raises ``BadRequest`` past ``MAX_COMPARISONS``."""
        match where:
            case Equal(parameter, (str() as value,)):
                return set(self._by_value.get((type_, Equality(parameter, value)), ()))
        candidates = [key for key in self._entries if key.type == type_]
        self._comparisons += len(candidates)
        if self._comparisons > MAX_COMPARISONS:
            raise BadRequest(
                Issue(
                    IssueType.TOO_COSTLY,
                    f"the transaction's criteria would need more than {MAX_COMPARISONS} comparisons among its entries; "
                    "use criteria of one identifier, or smaller transactions",
                    id="transaction-too-costly",
                )
            )
        return {key for key in candidates if matches(where, key, self._entries[key])}
