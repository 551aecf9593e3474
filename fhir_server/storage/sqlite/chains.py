"""What a query says of other resources, resolved from its selective end into plain values: chains, ``_has``, the keys
of compounds. Where that end is not selective, a node stays as it is, to be checked of each candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import TypeAlias

from fhir_server.search.query import (
    RECORD_SEPARATOR,
    Equal,
    Ids,
    Keys,
    Node,
    References,
    ReferredBy,
    Spans,
)
from fhir_server.storage.reach import reaches_out
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.sql import Sql, bind, build

Matching: TypeAlias = Callable[[int, Node], Sql | None]
"""Selects the ordinals of what matches of a type, one more than the bound at most; None if it is surely more."""


class Chains:
    """Resolves chains for one transaction; the same question is asked once."""

    def __init__(self, reading: Reading, matching: Matching, most: int) -> None:
        """``most``: values that one far end may become."""
        self._connection = reading.connection
        self._names = reading.names
        self._matching = matching
        self._most = most
        self._ends: dict[References, tuple[str, ...] | None] = {}

    def forget(self) -> None:
        self._ends.clear()

    def expanded(self, node: Node) -> Node:
        """Write the keys of a compound out, if its parts are plain values and their product is not too large."""
        if not isinstance(node, Spans) or not isinstance(node.keys, Keys):
            return node
        size = 1
        choices: list[tuple[str, ...]] = []
        for choice in node.keys.parts:
            if isinstance(choice, References):
                return node
            choices.append(choice)
            size *= len(choice)
        if size > self._most:
            return node
        return replace(node, keys=tuple(RECORD_SEPARATOR.join(parts) for parts in product(*choices)))

    def resolved(self, type: int, node: Node) -> Node:
        """Replace what a node says of other resources by what they are, where they are not too many."""
        if isinstance(node, Equal) and isinstance(node.values, References):
            texts = self._texts(node.values)
            return node if texts is None else Equal(node.parameter, texts)
        if isinstance(node, Spans) and isinstance(node.keys, Keys):
            parts: list[tuple[str, ...] | References] = []
            for part in node.keys.parts:
                texts = self._texts(part) if isinstance(part, References) else part
                parts.append(part if texts is None else texts)
            return self.expanded(replace(node, keys=Keys(tuple(parts))))
        if isinstance(node, ReferredBy):
            return self._referred(type, node)
        return node

    def _texts(self, references: References) -> tuple[str, ...] | None:
        """Return the texts of references to what matches, or None if they are too many."""
        if references not in self._ends:
            self._ends[references] = self._found_texts(references)
        return self._ends[references]

    def _found_texts(self, references: References) -> tuple[str, ...] | None:
        number = self._names.type(references.type)
        if number is None:
            return ()
        found = self._matching(number, references.where)
        if found is None:
            return None
        rows = self._connection.execute(
            *build(
                "SELECT r.id FROM ({}) c CROSS JOIN resource r ON r.ordinal = c.ordinal LIMIT {}",
                found,
                bind(self._most + 1),
            )
        ).fetchall()
        return None if len(rows) > self._most else tuple(f"{references.type}/{row[0]}" for row in rows)

    def _referred(self, type: int, node: ReferredBy) -> Node:
        other = self._names.type(node.type)
        field = None if other is None else self._names.field(other, node.parameter, "equality")
        if other is None or field is None:
            return Ids(())
        found = self._matching(other, node.where)
        if found is None:
            return node
        rows = self._connection.execute(
            *build(
                "SELECT c.ordinal, e.value FROM ({}) c LEFT JOIN equality e ON e.ordinal = c.ordinal AND e.field = {}",
                found,
                bind(field),
            )
        ).fetchall()
        if len({ordinal for ordinal, _ in rows}) > self._most:
            return node
        prefix = f"{self._names.type_name(type)}/"
        ids = {text[len(prefix) :] for _, text in rows if text is not None and text.startswith(prefix)}
        return Ids(tuple(sorted(ids)))


def usable(node: Node, *, is_resolved: bool = False) -> Sequence[Node]:
    """Return a node, or what it stands for: a compound whose keys are too many to be written out is of no use."""
    if not isinstance(node, Spans) or (reaches_out(node) and not is_resolved):
        return (node,)
    return node.apart() or (node,)
