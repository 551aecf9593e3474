"""The profiles that are loaded, compiled when they are first needed and kept while their definitions stay the same.

Spec: https://hl7.org/fhir/R4/structuredefinition.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fhir_server.definitions.library import split
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Item
from fhir_server.model.formats import Resource
from fhir_server.validation.faults import Fault
from fhir_server.validation.profiles.compiler import Compiler
from fhir_server.validation.profiles.constraints import problem
from fhir_server.validation.profiles.element import Element
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node, Unusable, elements, tree
from fhir_server.validation.profiles.types import CORE, core_type

MAX_KEPT: Final = 300
"""Profiles kept, with their definitions; when there are more, all are compiled anew."""

MAX_BASES: Final = 20
"""Profiles without a snapshot, each made of the next."""

_WITHOUT_COMPARATOR: Final[Resource] = {
    "resourceType": "StructureDefinition",
    "type": "Quantity",
    "snapshot": {"element": [{"path": "Quantity"}, {"path": "Quantity.comparator", "max": "0"}]},
}
R4_PROFILES: Final[dict[str, Resource]] = {
    CORE + name: {**_WITHOUT_COMPARATOR, "url": CORE + name} for name in ("SimpleQuantity", "MoneyQuantity")
}
"""The profiles of data types that R4 itself uses."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled profile; ``doubts`` are parts of it that cannot be checked."""

    url: str
    type: str
    root: Element
    doubts: tuple[str, ...]


class LoadedProfiles:
    """Compiled profiles, by canonical URL."""

    def __init__(self, structures: Structures) -> None:
        self._structures = structures
        self._trees: dict[str, tuple[Resource, Node | None, Node | None]] = {}
        self._compiled: dict[str, tuple[Node, Profile]] = {}

    def conforms(self, item: Item, canonical: str, run: Run) -> list[Fault] | None:
        """Return what is wrong with a value, None (noted) if the profile cannot be checked."""
        core = core_type(canonical, self._structures)
        if core is not None:
            return [] if self._structures.is_a(item.type, core) else [_wrong_type(item, core, canonical)]
        profile = self._profile(canonical, run)
        if profile is None:
            return None
        for doubt in profile.doubts:
            run.note("element-not-checked", f"{canonical} {doubt}", f"{doubt} of {canonical} is not checked: not of R4")
        if not self._structures.is_a(item.type, profile.type):
            return [_wrong_type(item, profile.type, canonical)]
        return _once(item, profile, run)

    def tree(self, canonical: str, run: Run) -> Node | None:
        """Return the elements of a profile, None (noted) if it is not loaded or is of no use."""
        return self._tree(canonical, run, 0)

    def look_into(self, definition: Resource, run: Run) -> None:
        """Note what could not be checked against a StructureDefinition that is itself at hand."""
        url = str(definition.get("url", "this profile"))
        try:
            root = self._made(definition, self._base(definition, run, 0))
        except Unusable as error:
            run.note("profile-not-checked", url, f"nothing can be checked against {url}: {error}")
            return
        compiler = Compiler(root, url, self._structures)
        compiler.profile()
        for doubt in compiler.doubts:
            run.note("element-not-checked", doubt, f"{doubt} of {url} is not checked: not of R4")
        for constraint, type_ in compiler.constraints:
            reason = problem(constraint, type_, self._structures)
            if reason is not None:
                run.note(
                    "invariant-not-checked", constraint.key, f"{constraint.key} cannot be evaluated here: {reason}"
                )

    def _tree(self, canonical: str, run: Run, depth: int) -> Node | None:
        definition = run.find(canonical) or R4_PROFILES.get(split(canonical)[0])
        if definition is None:
            run.note("profile-not-checked", canonical, f"the profile {canonical} is not loaded")
            return None
        try:
            base = self._base(definition, run, depth)
            kept = self._trees.get(canonical)
            if kept is None or kept[0] is not definition or kept[1] is not base:
                kept = self._trees[canonical] = (definition, base, self._made(definition, base))
                _forget(self._trees)
        except Unusable as error:
            run.note("profile-not-checked", canonical, f"the profile {canonical} cannot be used: {error}")
            return None
        return kept[2]

    def _made(self, definition: Resource, base: Node | None) -> Node:
        type_ = definition.get("type")
        is_known = isinstance(type_, str) and type_ in self._structures.types
        if definition.get("resourceType") != "StructureDefinition" or not is_known:
            raise Unusable("it is not a StructureDefinition of a type of R4")
        return tree(definition, base)

    def _base(self, definition: Resource, run: Run, depth: int) -> Node | None:
        """Return the elements of what a profile without snapshot constrains further."""
        base: Any = definition.get("baseDefinition")
        if elements(definition, "snapshot") or not isinstance(base, str) or core_type(base, self._structures):
            return None
        if depth >= MAX_BASES:
            raise Unusable(f"it is the last of more than {MAX_BASES} profiles without snapshot")
        return self._tree(base, run, depth + 1)

    def _profile(self, canonical: str, run: Run) -> Profile | None:
        root = self.tree(canonical, run)
        if root is None:
            return None
        kept = self._compiled.get(canonical)
        if kept is None or kept[0] is not root:
            compiler = Compiler(root, canonical, self._structures)
            element = compiler.profile()
            kept = self._compiled[canonical] = (root, Profile(canonical, root.name, element, tuple(compiler.doubts)))
            _forget(self._compiled)
        return kept[1]


def _once(item: Item, profile: Profile, run: Run) -> list[Fault]:
    """Return what is wrong with a value, found out once; where it is being found out, nothing is assumed to be."""
    key = (profile.url, id(item.value))
    if not isinstance(item.value, dict):
        return profile.root.check(item, run) or []
    if key not in run.done:
        run.done[key] = []
        run.done[key] = profile.root.check(item, run) or []
    return [Fault(one.id, one.text, *one.steps, severity=one.severity) for one in run.done[key]]


def _wrong_type(item: Item, expected: str, canonical: str) -> Fault:
    return Fault("profile-type", f"received {item.type}, expected {expected} (profile {canonical})")


def _forget(kept: dict[str, Any]) -> None:
    if len(kept) > MAX_KEPT:
        for name in list(kept)[:-1]:
            kept.pop(name, None)
