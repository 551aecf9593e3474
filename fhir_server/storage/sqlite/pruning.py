"""A query without what no resource of this store can match: parameters that no resource ever had an entry of.

A chain may end in a contained resource, so half of what is planned for it is about entries that hardly any store has.
To see that costs one look-up by name; what is left is planned as if nobody had asked for the rest.
"""

from __future__ import annotations

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


def pruned(node: Node, type: int, names: Names) -> Node:  # noqa: PLR0911 a line for each kind of node
    """Return a node that is true of the same resources of the type, and asks for nothing that none of them has."""
    match node:
        case And(nodes):
            return _every([pruned(each, type, names) for each in nodes])
        case Or(nodes):
            return _some([pruned(each, type, names) for each in nodes])
        case Not(inner):
            kept = pruned(inner, type, names)
            return EVERYTHING if is_nothing(kept) else NOTHING if is_everything(kept) else Not(kept)
        case Equal(parameter, References() as there):
            return _if_any(Equal(parameter, _references(there, names)), names, type)
        case ReferredBy(other, parameter, where):
            there = _references(References(other, where), names)
            number = names.type(other)
            known = number is not None and names.field(number, parameter, "equality") is not None
            return ReferredBy(other, parameter, there.where) if known and not is_nothing(there.where) else NOTHING
        case Spans(keys=Keys(parts)):
            kept_parts = tuple(_references(part, names) if isinstance(part, References) else part for part in parts)
            return _if_any(replace(node, keys=Keys(kept_parts)), names, type)
        case Present(parameter):
            return node if any(names.field(type, parameter, kind) is not None for kind in KINDS) else NOTHING
        case Ids() | Updated():
            return node
    return _if_any(node, names, type)


def _if_any(node: _Entered, names: Names, type: int) -> Node:
    """Return the node, if an entry of the type can match it."""
    if names.field(type, node.parameter, _KINDS[node.__class__]) is None:
        return NOTHING
    match node:
        case Equal(_, References(_, where)):
            return NOTHING if is_nothing(where) else node
        case Spans(keys=Keys(parts)):
            ends = [part.where for part in parts if isinstance(part, References)]
            return NOTHING if any(map(is_nothing, ends)) else node
    return node


def _references(references: References, names: Names) -> References:
    number = names.type(references.type)
    where = NOTHING if number is None else pruned(references.where, number, names)
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
