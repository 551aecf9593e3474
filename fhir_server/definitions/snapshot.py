"""The snapshot of a profile: every element of its base type, with what the differential says put over it.

Made from R4's tables, which hold no prose: a definition that the differential does not give is the URL of R4's page.
Spec: https://hl7.org/fhir/R4/profiling.html#snapshot, https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.definitions.canonical import HL7
from fhir_server.definitions.elements import Element, Invariant
from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import Resource

Json = dict[str, Any]

_PAGES: Final = "https://hl7.org/fhir/R4/"
_SYSTEM_STRING: Final = "http://hl7.org/fhirpath/System.String"
_FHIR_TYPE: Final = f"{HL7}StructureDefinition/structuredefinition-fhir-type"
_EXTENSIONS: Final = ("extension", "modifierExtension")
_STRENGTHS: Final = ("example", "preferred", "extensible", "required")
_ADDED: Final = ("constraint", "mapping", "condition")
"""What a differential adds to the list of its base; every other member takes the place of the base's."""


class ProfileError(ValueError):
    """The differential does not fit its base; the text names the element."""


@dataclass(slots=True)
class _Node:
    """An element of the snapshot. ``of``: the type or path whose children it has; empty if it is a choice."""

    json: Json
    of: str
    children: dict[str, _Node] | None = None
    slices: dict[str, _Node] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Json]:
        yield self.json
        for child in (self.children or {}).values():
            yield from child
        for slice_ in self.slices.values():
            yield from slice_


def snapshot(profile: Resource, structures: Structures) -> list[Json]:
    """Return the elements of a profile's snapshot, from its ``type`` and ``differential``.

    The base is R4's type, whatever ``baseDefinition`` says. Raises ``ProfileError``.
    """
    type_ = profile["type"]
    if profile["baseDefinition"] != f"{HL7}StructureDefinition/{type_}":
        raise ProfileError(f"{profile['baseDefinition']} is no base: it has to be R4's {type_}")
    root = _root(type_, structures)
    for element in profile["differential"]["element"]:
        _place(root, element, structures)
    return list(root)


def _place(root: _Node, element: Json, structures: Structures) -> None:
    """Put an element of the differential where its id says, over what is there."""
    first, *rest = element["id"].split(".")
    if first != root.json["path"]:
        raise ProfileError(f"{element['id']} does not begin with {root.json['path']}")
    node = root
    for segment in rest:
        node = _child(node, segment, element["id"], structures)
    if element["path"] != node.json["path"]:
        raise ProfileError(f"{element['id']} has the path {element['path']}; expected is {node.json['path']}")
    _merge(node, element)


def _child(parent: _Node, segment: str, id_: str, structures: Structures) -> _Node:
    """Return a child by a segment of an id, ``identifier`` or ``identifier:rpps``: a new slice is made."""
    name, _, slice_ = segment.partition(":")
    if parent.children is None:
        parent.children = _children(parent, id_, structures)
    if name not in parent.children:
        raise ProfileError(f"{id_}: {parent.of} has no element {name}")
    node = parent.children[name]
    if not slice_:
        return node
    if slice_ not in node.slices:
        node.slices[slice_] = _slice(node, slice_)
    return node.slices[slice_]


def _slice(node: _Node, name: str) -> _Node:
    if node.json["path"].rpartition(".")[2] in _EXTENSIONS and "slicing" not in node.json:
        by_url = [{"type": "value", "path": "url"}]
        node.json["slicing"] = {"discriminator": by_url, "ordered": False, "rules": "open"}
    if "slicing" not in node.json:
        raise ProfileError(f"{node.json['id']} has the slice {name} and no slicing")
    inherited = {key: value for key, value in node.json.items() if key != "slicing"}
    return _Node({**inherited, "id": f"{node.json['id']}:{name}", "sliceName": name, "min": 0}, node.of)


def _children(parent: _Node, id_: str, structures: Structures) -> dict[str, _Node]:
    try:
        found = structures.children(parent.of)
    except KeyError:
        raise ProfileError(f"{id_}: {parent.json['id']} has no one type whose elements it could name") from None
    made = (_node(element, parent, structures) for element in found.values())
    return {node.json["path"].rpartition(".")[2]: node for node in made}


# --- what R4 says ----------------------------------------------------------------------------------------------------


def _root(type_: str, structures: Structures) -> _Node:
    constraints = _constraints(structures.invariants(type_), type_)
    json = {
        "id": type_,
        "path": type_,
        "definition": _page(type_, structures),
        "min": 0,
        "max": "*",
        "base": {"path": type_, "min": 0, "max": "*"},
        **({"constraint": constraints} if constraints else {}),
    }
    root = _Node(json, type_)
    root.children = _children(root, type_, structures)
    _open(root, structures)
    return root


def _open(parent: _Node, structures: Structures) -> None:
    """Give each backbone element its children, as R4's own snapshots do; elements of a data type stay closed."""
    for node in (parent.children or {}).values():
        if "." in node.of and "contentReference" not in node.json:
            node.children = _children(node, node.json["id"], structures)
            _open(node, structures)


