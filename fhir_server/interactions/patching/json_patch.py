"""JSON Patch: operations on the JSON of a resource.

Spec: RFC 6902 (operations), RFC 6901 (locations), https://hl7.org/fhir/R4/http.html#patch. Why this is not a package:
``docs/decisions/0009-json-patch.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from fhir_server.model.formats import MAX_DEPTH, Json, Resource
from fhir_server.outcome import BadRequest, Issue, IssueType, TooLarge, Unprocessable

COPIED: Final = 1_000_000
"""Characters that all ``copy`` operations of a patch may add together: each could double what the last one made."""

_REQUIRED: Final[Mapping[str, str | None]] = {
    "add": "value",
    "remove": None,
    "replace": "value",
    "move": "from",
    "copy": "from",
    "test": "value",
}
"""Per operation, the member it needs besides ``path``."""

_AFTER_LAST: Final = frozenset("-")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")

Pointer = tuple[str, ...]
"""The unescaped tokens of a JSON Pointer. The first, "", leads from the holder of the document to the document."""


class _Nowhere(Exception):
    """A location that the document does not have; the text says why."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; ``label`` names it in errors: its place in the document, what it does, and where."""

    op: str
    path: Pointer
    source: Pointer
    value: Json
    label: str


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """A JSON Patch that is well-formed."""

    operations: tuple[Operation, ...]

    def apply(self, resource: Resource) -> Resource:
        """Return the resource changed; what is left empty is gone, since FHIR knows no empty objects and arrays.

        Raises ``Unprocessable`` where a location is missing, a test fails, or no object within the levels of FHIR JSON
        is left; ``TooLarge`` where copies add more than ``COPIED``.
        """
        holder: Json = {"": duplicate(resource)}
        budget = COPIED
        for operation in self.operations:
            try:
                if operation.op == "copy":
                    budget -= _copied(_at(holder, operation.source), budget, operation.label)
                _apply(holder, operation)
            except _Nowhere as reason:
                raise Unprocessable(
                    Issue(IssueType.PROCESSING, f"{operation.label}: {reason}", id="patch-path")
                ) from None
        document = holder.get("")
        if not isinstance(document, dict):
            raise Unprocessable(Issue(IssueType.STRUCTURE, "the patch leaves no JSON object", id="patch-result"))
        if levels(document) > MAX_DEPTH:
            raise too_deep("the patch")
        return without_empties(document)


def parse_json_patch(document: Json) -> JsonPatch:
    """Return the patch that a document says. Raises ``BadRequest`` where it is not as RFC 6902 demands."""
    if not isinstance(document, list):
        raise _malformed("a JSON Patch is an array of operations")
    return JsonPatch(tuple(_operation(each, index) for index, each in enumerate(document)))


def duplicate(value: Json) -> Json:
    """Return a copy of JSON that shares no object or array with it."""
    if isinstance(value, dict):
        return {name: duplicate(each) for name, each in value.items()}
    if isinstance(value, list):
        return [duplicate(each) for each in value]
    return value


def levels(value: Json) -> int:
    """Return how many objects and arrays are nested at most, without recursion."""
    found = 0
    layer = [value] if isinstance(value, dict | list) else []
    while layer:
        found += 1
        layer = [child for node in layer for child in _children(node) if isinstance(child, dict | list)]
    return found


def without_empties(value: Resource) -> Resource:
    """Return an object without its empty members, at any level; an array that holds only null counts as empty.

    Arrays of ids and extensions (``_given``) keep the places of their items.
    """
    found = {name: _filled(name, each) for name, each in value.items()}
    return {name: each for name, each in found.items() if _is_filled(each) or _is_held(each, found.get(f"_{name}", {}))}


def _filled(name: str, value: Json) -> Json:
    if isinstance(value, dict):
        return without_empties(value)
    if isinstance(value, list):
        items = [_filled("", each) for each in value]
        if name.startswith("_"):
            return [None if each in ({}, []) else each for each in items]
        return [each for each in items if each not in ({}, [])]
    return value


def _is_filled(value: Json) -> bool:
    if isinstance(value, list):
        return any(each is not None for each in value)
    return bool(value != {})


def _is_held(values: Json, beside: Json) -> bool:
    """Tell whether an array of null has a part: it gives the items of the array of extensions beside it a place."""
    return bool(values) and isinstance(beside, list) and _is_filled(beside)


# --- reading a document ----------------------------------------------------------------------------------------------


