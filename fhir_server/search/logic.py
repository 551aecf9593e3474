"""And and or of nodes, kept small: what is always or never true is taken out."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.search.query import EVERYTHING, NOTHING, And, Node, Not, Or


def all_of(nodes: Iterable[Node]) -> Node:
    """Return a node that is true where all are."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.nodes if isinstance(node, And) else (node,))
    if len(flat) == 1:
        return flat[0]
    flat = list(dict.fromkeys(flat))
    if NOTHING in flat:
        return NOTHING
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def one_of(nodes: Iterable[Node]) -> Node:
    """Return a node that is true where one is."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.nodes if isinstance(node, Or) else (node,))
    if len(flat) == 1:
        return flat[0]
    flat = list(dict.fromkeys(flat))
    if EVERYTHING in flat:
        return EVERYTHING
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def is_negative(node: Node) -> bool:
    """Return whether a node can be true of a resource that has no entries at all."""
    if isinstance(node, And):
        return all(is_negative(inner) for inner in node.nodes)
    if isinstance(node, Or):
        return any(is_negative(inner) for inner in node.nodes)
    return isinstance(node, Not) and not is_negative(node.node)
