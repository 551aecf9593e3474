"""The functions of FHIRPath that an expression may call here, by name.

``FUNCTIONS`` is the whole list; a function that is not in it is a compile error.
Spec: http://hl7.org/fhirpath/N1/#functions, https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from fhir_server.fhirpath import collections, filters, texts, tree
from fhir_server.fhirpath.compiled import Compiled, Types, boolean, kept
from fhir_server.fhirpath.item import Environment, ExpressionError, Item
from fhir_server.fhirpath.navigation import Navigator
from fhir_server.fhirpath.operators import single
from fhir_server.fhirpath.parser import type_name
from fhir_server.fhirpath.syntax import Call, Node
from fhir_server.fhirpath.types import hierarchical, resolved_type

Builder = Callable[[Compiled, list[Compiled]], Compiled]
"""From the source and the arguments of a call to its closures."""


class Compiles(Protocol):
    """What a call needs of the compiler that meets it."""

    @property
    def navigator(self) -> Navigator: ...

    def compile(self, node: Node, this: Types) -> Compiled: ...

    def source(self, node: Node | None, this: Types) -> Compiled:
        """Compile what a function is called on; None is ``$this``."""
        ...

    def select_type(self, source: Compiled, name: str) -> Compiled:
        """Compile ``as`` and ``ofType``."""
        ...


class Function(NamedTuple):
    """How a function is called: how many arguments, and what ``$this`` is in them.

    ``each`` means that the arguments are evaluated for every item of the source, ``below`` also for what they give,
    ``whole`` for the source itself; otherwise they are evaluated where the call stands.
    """

    build: Builder
    arguments: tuple[int, int] = (0, 0)
    scope: str = "outer"


def compile_call(compiler: Compiles, node: Call, this: Types) -> Compiled:
    """Return the closures of a call. Raises ``ExpressionError``."""
    name, arguments = node.name, node.arguments
    if name in ("as", "ofType", "is") and len(arguments) == 1:
        if name == "is":
            return compile_is(compiler, node.source, type_name(arguments[0]), this)
        return compiler.select_type(compiler.source(node.source, this), type_name(arguments[0]))
    source = compiler.source(node.source, this)
    special = tree.compile_tree_function(compiler.navigator, node, source)
    if special is not None:
        return special
    function = FUNCTIONS.get(name)
    if function is None:
        raise ExpressionError(f"{name}() is not among the functions that are compiled here")
    least, most = function.arguments
    if not least <= len(arguments) <= most:
        raise ExpressionError(f"{name}() takes {least} to {most} arguments, not {len(arguments)}")
    if function.scope != "outer":
        types = source.types if function.scope != "below" else None
        inner = [compiler.compile(argument, types) for argument in arguments]
        return function.build(source, [kept(part, of) for part, of in zip(inner, arguments, strict=True)])
    parts = [source, *(compiler.compile(argument, this) for argument in arguments)]
    if not all(part.is_constant for part in parts):
        parts = [kept(part, of) for part, of in zip(parts, (node.source, *arguments), strict=True)]
    return function.build(parts[0], parts[1:])


def compile_is(compiler: Compiles, operand: Node | None, name: str, this: Types) -> Compiled:
    """Return ``operand is name``; ``resolve() is Patient`` is decided by the reference, if it tells."""
    is_type = hierarchical(compiler.navigator, name)
    if isinstance(operand, Call) and operand.name == "resolve" and not operand.arguments:
        source = compiler.source(operand.source, this)
        navigator = compiler.navigator

        def test_reference(this: list[Item], environment: Environment) -> bool | None:
            item = single(source.evaluate(this, environment))
            type_ = None if item is None else resolved_type(item, environment, navigator)
            return None if type_ is None else is_type(type_)

        return boolean(test_reference, source)
    part = compiler.source(operand, this)

    def test(this: list[Item], environment: Environment) -> bool | None:
        items = part.evaluate(this, environment)
        if len(items) > 1:
            single(items)
        return is_type(items[0].type) if items else None

    return boolean(test, part)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "empty": Function(collections.empty),
    "not": Function(collections.negation),
    "count": Function(collections.count),
    "first": Function(collections.first),
    "last": Function(collections.last),
    "tail": Function(collections.tail),
    "single": Function(collections.only),
    "skip": Function(collections.skip, (1, 1)),
    "take": Function(collections.take, (1, 1)),
    "distinct": Function(collections.distinct),
    "isDistinct": Function(collections.is_distinct),
    "allTrue": Function(collections.all_true),
    "allFalse": Function(collections.all_false),
    "anyTrue": Function(collections.any_true),
    "anyFalse": Function(collections.any_false),
    "exclude": Function(collections.exclude, (1, 1)),
    "subsetOf": Function(collections.subset_of, (1, 1)),
    "supersetOf": Function(collections.superset_of, (1, 1)),
    "combine": Function(collections.combine, (1, 1)),
    "intersect": Function(collections.intersect, (1, 1)),
    "trace": Function(collections.trace, (1, 2), "each"),
    "exists": Function(filters.exists, (0, 1), "each"),
    "where": Function(filters.where, (1, 1), "each"),
    "select": Function(filters.select, (1, 1), "each"),
    "all": Function(filters.every, (1, 1), "each"),
    "repeat": Function(filters.repeat, (1, 1), "below"),
    "iif": Function(filters.choose, (2, 3), "whole"),
    "matches": Function(texts.matches, (1, 1)),
    "replaceMatches": Function(texts.replace_matches, (2, 2)),
    "startsWith": Function(texts.starts_with, (1, 1)),
    "endsWith": Function(texts.ends_with, (1, 1)),
    "contains": Function(texts.contains, (1, 1)),
    "substring": Function(texts.substring, (1, 2)),
    "length": Function(texts.length),
    "lower": Function(texts.lower),
    "upper": Function(texts.upper),
    "indexOf": Function(texts.index_of, (1, 1)),
    "replace": Function(texts.replace, (2, 2)),
    "toString": Function(texts.to_string),
    "toInteger": Function(texts.to_integer),
    "htmlChecks": Function(texts.html_checks),
}
