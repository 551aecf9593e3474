"""From a profile's tree to compiled elements: what R4 asks already is left out, and so is what then says nothing.

Spec: https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fhir_server.definitions.structures import Element as CoreElement
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Item
from fhir_server.fhirpath.navigation import navigator
from fhir_server.validation.faults import Fault, Found
from fhir_server.validation.profiles.bindings import binding_check, value_set_of
from fhir_server.validation.profiles.constraints import Constraint, constraint_check, constraints_of
from fhir_server.validation.profiles.discriminators import Discriminator, is_loose, slice_test
from fhir_server.validation.profiles.element import Check, Element
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.slicing import Slice, Slicing
from fhir_server.validation.profiles.snapshot import Node
from fhir_server.validation.profiles.targets import target_checks
from fhir_server.validation.profiles.types import type_checks, types_of
from fhir_server.validation.profiles.values import choice, equals, has, order

_BY_URL = [Discriminator("value", "url")]
_BY_TYPE = [Discriminator("type", "$this")]


class Compiler:
    """Compiles the elements of one profile."""

    def __init__(self, root: Node, url: str, structures: Structures) -> None:
        self._root = root
        self._told = f" (profile {url})"
        self._structures = structures
        self._navigator = navigator(structures)
        self._known = frozenset(
            invariant.key for context in structures.invariant_contexts() for invariant in structures.invariants(context)
        )
        self._by_id = {
            node.definition["id"]: node for node in root.walk() if isinstance(node.definition.get("id"), str)
        }
        self._made: dict[int, Element] = {}
        self._open: set[int] = set()
        self.doubts: list[str] = []
        """Elements that R4 does not have, and that are not checked."""
        self.constraints: list[tuple[Constraint, str]] = []
        """The invariants that the profile adds, each with the type of the values that it is about."""

    def profile(self) -> Element:
        """Return the compiled root."""
        root, type_ = self._root, self._root.name
        element = self._made[id(root)] = Element(type_, self._told)
        element.checks = tuple(self._constraints(root, None, type_))
        element.children = self._children(root, type_)
        return element

    # --- elements ----------------------------------------------------------------------------------------------------

    def _children(self, node: Node, type_: str | None) -> tuple[Element, ...]:
        found = []
        for child in self._settled(node, type_):
            core = None if type_ is None else self._navigator.element(type_, child.name.removesuffix("[x]"))
            if core is None and type_ is not None:
                self.doubts.append(f"{type_}.{child.name}")
                continue
            element = self._element(child, core, None)
            if not element.says_nothing:
                found.append(element)
        return tuple(found)

    def _settled(self, node: Node, type_: str | None) -> Iterable[Node]:
        """Return the children; ``valueQuantity``, short for the slice of ``value[x]`` by that type, becomes one."""
        children = dict(node.children)
        for name, child in node.children.items():
            choice_, code = self._choice(name, type_)
            if choice_ is None:
                continue
            del children[name]
            long = children.get(choice_) or Node(choice_)
            short = Node(choice_, name, {"type": [{"code": code}], **child.definition}, child.children, child.slices)
            children[choice_] = Node(choice_, "", long.definition, long.children, {**long.slices, name: short})
        return children.values()

    def _choice(self, name: str, type_: str | None) -> tuple[str, str] | tuple[None, None]:
        """Return the choice element, and the type, that a name like ``valueQuantity`` is short for."""
        if type_ is None or name.endswith("[x]") or self._navigator.element(type_, name) is not None:
            return None, None
        try:
            elements = self._structures.children(type_).values()
        except KeyError:
            return None, None
        named = ((one.name, one.json_names()[name]) for one in elements if one.is_choice and name in one.json_names())
        return next(named, (None, None))

    def _element(self, node: Node, core: CoreElement | None, general: Node | None) -> Element:
        """Return a compiled element. ``core``: what R4 says of it, if that is known; ``general``: what it is a slice
        of, whose own checks its items pass as well."""
        made = self._made.get(id(node))
        if made is not None:
            return made
        element = self._made[id(node)] = Element(node.name.removesuffix("[x]"), self._told)
        element.min, element.max = _cardinality(node, core if general is None else None)
        self._open.add(id(node))
        element.checks = tuple(self._checks(node, core, general))
        element.children = self._children(node, self._type(node, core))
        element.slices = self._slicing(node, core, general)
        self._open.discard(id(node))
        return element

    def _type(self, node: Node, core: CoreElement | None) -> str | None:
        """Return the one type of an element's items, None if there may be several."""
        if core is not None and core.is_backbone:
            return core.content or core.path
        types = types_of(node)
        if len({type_.code for type_ in types}) == 1 and types[0].code in self._structures.types:
            return types[0].code
        if core is not None and len(core.types) == 1 and core.types[0] != "Resource" and not types:
            return core.types[0]
        return None

    # --- checks ------------------------------------------------------------------------------------------------------

    def _checks(self, node: Node, core: CoreElement | None, general: Node | None) -> Iterator[Check]:
        definition, before = node.definition, general.definition if general is not None else {}
        if definition.get("type") != before.get("type"):
            allowed = None if core is None or core.is_backbone or general is not None else core.types
            yield from type_checks(node, self._structures, allowed, self._told)
            yield from target_checks(node, self._structures, core.targets if core else frozenset(), self._told)
        yield from _value_checks(definition, before, self._told)
        bound = value_set_of(node)
        if bound is not None and definition.get("binding") != before.get("binding") and not self._is_core(bound, core):
            yield binding_check(*bound, self._told)
        yield from self._constraints(node, general, self._type(node, core))
        content = definition.get("contentReference")
        if isinstance(content, str) and content != before.get("contentReference"):
            yield from self._content(content)

    def _is_core(self, bound: tuple[str, str], core: CoreElement | None) -> bool:
        """Tell whether a binding is one of R4's, whose codes are checked already."""
        url = bound[1].partition("|")[0]
        return core is not None and core.value_set == url and bool(self._structures.codes(url))

    def _constraints(self, node: Node, general: Node | None, type_: str | None) -> Iterator[Check]:
        before = constraints_of(general, self._known) if general is not None else []
        for constraint in constraints_of(node, self._known):
            if constraint not in before:
                if type_ is not None:
                    self.constraints.append((constraint, type_))
                yield constraint_check(constraint, self._told)

    def _content(self, content: str) -> Iterator[Check]:
        """Yield the check of a content reference: what it names says what is below."""
        target = self._by_id.get(content.partition("#")[2])
        if target is None:
            return
        element = self._made.get(id(target))
        if element is None:
            self.doubts.append(content)
        elif id(target) in self._open or not element.says_nothing:
            yield element.check

    # --- slicing -----------------------------------------------------------------------------------------------------

    def _slicing(self, node: Node, core: CoreElement | None, general: Node | None) -> Slicing | None:
        if not node.slices:
            return None
        slicing = node.definition.get("slicing") or (general.definition.get("slicing") if general is not None else None)
        given: dict[str, Any] = slicing if isinstance(slicing, dict) else {}
        discriminators = _discriminators(given) or _implied(node)
        about = f"{self._told.strip(' ()')}, {node.name}"
        slices = [
            Slice(
                slice_.slice,
                slice_test(discriminators, slice_, f"{about}:{slice_.slice}"),
                self._element(slice_, core, node),
            )
            for slice_ in node.slices.values()
        ]
        rules, ordered = given.get("rules", "open"), given.get("ordered") is True
        if rules not in {"closed", "openAtEnd"} and not ordered and all(one.element.says_nothing for one in slices):
            return None
        loose = any(is_loose(one, slice_) for one in discriminators for slice_ in node.slices.values())
        return Slicing(node.name.removesuffix("[x]"), self._told, slices, rules, ordered, loose)


