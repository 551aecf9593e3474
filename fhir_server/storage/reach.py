"""What a node of a query says of other resources: chains and ``_has``, which an engine resolves before the rest."""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.search.query import And, Equal, Keys, Node, Not, Or, References, ReferredBy, Spans


def conjunction(node: Node) -> Iterator[Node]:
    """Yield what must all hold."""
    if isinstance(node, And):
        for each in node.nodes:
            yield from conjunction(each)
    else:
        yield node


def reaches_out(node: Node) -> bool:
    """Tell whether a node says something of other resources."""
    match node:
        case And(nodes) | Or(nodes):
            return any(reaches_out(each) for each in nodes)
        case Not(inner):
            return reaches_out(inner)
        case ReferredBy():
            return True
        case Equal(_, values):
            return isinstance(values, References)
        case Spans():
            return isinstance(node.keys, Keys) and any(isinstance(part, References) for part in node.keys.parts)
        case _:
            return False
