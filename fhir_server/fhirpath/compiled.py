"""What an expression is compiled to: closures over collections, and what is known about their results beforehand.

Spec: http://hl7.org/fhirpath/N1/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.fhirpath.item import Environment, Item
from fhir_server.fhirpath.operators import truth
from fhir_server.fhirpath.syntax import Literal, Node, Variable

Evaluate = Callable[[list[Item], Environment], list[Item]]
"""From ``$this`` and the environment to a collection. No collection is ever changed after it was returned."""

Test = Callable[[list[Item], Environment], bool | None]
"""The same for a boolean, None if it is empty."""

Types = frozenset[str] | None
"""The types that the items of a collection may have, None if that shows at run time only."""

BOOLEAN: Types = frozenset(("boolean",))
INTEGER: Types = frozenset(("integer",))
STRING: Types = frozenset(("string",))

_TRUE = [Item(True, "boolean")]
_FALSE = [Item(False, "boolean")]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled expression. ``is_constant`` if it depends on the environment only, not on ``$this``."""

    evaluate: Evaluate
    types: Types
    test: Test
    is_constant: bool = False


def collection(evaluate: Evaluate, types: Types, *parts: Compiled, is_constant: bool | None = None) -> Compiled:
    """Return what evaluates to a collection; ``parts`` say whether it is constant, unless it is told."""

    def test(this: list[Item], environment: Environment) -> bool | None:
        return truth(evaluate(this, environment))

    return Compiled(evaluate, types, test, _constant(parts, is_constant))


def boolean(test: Test, *parts: Compiled, is_constant: bool | None = None) -> Compiled:
    """Return what evaluates to a boolean or to nothing."""

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        result = test(this, environment)
        return [] if result is None else _TRUE if result else _FALSE

    return Compiled(evaluate, BOOLEAN, test, _constant(parts, is_constant))


def _constant(parts: tuple[Compiled, ...], told: bool | None) -> bool:
    return all(part.is_constant for part in parts) if told is None else told


def remember(part: Compiled) -> Compiled:
    """Return the same, evaluated once for each environment. Only for what is constant and costs something."""
    inner, inner_test = part.evaluate, part.test

    def evaluate(this: list[Item], environment: Environment) -> list[Item]:
        found: list[Item] | None = environment.memo.get(inner)
        if found is None:
            found = environment.memo[inner] = inner(this, environment)
        return found

    def test(this: list[Item], environment: Environment) -> bool | None:
        if inner_test not in environment.memo:
            environment.memo[inner_test] = inner_test(this, environment)
        found: bool | None = environment.memo[inner_test]
        return found

    return Compiled(evaluate, part.types, test, is_constant=True)


def kept(part: Compiled, node: Node | None) -> Compiled:
    """Remember a part that depends on the environment only, where it would be evaluated again and again."""
    return remember(part) if part.is_constant and not isinstance(node, Literal | Variable) else part
