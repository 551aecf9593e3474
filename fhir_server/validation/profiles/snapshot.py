"""From a StructureDefinition to a tree: elements under elements, and the slices of each beside it.

The tree is made in the order of the list, so it does not depend on ids. A differential makes a sparse tree, which is
laid over that of its base: what neither says is said by R4 itself.
Spec: https://hl7.org/fhir/R4/structuredefinition.html, https://hl7.org/fhir/R4/profiling.html#slicing
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.model.formats import Resource

MAX_ELEMENTS: Final = 5_000
"""Elements of one StructureDefinition; the largest of public guides have about a thousand."""

MAX_DEPTH: Final = 40
"""Steps of an element's path, and of a slice's name."""


class Unusable(ValueError):
    """A StructureDefinition that nothing can be checked against; the text says why."""


@dataclass(slots=True, eq=False)
class Node:
    """One ElementDefinition in its place.

    ``name`` is the last part of its path (``value[x]``), ``slice`` its slice's name, empty if it is none. ``children``
    are the elements below it, ``slices`` those that stand beside it and take a part of its items; the slices of a
    slice are its own.
    """

    name: str
    slice: str = ""
    definition: dict[str, Any] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    slices: dict[str, Node] = field(default_factory=dict)

    @property
    def types(self) -> Sequence[dict[str, Any]]:
        """The entries of ``ElementDefinition.type``."""
        return [type_ for type_ in _list(self.definition.get("type")) if isinstance(type_, dict)]

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below and beside it."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.children.values())
            todo.extend(node.slices.values())


def tree(definition: Resource, base: Node | None = None) -> Node:
    """Return the root of a profile's tree: its snapshot, or its differential over the tree of its ``base``.

    Raises ``Unusable``.
    """
    snapshot = elements(definition, "snapshot")
    if snapshot:
        return _build(snapshot, definition)
    root = _build(elements(definition, "differential"), definition)
    return root if base is None else laid_over(root, base)


def elements(definition: Resource, view: str) -> list[dict[str, Any]]:
    """Return the elements of a view of a StructureDefinition, perhaps none. Raises ``Unusable``."""
    given = definition.get(view)
    listed = _list(given.get("element")) if isinstance(given, dict) else []
    if len(listed) > MAX_ELEMENTS:
        raise Unusable(f"it has {len(listed)} elements, more than the {MAX_ELEMENTS} that are read")
    found = [one for one in listed if isinstance(one, dict) and isinstance(one.get("path"), str)]
    if len(found) != len(listed):
        raise Unusable("an element of it has no path")
    return found


def laid_over(node: Node, base: Node) -> Node:
    """Return what a node of a differential makes of the node of its base; neither is changed."""
    merged = {**base.definition, **node.definition}
    constraints = [*_list(base.definition.get("constraint")), *_list(node.definition.get("constraint"))]
    if constraints:
        merged["constraint"] = constraints
    return Node(
        node.name,
        node.slice,
        merged,
        _laid_together(node.children, base.children),
        _laid_together(node.slices, base.slices),
    )


def _laid_together(own: dict[str, Node], base: dict[str, Node]) -> dict[str, Node]:
    together = dict(base)
    for name, node in own.items():
        together[name] = laid_over(node, base[name]) if name in base else node
    return together


def _build(listed: Sequence[dict[str, Any]], definition: Resource) -> Node:
    type_ = definition.get("type")
    if not isinstance(type_, str):
        raise Unusable("it has no type")
    root = Node(type_)
    open_: list[tuple[str, Node]] = [(type_ + ".", root)]
    for element in listed:
        path: str = element["path"]
        if path == type_:
            root.definition = element
            continue
        _check(path, type_)
        while not path.startswith(open_[-1][0]):
            open_.pop()
        at, parent = open_[-1]
        *between, name = path.removeprefix(at).split(".")
        for left_out in between:
            parent = parent.children.setdefault(left_out, Node(left_out))
            at = f"{at}{left_out}."
            open_.append((at, parent))
        slice_ = element.get("sliceName")
        if isinstance(slice_, str) and slice_:
            node = _slice(parent, name, slice_)
        else:
            node = parent.children.setdefault(name, Node(name))
        node.definition = element
        open_.append((path + ".", node))
    return root


def _check(path: str, type_: str) -> None:
    if not path.startswith(type_ + "."):
        raise Unusable("the path of an element does not begin with its type")
    if path.count(".") > MAX_DEPTH:
        raise Unusable(f"the path of an element has more than {MAX_DEPTH} steps")


def _slice(parent: Node, name: str, slice_: str) -> Node:
    """Return the node of a slice; ``a/b`` is the slice ``b`` of the slice ``a``, unless there is no such ``a``."""
    holder = parent.children.setdefault(name, Node(name))
    if slice_.count("/") > MAX_DEPTH:
        raise Unusable(f"the name of a slice has more than {MAX_DEPTH} steps")
    outer, slash, _ = slice_.rpartition("/")
    if slash and (found := _find_slice(holder, outer)) is not None:
        holder = found
    return holder.slices.setdefault(slice_, Node(name, slice_))


def _find_slice(holder: Node, name: str) -> Node | None:
    for slice_ in holder.slices.values():
        if slice_.slice == name:
            return slice_
        if name.startswith(slice_.slice + "/"):
            return _find_slice(slice_, name)
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
