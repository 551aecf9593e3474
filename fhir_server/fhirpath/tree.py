"""Functions that move in the tree of a resource: children, descendants, extensions, references, values.

Spec: http://hl7.org/fhirpath/N1/#tree-navigation, https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fhir_server.fhirpath.compiled import Compiled, boolean, collection
from fhir_server.fhirpath.item import Environment, EvaluationError, ExpressionError, Item
from fhir_server.fhirpath.navigation import Navigator
from fhir_server.fhirpath.syntax import Call, Literal
from fhir_server.fhirpath.types import resolve

_OFTEN: Final = 1_000
"""After so many descendants they are counted."""


def compile_tree_function(navigator: Navigator, node: Call, source: Compiled) -> Compiled | None:
    """Return the closures of a call of one of these functions, None if it is another."""
    if node.name == "extension":
        return _extension(navigator, node, source)
    if node.name in JUDGED:
        return _judged(node, source)
    build = _FUNCTIONS.get(node.name)
    if build is None:
        return None
    if node.arguments:
        raise ExpressionError(f"{node.name}() takes no arguments")
    return build(navigator, source)


def _children(navigator: Navigator, source: Compiled) -> Compiled:
    evaluate, children = source.evaluate, navigator.children

    def collect(this: list[Item], environment: Environment) -> list[Item]:
        found: list[Item] = []
        for item in environment.counted(evaluate(this, environment)):
            children(item, found)
        return environment.counted(found)

    return collection(collect, None, source)


def _descendants(navigator: Navigator, source: Compiled) -> Compiled:
    evaluate, children = source.evaluate, navigator.children

    def collect(this: list[Item], environment: Environment) -> list[Item]:
        found: list[Item] = []
        for item in evaluate(this, environment):
            children(item, found)
        position = 0
        while position < len(found):
            children(found[position], found)
            position += 1
            if position % _OFTEN == 0:
                environment.counted(found[-_OFTEN:])
        return found

    return collection(collect, None, source)


def _resolve(navigator: Navigator, source: Compiled) -> Compiled:
    evaluate = source.evaluate

    def collect(this: list[Item], environment: Environment) -> list[Item]:
        resolved = [resolve(item, environment, navigator) for item in evaluate(this, environment)]
        return [item for item in resolved if item is not None]

    return collection(collect, None, source)


def _has_value(navigator: Navigator, source: Compiled) -> Compiled:
    evaluate, is_primitive = source.evaluate, navigator.is_primitive

    def test(this: list[Item], environment: Environment) -> bool:
        items = evaluate(this, environment)
        return len(items) == 1 and items[0].value is not None and is_primitive(items[0].type)

    return boolean(test, source)


def _extension(navigator: Navigator, node: Call, source: Compiled) -> Compiled:
    """Return ``extension(url)``, short for ``extension.where(url = …)``."""
    match node.arguments:
        case (Literal(str() as url),):
            pass
        case _:
            raise ExpressionError("extension() takes the URL of an extension, written out")
    evaluate, hop = source.evaluate, navigator.hop

    def collect(this: list[Item], environment: Environment) -> list[Item]:
        found: list[Item] = []
        for item in evaluate(this, environment):
            to_extensions = hop(item.type, "extension")
            if to_extensions is not None:
                to_extensions(item, found)
        return [item for item in found if item.value.__class__ is dict and item.value.get("url") == url]

    return collection(collect, frozenset(("Extension",)), source)


def _judged(node: Call, source: Compiled) -> Compiled:
    """Return ``memberOf(valueSet)`` or ``conformsTo(profile)`` on one item; an error where nobody can tell."""
    match node.arguments:
        case (Literal(str() as url),):
            pass
        case _:
            raise ExpressionError(f"{node.name}() takes a canonical URL, written out")
    name, evaluate = node.name, source.evaluate

    def test(this: list[Item], environment: Environment) -> bool | None:
        items = evaluate(this, environment)
        if not items:
            return None
        judge = environment.judges.get(name)
        told = judge(items[0], url) if judge is not None and len(items) == 1 else None
        if told is None:
            raise EvaluationError(f"{name}() cannot be told")
        return told

    return boolean(test, source)


JUDGED: Final = frozenset(("memberOf", "conformsTo"))
"""Functions that ask other definitions than those of types. https://hl7.org/fhir/R4/fhirpath.html#functions"""

_FUNCTIONS: Final[dict[str, Callable[[Navigator, Compiled], Compiled]]] = {
    "children": _children,
    "descendants": _descendants,
    "resolve": _resolve,
    "hasValue": _has_value,
}
