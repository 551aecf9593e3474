"""FHIRPath Patch: a Parameters resource whose operations name elements of a resource by FHIRPath.

Spec: https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from fhir_server.definitions.structures import Element, Structures
from fhir_server.fhirpath import EvaluationError, ExpressionError, compile_path
from fhir_server.fhirpath.navigation import Navigator, navigator
from fhir_server.fhirpath.parser import parse
from fhir_server.fhirpath.syntax import (
    Binary,
    Call,
    Index,
    Literal,
    Member,
    Node,
    This,
    TypeOperation,
    Unary,
    Variable,
)
from fhir_server.interactions.patching.json_patch import without_empties
from fhir_server.interactions.patching.tree import Content, Location, Refused, Tree
from fhir_server.model.formats import Json, Resource
from fhir_server.outcome import BadRequest, Issue, IssueType, TooLarge, Unprocessable

PATH_LENGTH: Final = 1_000
"""Characters of a path."""

FUNCTIONS: Final = frozenset(
    (  # noqa: SIM905 a list would take a line a name
        "all allFalse allTrue as contains count empty endsWith exists extension first hasValue is last length not "
        "ofType resolve startsWith tail where"
    ).split()
)
"""What a path may call: what finds an element, and takes a time that grows with the resource only."""

PATHS_LENGTH: Final = 100_000
"""Characters of all paths of a patch together: about a second of compiling."""

COST: Final = 10_000_000
"""Steps of all paths of a patch, times elements of the resource: about a second of looking."""

_OPERATORS: Final = frozenset(("+", "-", "*", "&", "|", "in", "contains"))
"""Not for paths: they make values, long ones when nested, or sets of values that have no place any more."""

_VARIABLES: Final = frozenset(("resource", "rootResource", "context"))
"""Not for paths: they are where a path starts anyway, and make it slow in a condition."""

_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("name", "value"),
    "insert": ("value", "index"),
    "delete": (),
    "replace": ("value",),
    "move": ("source", "destination"),
}
"""Per type of operation, the parts it needs besides ``type`` and ``path``."""

_KNOWN_PARTS: Final = frozenset(("type", "path", "name", "value", "index", "source", "destination"))
_INTEGERS: Final = frozenset(("integer", "unsignedInt", "positiveInt"))


class _Value(NamedTuple):
    """A value as Parameters say it: of a ``type`` (``value[x]``), as a resource, or element by element (``parts``)."""

    type: str | None
    json: Json = None
    extras: Json = None
    parts: tuple[tuple[str, _Value], ...] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, read; what it does not have is empty."""

    type: str
    at: Location
    name: str
    value: _Value
    index: int
    source: int
    destination: int


@dataclass(frozen=True, slots=True)
class FhirPathPatch:
    """A FHIRPath Patch that is well-formed, for resources of one type."""

    operations: tuple[Operation, ...]
    type: str
    structures: Structures

    def apply(self, resource: Resource) -> Resource:
        """Return the resource changed; an element left without content is gone with its last part.

        Raises ``Unprocessable`` where a path does not lead to one element, a value has the wrong type, an index is
        out of bounds, or the result nests too deep; ``TooLarge`` where it would take too long.
        """
        tree = Tree(resource, self.type, navigator(self.structures))
        self._refuse_cost(tree)
        for index, operation in enumerate(self.operations):
            try:
                _APPLY[operation.type](tree, operation)
            except (Refused, EvaluationError) as reason:
                where = (f"Parameters.parameter[{index}]",)
                text = f"{operation.type}: {reason}"
                raise Unprocessable(Issue(IssueType.PROCESSING, text, where, id="patch-operation")) from None
        return without_empties(tree.root)

    def _refuse_cost(self, tree: Tree) -> None:
        steps = sum(operation.at.steps for operation in self.operations)
        if steps * tree.size > COST:
            text = (
                f"the paths have {steps} steps together, the resource {tree.size} elements; the limit of their product "
                f"is {COST}: send fewer operations, a JSON Patch or the whole resource"
            )
            raise _too_costly(text)


# --- reading the Parameters ------------------------------------------------------------------------------------------


