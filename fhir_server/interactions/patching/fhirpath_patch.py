"""FHIRPath Patch: a Parameters resource whose operations name elements of a resource by FHIRPath.

Spec: https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.definitions.structures import Element, Structures
from fhir_server.fhirpath import EvaluationError
from fhir_server.fhirpath.navigation import Navigator, navigator
from fhir_server.interactions.patching.fhirpath_document import Operation, Value, read_operations, too_costly
from fhir_server.interactions.patching.json_patch import without_empties
from fhir_server.interactions.patching.tree import Content, Refused, Tree
from fhir_server.model.formats import Json, Resource
from fhir_server.outcome import Issue, IssueType, Unprocessable

COST: Final = 10_000_000
"""Steps of all paths of a patch, times elements of the resource: about a second of looking."""


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
            raise too_costly(text)


def parse_fhirpath_patch(parameters: Json, type_: str, structures: Structures) -> FhirPathPatch:
    """Return the patch that a Parameters resource says, for resources of a type. Raises ``BadRequest``."""
    return FhirPathPatch(read_operations(parameters, type_, structures), type_, structures)


# --- values ----------------------------------------------------------------------------------------------------------


def _content(tree: Tree, element: Element, value: Value, json_name: str) -> Content:
    """Return what a value means for an element. ``json_name`` may choose the type of a choice: ``valueQuantity``."""
    name, type_ = _typed(tree, element, value, json_name)
    is_primitive = tree.navigate.is_primitive(type_)
    if value.parts is None:
        return Content(name, value.json, value.extras, is_primitive)
    assembled = _assembled(tree, type_, value.parts)
    return Content(name, None, assembled, True) if is_primitive else Content(name, assembled, None, False)


def _typed(tree: Tree, element: Element, value: Value, json_name: str) -> tuple[str, str]:
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


def _is_fit(navigate: Navigator, value: Value, type_: str) -> bool:
    """Tell whether a value can be of a type. Among primitives JSON decides: many clients send every text as a string,
    and what is wrong with it shows when the resource is checked."""
    given, is_a = value.type, navigate.structures.is_a
    if given is None or given == type_:
        return True
    if navigate.is_primitive(given) or navigate.is_primitive(type_):
        return navigate.is_primitive(given) and navigate.is_primitive(type_)
    return is_a(given, type_) or is_a(type_, given)


def _assembled(tree: Tree, type_: str, parts: Iterable[tuple[str, Value]]) -> dict[str, Any]:
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
