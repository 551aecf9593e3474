"""Compiled expressions, ready to run: search parameters and invariants.

Spec: https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath.compiled import Compiled, Types, kept
from fhir_server.fhirpath.compiler import Compiler
from fhir_server.fhirpath.item import Environment, ExpressionError, Item
from fhir_server.fhirpath.navigation import Navigator, navigator
from fhir_server.fhirpath.parser import parse


class Path:
    """An expression, compiled for one context."""

    __slots__ = ("_evaluate", "_names_context", "_test", "context", "expression", "types")

    def __init__(self, expression: str, context: str, compiled: Compiled) -> None:
        self.expression = expression
        self.context = context
        self.types: Types = compiled.types
        """The types that results may have, None if that shows at run time only."""
        self._evaluate = compiled.evaluate
        self._test = compiled.test
        self._names_context = "%context" in expression

    def __call__(self, item: Item, environment: Environment) -> list[Item]:
        """Return the collection that the expression gives on an item of the context; do not change it.

        Raises ``EvaluationError`` if the data has several items where the expression needs one.
        """
        if self._names_context:
            environment = environment.within(item)
        return self._evaluate([item], environment)

    def holds(self, item: Item, environment: Environment) -> bool:
        """Return whether an invariant is kept: it is violated when it evaluates to false.

        Empty means that the data does not say enough (a period of "2024" to "2024-03", a code that has only an
        extension): that violates nothing. Other validators count it as a violation, and so refuse such a period;
        the price here is that ``abstract = true`` (vsd-9) is not violated where ``abstract`` is absent.
        Raises ``EvaluationError`` like a call.
        """
        if self._names_context:
            environment = environment.within(item)
        return self._test([item], environment) is not False

    def __repr__(self) -> str:
        return f"Path({self.expression!r}, {self.context!r})"


def compile_path(expression: str, context: str, structures: Structures) -> Path:
    """Compile an expression for a context: a type name, or an element path.

    Items of a backbone have its path as their type, those of any other element the element's type. Raises
    ``ExpressionError`` if the expression is not FHIRPath, is outside the subset, or names an element that the
    context does not have.
    """
    navigate = navigator(structures)
    try:
        node = parse(expression)
        compiled = kept(Compiler(navigate).compile(node, _context_types(context, navigate)), node)
    except ExpressionError as error:
        raise ExpressionError(f"{error}, in {expression!r} on {context}") from None
    return Path(expression, context, compiled)


def _context_types(context: str, navigate: Navigator) -> Types:
    structures = navigate.structures
    if context in structures.types:
        return frozenset((context,))
    parent, _, name = context.rpartition(".")
    element = navigate.element(parent, name.removesuffix("[x]")) if parent else None
    if element is None:
        raise ExpressionError(f"there is no type or element {context}")
    return frozenset(navigate.item_types(element))