def parse_fhirpath_patch(parameters: Json, type_: str, structures: Structures) -> FhirPathPatch:
    """Return the patch that a Parameters resource says, for resources of a type. Raises ``BadRequest``."""
    given = parameters.get("parameter", []) if isinstance(parameters, dict) else None
    if not isinstance(given, list) or parameters.get("resourceType") != "Parameters":
        raise _malformed("Parameters", "a FHIRPath Patch is a Parameters resource")
    reader = _Reader(type_, structures)
    return FhirPathPatch(
        tuple(reader.operation(each, f"Parameters.parameter[{index}]") for index, each in enumerate(given)),
        type_,
        structures,
    )


class _Reader:
    def __init__(self, type_: str, structures: Structures) -> None:
        self._type = type_
        self._structures = structures
        self._locations: dict[str, Location] = {}
        self._length = 0
        self._types = structures.children("Parameters.parameter")["value[x]"].json_names()

    def operation(self, given: Json, at: str) -> Operation:
        if not isinstance(given, dict) or given.get("name") != "operation":
            raise _malformed(at, 'each parameter of a FHIRPath Patch is named "operation"')
        parts: dict[str, _Value] = {}
        for name, value in self._parts(given, at):
            if name in parts or name not in _KNOWN_PARTS:
                raise _malformed(at, f'the part "{name[:64]}" ' + ("stands twice" if name in parts else "is not known"))
            parts[name] = value
        type_ = _text(parts, "type", at)
        if type_ not in _PARTS:
            raise _malformed(at, f"type must be one of {', '.join(_PARTS)}")
        missing = [name for name in _PARTS[type_] if name not in parts]
        if missing:
            raise _malformed(at, f"{type_} needs {' and '.join(missing)}")
        location = self._location(_text(parts, "path", at), at)
        if location.holder is None and type_ in {"insert", "move"}:
            raise _malformed(at, f"the path of {type_} must end in the name of a list")
        name = _text(parts, "name", at) if "name" in parts else ""
        numbers = [_number(parts, each, at) for each in ("index", "source", "destination")]
        return Operation(type_, location, name, parts.get("value", _Value(None)), *numbers)

    def _location(self, text: str, at: str) -> Location:
        if len(text) > PATH_LENGTH:
            raise _malformed(at, f"the path has {len(text)} characters; the limit is {PATH_LENGTH}")
        if text not in self._locations:
            self._length += len(text)
            if self._length > PATHS_LENGTH:
                raise _too_costly(f"the paths have more than {PATHS_LENGTH} characters together", at)
            self._locations[text] = self._compiled(text.strip(), at)
        return self._locations[text]

    def _compiled(self, text: str, at: str) -> Location:
        try:
            node = parse(text)
            steps = _steps(node)
            path = compile_path(text, self._type, self._structures)
            holder = _holder(text, node)
            if isinstance(node, Member) and holder is not None:
                return Location(path, compile_path(holder, self._type, self._structures), node.name, steps)
        except ExpressionError as error:
            reason = str(error).partition(", in ")[0]
            raise _malformed(at, f"the path cannot be used: {reason}") from None
        return Location(path, None, "", steps)

    def _parts(self, given: Mapping[str, Any], at: str) -> Iterator[tuple[str, _Value]]:
        parts = given.get("part", [])
        if not isinstance(parts, list):
            raise _malformed(at, "part must be an array")
        for index, part in enumerate(parts):
            where = f"{at}.part[{index}]"
            if not isinstance(part, dict) or not isinstance(part.get("name"), str):
                raise _malformed(where, "a part needs a name")
            yield part["name"], self._value(part, where)

    def _value(self, part: Mapping[str, Any], at: str) -> _Value:
        names = {name.removeprefix("_") for name in part} - {"name", "id", "extension"}
        if len(names) != 1:
            raise _malformed(at, "a part has one value, one resource, or parts")
        (name,) = names
        if name == "part":
            return _Value(None, parts=tuple(self._parts(part, at)))
        json = part.get(name)
        if name == "resource" and isinstance(json, dict):
            return _Value("Resource", json)
        code = self._types.get(name)
        if code is None or not self._is_json_of(code, json, part.get("_" + name)):
            raise _malformed(at, f'"{name[:64]}" is not a value of FHIR')
        return _Value(code, json, part.get("_" + name))

    def _is_json_of(self, code: str, json: Json, extras: Json) -> bool:
        """Tell whether JSON has the shape of a type; what is in it is checked when the resource is."""
        if self._structures.kind(code) != "primitive-type":
            return isinstance(json, dict) and bool(json) and extras is None
        if extras is not None and not (isinstance(extras, dict) and extras):
            return False
        if json is None:
            return extras is not None
        if code == "boolean" or isinstance(json, bool):
            return code == "boolean" and isinstance(json, bool)
        if code in _INTEGERS:
            return isinstance(json, int)
        return isinstance(json, int | Decimal) if code == "decimal" else isinstance(json, str)


