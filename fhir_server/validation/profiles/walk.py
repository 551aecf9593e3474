"""A walk through a resource: the resources in it with the profiles that they claim, and every extension.

Spec: https://hl7.org/fhir/R4/resource-definitions.html#Meta.profile
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_server.definitions.elements import Element as CoreElement
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Item
from fhir_server.validation.faults import MAX_FAULTS, Fault
from fhir_server.validation.profiles.extensions import Place, check_extension
from fhir_server.validation.profiles.run import Run, as_item

_EXTENSIONS: Final = frozenset(("extension", "modifierExtension"))


class Walk:
    """Finds what is wrong with the resources and extensions inside of one resource."""

    def __init__(self, run: Run, *, claimed: bool) -> None:
        """``claimed``: whether the profiles that resources claim in ``meta.profile`` are checked."""
        self._run = run
        self._claimed = claimed
        self.faults: list[Fault] = []

    def resource(self, item: Item, path: str = "", place: Place | None = None) -> None:
        """Look into a resource; ``path`` leads to it from the root."""
        run = self._run
        if item.type not in run.structures.resource_types or len(self.faults) > MAX_FAULTS:
            return
        outer = run.enter(item)
        if self._claimed:
            for profile in claimed_profiles(item.value):
                self._take(run.conforms(item, profile) or (), path)
        self._object(item, path, Place(item, None, place))
        run.leave(outer)

    def _object(self, item: Item, path: str, place: Place) -> None:
        if len(self.faults) > MAX_FAULTS:
            return
        properties = _properties(item.type, self._run.structures)
        for name, value in item.value.items():
            known = properties.get(name)
            if known is None:
                continue
            element, type_ = known
            step = f"{path}.{element.name.removesuffix('[x]')}"
            if element.is_choice:
                step += f".ofType({type_})"
            if isinstance(value, list):
                for index, one in enumerate(value):
                    if isinstance(one, dict):
                        self._value(one, element, type_, f"{step}[{index}]", place)
            elif isinstance(value, dict):
                self._value(value, element, type_, step, place)

    def _value(self, value: dict[str, Any], element: CoreElement, type_: str, path: str, place: Place) -> None:
        if type_ == "Resource":
            self.resource(as_item(value, self._run.structures), path, place)
            return
        item = Item(value, type_)
        if element.name in _EXTENSIONS:
            is_modifier = element.name == "modifierExtension"
            self._take(check_extension(item, place, self._run, is_modifier=is_modifier), path)
        self._object(item, path, Place(item, element.name, place))

    def _take(self, faults: Any, path: str) -> None:
        for fault in faults:
            fault.steps.append(path)
            self.faults.append(fault)


def claimed_profiles(resource: dict[str, Any]) -> list[str]:
    """Return the profiles that a resource says it conforms to."""
    meta = resource.get("meta")
    listed = meta.get("profile") if isinstance(meta, dict) else None
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


_KNOWN: Final[dict[tuple[int, str], Mapping[str, tuple[CoreElement, str]]]] = {}


def _properties(type_: str, structures: Structures) -> Mapping[str, tuple[CoreElement, str]]:
    """Return the JSON properties of a type that are objects or arrays of them: the element, the type of its values.

    ``_name`` beside a primitive is of that primitive's type: there stand its extensions.
    """
    found = _KNOWN.get((id(structures), type_))
    if found is None:
        found = _KNOWN[id(structures), type_] = dict(_listed(type_, structures))
    return found


def _listed(type_: str, structures: Structures) -> Any:
    try:
        elements = structures.children(type_).values()
    except KeyError:
        return
    for element in elements:
        for name, code in element.json_names().items():
            if element.is_backbone:
                yield name, (element, element.content or element.path)
            elif structures.kind(code) != "primitive-type":
                yield name, (element, code)
            elif not element.plain:
                yield f"_{name}", (element, code)
