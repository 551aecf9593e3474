"""What an expression that a client defines may hold: nothing whose cost outgrows the resource that it is read from.

Each resource of a type is indexed by it, so it is evaluated in every write. With what is left, a step gives each node
below its source once at most: the work is bounded by the resource times the expression. A regular expression, or what
makes values longer or more numerous again and again (``select``, ``combine``, ``&``), has no such bound.
Spec: https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fhir_server.fhirpath.syntax import Binary, Call, Index, Literal, Member, Node, This, TypeOperation, Unary, Variable

MAX_LENGTH: Final = 2_000
"""Characters; the longest of R4 has under 1,000."""

FUNCTIONS: Final = frozenset(
    (
        "all",
        "allFalse",
        "allTrue",
        "as",
        "contains",
        "count",
        "distinct",
        "empty",
        "endsWith",
        "exists",
        "extension",
        "first",
        "hasValue",
        "intersect",
        "is",
        "isDistinct",
        "last",
        "length",
        "not",
        "ofType",
        "startsWith",
        "substring",
        "tail",
        "toInteger",
        "toString",
        "trace",
        "where",
    )
)
_ARITHMETIC: Final = frozenset("+-*&")


def excess(expression: str, node: Node) -> str | None:
    """Return why an expression may cost too much, None if it cannot. ``node`` is its syntax tree."""
    if len(expression) > MAX_LENGTH:
        return f"it has {len(expression)} characters, at most {MAX_LENGTH} are read"
    for name in _unbounded(node):
        if name == "resolve()":
            return (
                "resolve() is not for search parameters: it leads to another resource, whose changes would not be "
                "seen; index the reference, and search by a chain. `resolve() is` is evaluated"
            )
        return (
            f"{name} is not for search parameters: its cost may outgrow the resource; beside paths, comparisons and "
            f"`resolve() is`, the functions are {', '.join(sorted(FUNCTIONS))}"
        )
    return None


def _unbounded(node: Node | None) -> Iterator[str]:
    """Yield what of an expression is not allowed, as it is called: ``matches()``, ``%resource``, ``the operator &``."""
    match node:
        case Variable(name):
            yield f"%{name}"
        case Member(source):
            yield from _unbounded(source)
        case TypeOperation("is", operand):
            yield from _unbounded(_tested(operand))
        case TypeOperation(_, operand):
            yield from _unbounded(operand)
        case Index(source, position):
            yield from _unbounded(source)
            yield from _unbounded(position)
        case Unary(operator):
            yield f"the operator {operator}"
        case Binary(operator, left, right):
            if operator in _ARITHMETIC:
                yield f"the operator {operator}"
            yield from _unbounded(left)
            yield from _unbounded(right)
        case Call(source, name, arguments):
            if name not in FUNCTIONS:
                yield f"{name}()"
            yield from _unbounded(_tested(source) if name == "is" else source)
            for argument in arguments:
                yield from _unbounded(argument)
        case Literal() | This() | None:
            pass


def _tested(operand: Node | None) -> Node | None:
    """Return what is left to look at of what ``is`` tests: ``resolve() is Patient`` is told by the reference."""
    match operand:
        case Call(source, "resolve", ()):
            return source
    return operand