def _holder(text: str, node: Node) -> str | None:
    """Return the path but for the name that it ends in, None if it does not end in one."""
    match node:
        case Member(None, name) if not name[:1].isupper():
            return "$this"
        case Member(source, name) if source is not None and text.endswith("." + name):
            return text[: -len(name) - 1]
    return None


def _steps(node: Node) -> int:
    """Return how many nodes of a path look at elements. Raises ``ExpressionError`` for what a path may not use."""
    match node:
        case Literal() | This():
            return 0
        case Member(None, name) if name[:1].isupper():
            return 0
        case Call(_, name, _) if name not in FUNCTIONS:
            raise ExpressionError(f"{name}() is not for paths of a patch")
        case Binary(operator) if operator in _OPERATORS:
            raise ExpressionError(f"{operator} is not for paths of a patch")
        case Variable(name) if name in _VARIABLES:
            raise ExpressionError(f"%{name} is not for paths of a patch")
    return 1 + sum(map(_steps, _parts_of(node)))


def _parts_of(node: Node) -> Iterator[Node]:
    match node:
        case Member(source) | Call(source):
            if source is not None:
                yield source
            if isinstance(node, Call):
                yield from node.arguments
        case Index(source, position):
            yield from (source, position)
        case Unary(_, operand) | TypeOperation(_, operand):
            yield operand
        case Binary(_, left, right):
            yield from (left, right)


def _text(parts: Mapping[str, _Value], name: str, at: str) -> str:
    value = parts[name].json if name in parts else None
    if not isinstance(value, str):
        raise _malformed(at, f"the part {name} must be there and be a string")
    return value


def _number(parts: Mapping[str, _Value], name: str, at: str) -> int:
    if name not in parts:
        return 0
    value = parts[name].json
    if not isinstance(value, int) or isinstance(value, bool):
        raise _malformed(at, f"the part {name} must be an integer")
    return value


def _too_costly(text: str, *at: str) -> TooLarge:
    return TooLarge(Issue(IssueType.TOO_COSTLY, text, at, id="patch-limit"))


def _malformed(at: str, text: str) -> BadRequest:
    return BadRequest(Issue(IssueType.STRUCTURE, text, (at,), id="patch-document"))


# --- values ----------------------------------------------------------------------------------------------------------


def _content(tree: Tree, element: Element, value: _Value, json_name: str) -> Content:
    """Return what a value means for an element. ``json_name`` may choose the type of a choice: ``valueQuantity``."""
    name, type_ = _typed(tree, element, value, json_name)
    is_primitive = tree.navigate.is_primitive(type_)
    if value.parts is None:
        return Content(name, value.json, value.extras, is_primitive)
    assembled = _assembled(tree, type_, value.parts)
    return Content(name, None, assembled, True) if is_primitive else Content(name, assembled, None, False)


def _typed(tree: Tree, element: Element, value: _Value, json_name: str) -> tuple[str, str]:
    """Return the JSON name and the type that an element takes with a value; refuse a value of a wrong type."""
    if not element.is_choice:
        type_ = tree.navigate.item_types(element)[0]
        if not _is_fit(tree.navigate, value, type_):
            raise Refused(f"{element.path} is a {type_}; the value is a {value.type}")
        return element.name, type_
    names = element.json_names()
    if json_name in names and value.type in {None, names[json_name]}:
        return json_name, names[json_name]
    for name, type_ in names.items():
        if type_ == value.type and json_name not in names:
            return name, type_
    raise Refused(f"{element.path} cannot be {f'a {value.type}' if value.type else 'given by parts: its type is open'}")