def _node(element: Element, parent: _Node, structures: Structures) -> _Node:
    most = "*" if element.max is None else str(element.max)
    json: Json = {
        "id": f"{parent.json['id']}.{element.name}",
        "path": f"{parent.json['path']}.{element.name}",
        "definition": _page(element.path, structures),
        "min": element.min,
        "max": most,
        "base": {"path": _origin(element, structures), "min": element.min, "max": most},
    }
    if element.content:
        json["contentReference"] = f"#{element.content}"
    else:
        json["type"] = _types(element)
    constraints = _constraints(structures.invariants(element.path), element.path)
    if constraints:
        json["constraint"] = constraints
    if element.is_modifier:
        json |= {"isModifier": True, "isModifierReason": "FHIR R4: the resource means something else with it"}
    if element.is_summary:
        json["isSummary"] = True
    if element.binding:
        json["binding"] = {"strength": element.strength, "valueSet": element.binding}
    return _Node(json, _of(element))


def _of(element: Element) -> str:
    if element.is_choice or len(element.types) > 1:
        return ""
    return element.path if element.is_backbone else element.types[0]


def _types(element: Element) -> list[Json]:
    if element.plain:
        return [{"extension": [{"url": _FHIR_TYPE, "valueUrl": element.types[0]}], "code": _SYSTEM_STRING}]
    targets = {"Reference": element.targets, "canonical": element.canonical_targets}
    return [_type(code, sorted(targets.get(code, ()))) for code in element.types]


def _type(code: str, targets: Sequence[str]) -> Json:
    named = [f"{HL7}StructureDefinition/{target}" for target in targets]
    return {"code": code, "targetProfile": named} if targets else {"code": code}


def _origin(element: Element, structures: Structures) -> str:
    """Return the path under which R4 defines an element: ``DomainResource.extension``, ``Element.id``."""
    parent, _, name = element.path.rpartition(".")
    if "." in parent:
        own = structures.element(parent).types[0]
        base: str | None = own if name in structures.children(own) else None
    else:
        base = structures.base(parent)
    found = element.path
    while base and name in structures.children(base):
        found, base = f"{base}.{name}", structures.base(base)
    return found


def _constraints(invariants: Sequence[Invariant], path: str) -> list[Json]:
    return [
        {
            "key": one.key,
            "severity": one.severity,
            "human": f"FHIR R4: {one.key}",
            "expression": one.expression,
            "source": f"{HL7}StructureDefinition/{path.partition('.')[0]}",
        }
        for one in invariants
    ]


def _page(path: str, structures: Structures) -> str:
    type_ = path.partition(".")[0]
    if structures.kind(type_) == "resource":
        return f"{_PAGES}{type_.lower()}-definitions.html#{path}"
    return f"{_PAGES}datatypes-definitions.html#{path}"


# --- what the differential says --------------------------------------------------------------------------------------


def _merge(node: _Node, element: Json) -> None:
    _refuse_wider(node, element)
    for name, value in element.items():
        node.json[name] = [*node.json.get(name, ()), *value] if name in _ADDED else value
    codes = [type_["code"] for type_ in element.get("type", ())]
    if len(codes) == 1 and node.of in ("", codes[0]):
        node.of = codes[0]
    node.json = {name: node.json[name] for name in _ordered(node.json)}


def _refuse_wider(node: _Node, element: Json) -> None:
    """Raise ``ProfileError`` where an element allows what its base does not."""
    merged = node.json | element
    least, most = merged["min"], merged["max"]
    if least < node.json["min"]:
        raise ProfileError(f"{element['id']}: min {least} is less than the base's, {node.json['min']}")
    if _many(most) > _many(node.json["max"]):
        raise ProfileError(f"{element['id']}: max {most} is more than the base's, {node.json['max']}")
    if least > _many(most):
        raise ProfileError(f"{element['id']}: min {least} is more than max {most}")
    allowed = {type_["code"] for type_ in node.json.get("type", ())}
    for type_ in element.get("type", ()):
        if type_["code"] not in allowed:
            raise ProfileError(f"{element['id']}: {type_['code']} is not a type of the base: {', '.join(allowed)}")
    before, after = node.json.get("binding"), element.get("binding")
    if before and after and _STRENGTHS.index(after["strength"]) < _STRENGTHS.index(before["strength"]):
        raise ProfileError(f"{element['id']}: a binding that is {before['strength']} cannot be {after['strength']}")


def _many(most: str) -> float:
    return float("inf") if most == "*" else int(most)


_ORDER: Final = (
    *("id", "path", "sliceName", "slicing", "short", "definition", "comment", "min", "max", "base"),
    *("contentReference", "type", "condition", "constraint", "mustSupport"),
    *("isModifier", "isModifierReason", "isSummary", "binding", "mapping"),
)
_VALUES: Final = ("fixed", "pattern", "minValue", "maxValue")


def _ordered(json: Mapping[str, Any]) -> list[str]:
    """Return the members of an element in R4's order: fixed and pattern values follow the type."""
    places = {name: place for place, name in enumerate(_ORDER)}
    after_type = places["type"] + 0.5
    return sorted(json, key=lambda name: places.get(name, after_type if name.startswith(_VALUES) else len(_ORDER)))
