"""A query without what no resource of this store can match: parameters that no resource ever had an entry of.

A chain may end in a contained resource, so half of what is planned for it is about entries that hardly any store has.
To see that costs one look-up by name, and where some resource has such entries, one look at the index; what is left is
planned as if nobody had asked for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from fhir_server.search.query import (
    EVERYTHING,
    NOTHING,
    And,
    EndsWith,
    Equal,
    Ids,
    Keys,
    Near,
    Node,
    Not,
    Or,
    Present,
    References,
    ReferredBy,
    Spans,
    StartsWith,
    TextContains,
    TextIs,
    TextStarts,
    Updated,
)
from fhir_server.storage.sqlite.names import KINDS, Kind, Names

CONTAINED: Final = "."
"""In the codes of what is contained, ``actor:Practitioner.family``, and in no others."""

_Entered: TypeAlias = Equal | StartsWith | EndsWith | TextStarts | TextIs | TextContains | Spans | Near
"""Nodes that are about entries of one kind."""

_KINDS: Final[dict[type[_Entered], Kind]] = {
    Equal: "equality",
    StartsWith: "equality",
    EndsWith: "equality",
    TextStarts: "text",
    TextIs: "text",
    TextContains: "text",
    Spans: "span",
    Near: "point",
}


def is_everything(node: Node) -> bool:
    return isinstance(node, And) and not node.nodes


def is_nothing(node: Node) -> bool:
    return isinstance(node, Or) and not node.nodes


class Pruning:
    """``probe`` tells whether any resource of a type matches a node, or may: an index range that is empty or not."""

    def __init__(self, names: Names, probe: Callable[[int, Node], bool]) -> None:
        self._names = names
        self._probe = probe

    def pruned(self, node: Node, type: int) -> Node:  # noqa: PLR0911 a line for each kind of node
        """Return a node that is true of the same resources of the type, and asks for nothing that none of them has."""
        match node:
            case And(nodes):
                return _every([self.pruned(each, type) for each in nodes])
            case Or(nodes):
                return _some([self.pruned(each, type) for each in nodes])
            case Not(inner):
                kept = self.pruned(inner, type)
                return EVERYTHING if is_nothing(kept) else NOTHING if is_everything(kept) else Not(kept)
            case Equal(parameter, References() as there):
                return self._entered(Equal(parameter, self._references(there)), type)
            case ReferredBy(other, parameter, where, compound):
                there = self._references(References(other, where))
                number = self._names.type(other)
                known = number is not None and self._names.field(number, parameter, "equality") is not None
                kept = ReferredBy(other, parameter, there.where, compound)
                return kept if known and not is_nothing(there.where) else NOTHING
            case Spans(keys=Keys(parts)):
                kept_parts = tuple(self._references(part) if isinstance(part, References) else part for part in parts)
                return self._entered(replace(node, keys=Keys(kept_parts)), type)
            case Present(parameter):
                return node if any(self._names.field(type, parameter, kind) is not None for kind in KINDS) else NOTHING
            case Ids() | Updated():
                return node
        return self._entered(node, type)

    def _entered(self, node: _Entered, type: int) -> Node:
        """Return the node, if an entry of the type can match it."""
        if self._names.field(type, node.parameter, _KINDS[node.__class__]) is None:
            return NOTHING
        match node:
            case Equal(_, References(_, where)) if is_nothing(where):
                return NOTHING
            case Spans(keys=Keys(parts)) if any(isinstance(p, References) and is_nothing(p.where) for p in parts):
                return NOTHING
        return node if CONTAINED not in node.parameter or self._probe(type, node) else NOTHING

    def _references(self, references: References) -> References:
        number = self._names.type(references.type)
        where = NOTHING if number is None else self.pruned(references.where, number)
        return References(references.type, where)


def _every(nodes: list[Node]) -> Node:
    kept = [node for node in nodes if not is_everything(node)]
    if any(map(is_nothing, kept)):
        return NOTHING
    return kept[0] if len(kept) == 1 else And(tuple(kept))


def _some(nodes: list[Node]) -> Node:
    kept = [node for node in nodes if not is_nothing(node)]
    if any(map(is_everything, kept)):
        return EVERYTHING
    return kept[0] if len(kept) == 1 else Or(tuple(kept))