def _is_fit(navigate: Navigator, value: _Value, type_: str) -> bool:
    """Tell whether a value can be of a type. Among primitives JSON decides: many clients send every text as a string,
    and what is wrong with it shows when the resource is checked."""
    given, is_a = value.type, navigate.structures.is_a
    if given is None or given == type_:
        return True
    if navigate.is_primitive(given) or navigate.is_primitive(type_):
        return navigate.is_primitive(given) and navigate.is_primitive(type_)
    return is_a(given, type_) or is_a(type_, given)


def _assembled(tree: Tree, type_: str, parts: Iterable[tuple[str, _Value]]) -> dict[str, Any]:
    """Return the JSON of an element given by parts, one for each of its elements."""
    found: dict[str, Any] = {}
    for part, value in parts:
        element = tree.element(type_, part)
        name, json, extras, is_primitive = _content(tree, element, value, part)
        if element.is_list:
            found.setdefault(name, []).append(json)
            if is_primitive:
                found.setdefault("_" + name, []).append(extras)
        elif _is_there(found, element):
            raise Refused(f"{element.path} is given twice and does not repeat")
        else:
            found.update({each: given for each, given in ((name, json), ("_" + name, extras)) if given is not None})
    if not found:
        raise Refused(f"a {type_} without parts has no content")
    return found


def _is_there(holder: Mapping[str, Any], element: Element) -> bool:
    names = (each for name in element.json_names() for each in (name, "_" + name))
    return any(_has_content(holder.get(name)) for name in names)


def _has_content(value: Json) -> bool:
    """Tell whether something stands in the tree; empty dictionaries are only places."""
    return value is not None and (not isinstance(value, dict) or bool(without_empties(value)))


# --- the operations --------------------------------------------------------------------------------------------------


def _add(tree: Tree, operation: Operation) -> None:
    holder, type_ = tree.object(operation.at.path)
    element = tree.element(type_, operation.name)
    content = _content(tree, element, operation.value, operation.name)
    if element.is_list:
        tree.insert(holder, _count(holder, element), content)
    elif _is_there(holder, element):
        raise Refused(f"{element.path} is there already and does not repeat")
    else:
        tree.put(holder, content)


def _insert(tree: Tree, operation: Operation) -> None:
    holder, element = _list(tree, operation)
    count = _count(holder, element)
    if not 0 <= operation.index <= count:
        raise Refused(f"the index is {operation.index}; the list has {count} items")
    tree.insert(holder, operation.index, _content(tree, element, operation.value, ""))


def _delete(tree: Tree, operation: Operation) -> None:
    found = tree.find(operation.at.path)
    if len(found) > 1:
        raise Refused(f"the path leads to {len(found)} elements; one can be deleted")
    if found:
        tree.remove(tree.place(found[0], operation.at))


def _replace(tree: Tree, operation: Operation) -> None:
    place = tree.place(tree.one(operation.at.path), operation.at)
    element = tree.element(tree.type(place.holder), place.name)
    content = _content(tree, element, operation.value, place.name if operation.value.parts is not None else "")
    index = place.position
    if index is not None:
        tree.remove(place)
        tree.insert(place.holder, index, content)
    else:
        tree.rename(place, content.name)
        tree.put(place.holder, content)


def _move(tree: Tree, operation: Operation) -> None:
    holder, element = _list(tree, operation)
    count = _count(holder, element)
    for index in (operation.source, operation.destination):
        if not 0 <= index < count:
            raise Refused(f"the index is {index}; the list has {count} items")
    for name in (element.name, "_" + element.name):
        if name in holder:
            holder[name].insert(operation.destination, holder[name].pop(operation.source))


def _list(tree: Tree, operation: Operation) -> tuple[dict[str, Any], Element]:
    """Return the object that holds the list that a path names, and the element that repeats."""
    assert operation.at.holder is not None  # noqa: S101 - the reader has seen to it
    holder, type_ = tree.object(operation.at.holder)
    element = tree.element(type_, operation.at.member)
    if not element.is_list:
        raise Refused(f"{element.path} does not repeat")
    return holder, element


def _count(holder: Mapping[str, Any], element: Element) -> int:
    """Return how many items a repeated element has."""
    found = [holder[name] for name in (element.name, "_" + element.name) if name in holder]
    if not all(isinstance(each, list) for each in found):
        raise Refused(f"{element.path} must be an array")
    return max(map(len, found), default=0)


_APPLY: Final[Mapping[str, Callable[[Tree, Operation], None]]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
