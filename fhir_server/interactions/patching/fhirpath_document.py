"""What a FHIRPath Patch says: the operations of a Parameters resource, each with its path compiled.

Spec: https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import ExpressionError, compile_path
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
from fhir_server.interactions.patching.tree import Location
from fhir_server.model.formats import Json
from fhir_server.outcome import BadRequest, Issue, IssueType, TooLarge

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


class Value(NamedTuple):
    """A value as Parameters say it: of a ``type`` (``value[x]``), as a resource, or element by element (``parts``)."""

    type: str | None
    json: Json = None
    extras: Json = None
    parts: tuple[tuple[str, Value], ...] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, read; what it does not have is empty."""

    type: str
    at: Location
    name: str
    value: Value
    index: int
    source: int
    destination: int


def read_operations(parameters: Json, type_: str, structures: Structures) -> tuple[Operation, ...]:
    """Return the operations of a patch, for resources of a type. Raises ``BadRequest``, and ``TooLarge``."""
    given = parameters.get("parameter", []) if isinstance(parameters, dict) else None
    if not isinstance(given, list) or parameters.get("resourceType") != "Parameters":
        raise _malformed("Parameters", "a FHIRPath Patch is a Parameters resource")
    reader = _Reader(type_, structures)
    return tuple(reader.operation(each, f"Parameters.parameter[{index}]") for index, each in enumerate(given))


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
        parts: dict[str, Value] = {}
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
        return Operation(type_, location, name, parts.get("value", Value(None)), *numbers)

    def _location(self, text: str, at: str) -> Location:
        if len(text) > PATH_LENGTH:
            raise _malformed(at, f"the path has {len(text)} characters; the limit is {PATH_LENGTH}")
        if text not in self._locations:
            self._length += len(text)
            if self._length > PATHS_LENGTH:
                raise too_costly(f"the paths have more than {PATHS_LENGTH} characters together", at)
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

    def _parts(self, given: Mapping[str, Any], at: str) -> Iterator[tuple[str, Value]]:
        parts = given.get("part", [])
        if not isinstance(parts, list):
            raise _malformed(at, "part must be an array")
        for index, part in enumerate(parts):
            where = f"{at}.part[{index}]"
            if not isinstance(part, dict) or not isinstance(part.get("name"), str):
                raise _malformed(where, "a part needs a name")
            yield part["name"], self._value(part, where)

    def _value(self, part: Mapping[str, Any], at: str) -> Value:
        names = {name.removeprefix("_") for name in part} - {"name", "id", "extension"}
        if len(names) != 1:
            raise _malformed(at, "a part has one value, one resource, or parts")
        (name,) = names
        if name == "part":
            return Value(None, parts=tuple(self._parts(part, at)))
        json = part.get(name)
        if name == "resource" and isinstance(json, dict):
            return Value("Resource", json)
        code = self._types.get(name)
        if code is None or not self._is_json_of(code, json, part.get("_" + name)):
            raise _malformed(at, f'"{name[:64]}" is not a value of FHIR')
        return Value(code, json, part.get("_" + name))

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


def _text(parts: Mapping[str, Value], name: str, at: str) -> str:
    value = parts[name].json if name in parts else None
    if not isinstance(value, str):
        raise _malformed(at, f"the part {name} must be there and be a string")
    return value


def _number(parts: Mapping[str, Value], name: str, at: str) -> int:
    if name not in parts:
        return 0
    value = parts[name].json
    if not isinstance(value, int) or isinstance(value, bool):
        raise _malformed(at, f"the part {name} must be an integer")
    return value


def too_costly(text: str, *at: str) -> TooLarge:
    """Return the refusal of a patch that would take too long, or says too much."""
    return TooLarge(Issue(IssueType.TOO_COSTLY, text, at, id="patch-limit"))


def _malformed(at: str, text: str) -> BadRequest:
    return BadRequest(Issue(IssueType.STRUCTURE, text, (at,), id="patch-document"))