def _operation(given: Json, index: int) -> Operation:
    if not isinstance(given, dict):
        raise _malformed(f"operation {index} is not an object")
    op = given.get("op")
    if not isinstance(op, str) or op not in _REQUIRED:
        raise _malformed(f"operation {index}: op must be one of {', '.join(_REQUIRED)}")
    needed = _REQUIRED[op]
    if needed is not None and needed not in given:
        raise _malformed(f"operation {index}: {op} needs {needed}")
    path = _pointer(given.get("path"), f"operation {index}: path")
    source = _pointer(given["from"], f"operation {index}: from") if needed == "from" else ()
    if op == "move" and len(source) < len(path) and path[: len(source)] == source:
        raise _malformed(f"operation {index}: a value cannot be moved into itself")
    return Operation(op, path, source, given.get("value"), f"operation {index} ({op} {given['path'][:100]})")


def _pointer(text: Json, what: str) -> Pointer:
    if not isinstance(text, str) or (text and text[0] != "/") or _BAD_ESCAPE.search(text):
        raise _malformed(f"{what} is not a JSON Pointer, such as /name/0/family")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/"))


# --- applying --------------------------------------------------------------------------------------------------------


def _apply(holder: Json, operation: Operation) -> None:
    *above, last = operation.path
    match operation.op:
        case "test":
            if not _equal(_at(holder, operation.path), operation.value):
                raise Unprocessable(
                    Issue(IssueType.BUSINESS_RULE, f"{operation.label}: the value is another", id="patch-test")
                )
        case "add":
            _add(_at(holder, above), last, duplicate(operation.value))
        case "copy":
            _add(_at(holder, above), last, duplicate(_at(holder, operation.source)))
        case "move":
            *above_source, last_of_source = operation.source
            value = _remove(_at(holder, above_source), last_of_source)
            _add(_at(holder, above), last, value)
        case "remove":
            _remove(_at(holder, above), last)
        case "replace":
            _replace(_at(holder, above), last, duplicate(operation.value))


def _at(node: Json, pointer: Pointer | list[str]) -> Json:
    """Return what stands at a location."""
    for token in pointer:
        node = node[_key(node, token)]
    return node


def _key(node: Json, token: str) -> str | int:
    """Return the name or the index of a member that is there."""
    if isinstance(node, dict):
        if token not in node:
            raise _Nowhere(f'there is no member "{token[:64]}"')
        return token
    if isinstance(node, list):
        return _index(token, len(node))
    raise _Nowhere(f'"{token[:64]}" leads into what is neither object nor array')


def _index(token: str, end: int) -> int:
    """Return an index below ``end``."""
    if not _INDEX.fullmatch(token):
        raise _Nowhere(f'"{token[:64]}" is not the index of an item')
    if int(token) >= end:
        raise _Nowhere(f"there is no item {token} in the array")
    return int(token)


def _add(node: Json, token: str, value: Json) -> None:
    if isinstance(node, dict):
        node[token] = value
    elif isinstance(node, list):
        node.insert(len(node) if token in _AFTER_LAST else _index(token, len(node) + 1), value)
    else:
        raise _Nowhere("what is to hold the value is neither object nor array")


def _remove(node: Json, token: str) -> Json:
    key = _key(node, token)
    return node.pop(key)


def _replace(node: Json, token: str, value: Json) -> None:
    node[_key(node, token)] = value


def _equal(one: Json, other: Json) -> bool:
    """RFC 6902, 4.6: numbers by value, true and false equal themselves only, members in any order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(each, other[name]) for name, each in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        return one == other
    return type(one) is type(other) and bool(one == other)


def _copied(value: Json, budget: int, label: str) -> int:
    """Return the size of what is to be copied. Raises ``FhirError`` where a copy passes what is allowed."""
    size = _size(value, budget)
    if size > budget:
        text = f"{label}: the copies of a patch can add {COPIED} characters at most"
        raise TooLarge(Issue(IssueType.TOO_COSTLY, text, id="patch-limit"))
    if levels(value) > MAX_DEPTH:
        raise too_deep(label)
    return size


def _size(value: Json, limit: int) -> int:
    """Return about how many characters JSON has, or more than ``limit`` as soon as it has more. No recursion."""
    size = 0
    todo = [value]
    while todo and size <= limit:
        node = todo.pop()
        size += len(node) + 2 if isinstance(node, str) else 4
        if isinstance(node, dict):
            size += sum(map(len, node)) + 4 * len(node)
        todo.extend(_children(node))
    return size


def _children(node: Json) -> list[Json]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def too_deep(what: str) -> Unprocessable:
    """Return the refusal of what nests deeper than FHIR JSON may."""
    return Unprocessable(Issue(IssueType.STRUCTURE, f"{what} nests deeper than {MAX_DEPTH} levels", id="patch-result"))


def _malformed(text: str) -> BadRequest:
    return BadRequest(Issue(IssueType.STRUCTURE, text, id="patch-document"))
