"""Functions that evaluate an expression for each item of a collection.

Spec: http://hl7.org/fhirpath/N1/#filtering-and-projection
"""

from __future__ import annotations

from collections.abc import Hashable

from fhir_server.fhirpath.compiled import Compiled, Types, boolean, collection
from fhir_server.fhirpath.item import Environment, Item
from fhir_server.fhirpath.operators import key


def where(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``where(criteria)``: the items for which the criteria are true."""
    (criteria,) = arguments
    evaluate, test = source.evaluate, criteria.test

    def keep(this: list[Item], environment: Environment) -> list[Item]:
        return [item for item in environment.counted(evaluate(this, environment)) if test([item], environment)]

    return collection(keep, source.types, source)


def exists(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``exists([criteria])``: whether there is an item, for which the criteria are true."""
    evaluate = source.evaluate
    if not arguments:
        return boolean(lambda this, environment: bool(evaluate(this, environment)), source)
    test = arguments[0].test

    def some(this: list[Item], environment: Environment) -> bool:
        return any(test([item], environment) for item in environment.counted(evaluate(this, environment)))

    return boolean(some, source)


def every(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``all(criteria)``: whether the criteria are true for each item; true of none."""
    (criteria,) = arguments
    evaluate, test = source.evaluate, criteria.test

    def each(this: list[Item], environment: Environment) -> bool:
        return all(test([item], environment) for item in environment.counted(evaluate(this, environment)))

    return boolean(each, source)


def select(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``select(projection)``: what the projection gives for each item, in one collection."""
    (projection,) = arguments
    evaluate, project = source.evaluate, projection.evaluate

    def collect(this: list[Item], environment: Environment) -> list[Item]:
        found: list[Item] = []
        for item in environment.counted(evaluate(this, environment)):
            found += environment.counted(project([item], environment))
        return found

    return collection(collect, projection.types, source)


def repeat(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``repeat(projection)``: what the projection gives, and gives of that, until there is nothing new."""
    (projection,) = arguments
    evaluate, project = source.evaluate, projection.evaluate

    def collect(this: list[Item], environment: Environment) -> list[Item]:
        found: dict[Hashable, Item] = {}
        todo = [*environment.counted(evaluate(this, environment))]
        while todo:
            for item in environment.counted(project([todo.pop(0)], environment)):
                if key(item) not in found:
                    found[key(item)] = item
                    todo.append(item)
        return list(found.values())

    return collection(collect, None, source)


def choose(source: Compiled, arguments: list[Compiled]) -> Compiled:
    """Return ``iif(criterion, then [, otherwise])``, with the source as ``$this`` in all three."""
    criterion, then, *otherwise = arguments
    evaluate, test, yes = source.evaluate, criterion.test, then.evaluate
    no = otherwise[0].evaluate if otherwise else None

    def either(this: list[Item], environment: Environment) -> list[Item]:
        items = evaluate(this, environment)
        if test(items, environment):
            return yes(items, environment)
        return no(items, environment) if no is not None else []

    types: Types = then.types
    for part in otherwise:
        types = None if types is None or part.types is None else types | part.types
    return collection(either, types, source)
