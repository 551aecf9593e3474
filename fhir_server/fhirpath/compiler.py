"""From the syntax tree to closures.

Names are checked while compiling: an element that the type at hand does not have is an error, unless the type
shows at run time only (``contained``, ``descendants()``, ``resolve()``). A walk through elements of known, complex
types is one closure.
Spec: http://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fhir_server.fhirpath import functions, operators
from fhir_server.fhirpath.compiled import Compiled, Types, collection, kept, remember
from fhir_server.fhirpath.item import Environment, ExpressionError, Item
from fhir_server.fhirpath.logic import LOGIC, compile_membership
from fhir_server.fhirpath.navigation import Hop, Navigator
from fhir_server.fhirpath.syntax import Binary, Call, Index, Literal, Member, Node, This, TypeOperation, Unary, Variable
from fhir_server.fhirpath.types import hierarchical, known_type, selective

_URLS: Final = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
_PREFIXES: Final = {"vs-": "http://hl7.org/fhir/ValueSet/", "ext-": "http://hl7.org/fhir/StructureDefinition/"}
_ABSTRACT: Final = frozenset(("Resource", "DomainResource", "Element", "BackboneElement"))
_ARITHMETIC: Final = {
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "&": operators.concatenate,
}


class Compiler:
    """Compiles the parts of one expression. ``this`` is always the types that ``$this`` may have."""

    def __init__(self, navigator: Navigator) -> None:
        self.navigator = navigator
        self._calls: dict[str, Compiled] = {}

    def compile(self, node: Node, this: Types) -> Compiled:
        """Return the closures of a node. Raises ``ExpressionError``."""
        match node:
            case Literal() | This() | Variable():
                compiled = _leaf(node, this)
            case Member():
                compiled = self._member(node, this)
            case Call():
                compiled = self._call(node, this)
            case Index(source, position):
                compiled = self._index(source, position, this)
            case Unary(operator, operand):
                compiled = _unary(operator, self.compile(operand, this))
            case TypeOperation("is", operand, type_):
                compiled = functions.compile_is(self, operand, type_, this)
            case TypeOperation(_, operand, type_):
                compiled = self.select_type(self.compile(operand, this), type_)
            case Binary():
                compiled = self._binary(node, this)
        return compiled

    def _call(self, node: Call, this: Types) -> Compiled:
        """Return the closures of a call; one that depends on the environment only is remembered wherever it stands."""
        compiled = functions.compile_call(self, node, this)
        return self._calls.setdefault(repr(node), remember(compiled)) if compiled.is_constant else compiled

    def source(self, node: Node | None, this: Types) -> Compiled:
        """Return the closures of what stands before a dot: ``$this`` if nothing does."""
        return self.compile(This() if node is None else node, this)

    def select_type(self, source: Compiled, name: str) -> Compiled:
        """Return ``source as name``, ``source.ofType(name)``."""
        is_type = selective(self.navigator, name)
        evaluate = source.evaluate

        def select(this: list[Item], environment: Environment) -> list[Item]:
            return [item for item in evaluate(this, environment) if is_type(item[1])]

        return collection(select, frozenset((known_type(self.navigator, name),)), source)

    def _type_filter(self, name: str, this: Types) -> Compiled:
        """Return the context if it has the type that begins a path: ``Slot.start``, ``Resource.id``."""
        code = known_type(self.navigator, name)
        structures = self.navigator.structures
        if this is not None and this and all(structures.is_a(type_, code) for type_ in this):
            return collection(lambda this, environment: this, this, is_constant=False)
        is_type = hierarchical(self.navigator, name)

        def keep(this: list[Item], environment: Environment) -> list[Item]:
            return [item for item in this if is_type(item[1])]

        return collection(keep, frozenset((code,)), is_constant=False)

    def _member(self, node: Member, this: Types) -> Compiled:
        if node.source is None and node.name[:1].isupper():
            return self._type_filter(node.name, this)
        source = self.source(node.source, this)
        types = self._child_types(source.types, node.name)
        evaluate = self._walk(node, this) or self._step(source, node.name)
        return collection(evaluate, types, source)

    def _child_types(self, types: Types, name: str) -> Types:
        if types is None:
            return None
        found = {type_: self.navigator.child_types(type_, name) for type_ in types}
        if any(children is None and type_ in _ABSTRACT for type_, children in found.items()):
            return None
        known = [children for children in found.values() if children is not None]
        if not known:
            raise ExpressionError(f"{' or '.join(sorted(types))} has no element {name}")
        return frozenset().union(*known)

    def _step(self, source: Compiled, name: str) -> Callable[[list[Item], Environment], list[Item]]:
        """Return one step to the children of a name, by the type that each item turns out to have."""
        evaluate, find = source.evaluate, self.navigator.hop
        hops: dict[str, Hop | None] = {}

        def step(this: list[Item], environment: Environment) -> list[Item]:
            found: list[Item] = []
            for item in evaluate(this, environment):
                type_ = item[1]
                if type_ not in hops:
                    hops[type_] = find(type_, name)
                hop = hops[type_]
                if hop is not None:
                    hop(item, found)
            return found

        return step

    def _walk(self, node: Member, this: Types) -> Callable[[list[Item], Environment], list[Item]] | None:
        """Return one closure for a whole path from ``$this`` through known complex types, if it is one."""
        names: list[str] = []
        start: Node | None = node
        while isinstance(start, Member) and not start.name[:1].isupper():
            names.append(start.name)
            start = start.source
        if isinstance(start, Member):
            if self._type_filter(start.name, this).types != this:
                return None
        elif start is not None and not isinstance(start, This):
            return None
        return _fuse(self.navigator, names[::-1], this)

    def _index(self, source: Node, position: Node, this: Types) -> Compiled:
        items, at = self.compile(source, this), self.compile(position, this)
        if items.is_constant != at.is_constant:
            items, at = kept(items, source), kept(at, position)
        return _index(items, at)

    def _binary(self, node: Binary, this: Types) -> Compiled:
        left, right = self.compile(node.left, this), self.compile(node.right, this)
        if left.is_constant != right.is_constant:
            left, right = kept(left, node.left), kept(right, node.right)
        if node.operator in LOGIC:
            return LOGIC[node.operator](left, right)
        if node.operator == "in":
            return compile_membership(left, right)
        if node.operator == "contains":
            return compile_membership(right, left)
        if node.operator == "|":
            return _union(left, right)
        return _arithmetic(node.operator, left, right)


def _leaf(node: Literal | This | Variable, this: Types) -> Compiled:
    match node:
        case Literal(None):
            return _constant([])
        case Literal(value, type_):
            return _constant([Item(value, type_)])
        case Variable(name):
            return _variable(name)
        case This():
            return collection(lambda this, environment: this, this, is_constant=False)


def _constant(items: list[Item]) -> Compiled:
    types = frozenset(item.type for item in items)
    return collection(lambda this, environment: items, types, is_constant=True)


def _variable(name: str) -> Compiled:
    match name:
        case "resource":
            return collection(lambda this, environment: [environment.resource], None, is_constant=True)
        case "rootResource":
            return collection(lambda this, environment: [environment.root], None, is_constant=True)
        case "context":
            return collection(_context, None, is_constant=True)
    for prefix, base in _PREFIXES.items():
        if name.startswith(prefix):
            return _constant([Item(base + name.removeprefix(prefix), "string")])
    if name not in _URLS:
        raise ExpressionError(f"there is no variable %{name}")
    return _constant([Item(_URLS[name], "string")])


def _context(this: list[Item], environment: Environment) -> list[Item]:
    return [] if environment.context is None else [environment.context]


def _index(source: Compiled, position: Compiled) -> Compiled:
    def index(this: list[Item], environment: Environment) -> list[Item]:
        at = operators.single(position.evaluate(this, environment))
        if at is None or at.value.__class__ is not int or at.value < 0:
            return []
        return source.evaluate(this, environment)[at.value : at.value + 1]

    return collection(index, source.types, source, position)


def _unary(operator: str, operand: Compiled) -> Compiled:
    zero = [Item(0, "integer")]
    calculate = operators.subtract if operator == "-" else operators.add

    def unary(this: list[Item], environment: Environment) -> list[Item]:
        return calculate(zero, operand.evaluate(this, environment))

    return collection(unary, operand.types, operand)


def _union(left: Compiled, right: Compiled) -> Compiled:
    types = None if left.types is None or right.types is None else left.types | right.types
    one, other = left.evaluate, right.evaluate

    def union(this: list[Item], environment: Environment) -> list[Item]:
        first, second = one(this, environment), other(this, environment)
        return operators.distinct(first + second if first and second else first or second)

    return collection(union, types, left, right)


def _arithmetic(operator: str, left: Compiled, right: Compiled) -> Compiled:
    calculate = _ARITHMETIC[operator]

    def calculation(this: list[Item], environment: Environment) -> list[Item]:
        return calculate(left.evaluate(this, environment), right.evaluate(this, environment))

    types = None if left.types is None or right.types is None else left.types | right.types
    return collection(calculation, frozenset(("string",)) if operator == "&" else types, left, right)


def _fuse(
    navigator: Navigator, names: list[str], this: Types
) -> Callable[[list[Item], Environment], list[Item]] | None:
    """Return the closure of a path whose every step has one known type and one JSON property."""
    types = this
    inner: list[str] = []
    for name in names[:-1]:
        (type_,) = types if types is not None and len(types) == 1 else ("",)
        step = navigator.property(type_, name)
        if step is None:
            return None
        inner.append(step)
        types = navigator.child_types(type_, name)
    (type_,) = types if types is not None and len(types) == 1 else ("",)
    hop = navigator.hop(type_, names[-1])
    return None if hop is None else _along(tuple(inner), type_, hop)


def _along(inner: tuple[str, ...], type_: str, hop: Hop) -> Callable[[list[Item], Environment], list[Item]]:
    def one_step(this: list[Item], environment: Environment) -> list[Item]:
        found: list[Item] = []
        for item in this:
            hop(item, found)
        return found

    def many_steps(this: list[Item], environment: Environment) -> list[Item]:
        values = [item[0] for item in this]
        for name in inner:
            below = []
            for value in values:
                child = value.get(name) if value.__class__ is dict else None
                if child.__class__ is list:
                    below.extend(child)
                elif child is not None:
                    below.append(child)
            if not below:
                return below
            values = below
        found: list[Item] = []
        for value in values:
            hop(Item(value, type_), found)
        return found

    return many_steps if inner else one_step