def _cardinality(node: Node, core: CoreElement | None) -> tuple[int, int | None]:
    """Return min and max, 0 and None where R4 asks the same."""
    least, most = node.definition.get("min"), node.definition.get("max")
    least = least if isinstance(least, int) else 0
    top = int(most) if isinstance(most, str) and most.isascii() and most.isdigit() and len(most) < 10 else None
    if core is not None:
        least = least if least > core.min else 0
        top = None if top is not None and core.max is not None and core.max <= top else top
    return least, top


def _value_checks(definition: dict[str, Any], before: dict[str, Any], told: str) -> Iterator[Check]:
    for stem, compare in (("fixed", equals), ("pattern", has)):
        wanted = choice(definition, stem)
        if wanted is not None and wanted != choice(before, stem):
            yield _value_check(stem, compare, wanted[1], told)
    length = definition.get("maxLength")
    if isinstance(length, int) and length != before.get("maxLength"):
        yield _length_check(length, told)
    for stem, wrong in (("minValue", -1), ("maxValue", 1)):
        bound = choice(definition, stem)
        if bound is not None and bound != choice(before, stem):
            yield _bound_check(stem, wrong, bound[1], told)


def _value_check(stem: str, compare: Any, wanted: Any, told: str) -> Check:
    expected = f": expected {wanted}" if isinstance(wanted, str) and len(wanted) <= 200 else ""

    def check(item: Item, run: Run) -> Found:
        if compare(item.value, wanted):
            return None
        what = "is not the fixed value" if stem == "fixed" else "does not have the pattern"
        return [Fault(f"profile-{stem}", f"the value {what}{expected}{told}")]

    return check


def _length_check(length: int, told: str) -> Check:
    def check(item: Item, run: Run) -> Found:
        if not isinstance(item.value, str) or len(item.value) <= length:
            return None
        return [Fault("profile-length", f"received {len(item.value)} characters, expected at most {length}{told}")]

    return check


def _bound_check(stem: str, wrong: int, bound: Any, told: str) -> Check:
    what = "below the minimum" if wrong < 0 else "above the maximum"

    def check(item: Item, run: Run) -> Found:
        if order(item.value, bound, item.type) != wrong:
            return None
        return [Fault("profile-bound", f"the value is {what}{told}")]

    return check


def _discriminators(slicing: dict[str, Any]) -> list[Discriminator]:
    listed = slicing.get("discriminator")
    return [
        Discriminator(str(one.get("type")), str(one.get("path")))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict)
    ]


def _implied(node: Node) -> list[Discriminator]:
    """Return the discriminator that a differential may leave out."""
    if node.name in {"extension", "modifierExtension"}:
        return _BY_URL
    return _BY_TYPE if node.name.endswith("[x]") else []
