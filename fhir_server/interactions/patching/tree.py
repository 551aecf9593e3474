"""A resource as a tree of places, for FHIRPath Patch.

FHIRPath gives items, a patch needs places. So every element of the tree has a dictionary of its own, its handle, by
whose identity an item leads back to its place: an object is one already, a primitive gets the one beside it that holds
its id and extensions (``_birthDate``), empty at first. ``json_patch.without_empties`` makes a resource of the tree.

Spec: https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fhir_server.definitions.structures import Element
from fhir_server.fhirpath import Environment, Item, Path
from fhir_server.fhirpath.navigation import Navigator
from fhir_server.interactions.patching.json_patch import levels, too_deep
from fhir_server.model.formats import MAX_DEPTH, Json, Resource
from fhir_server.outcome import Issue, IssueType, Unprocessable


@dataclass(frozen=True, slots=True)
class Location:
    """A path, compiled.

    ``holder`` and ``member`` are the path but for its last name, and that name, if it ends in one. ``steps`` is how
    often the path may look at every element of a resource.
    """

    path: Path
    holder: Path | None
    member: str
    steps: int


class Refused(Exception):
    """Why an operation cannot be applied."""


class Content(NamedTuple):
    """What an element is to hold, in JSON under ``name``."""

    name: str
    json: Json
    extras: Json
    is_primitive: bool


class Place(NamedTuple):
    """Where an element stands: the object that holds it, and the JSON name there. ``handle`` is its dictionary."""

    handle: dict[str, Any]
    holder: dict[str, Any]
    name: str
    is_primitive: bool

    @property
    def handles(self) -> Json:
        """What stands under the name: one dictionary, or the list of those of a repeated element."""
        return self.holder["_" + self.name if self.is_primitive else self.name]

    @property
    def position(self) -> int | None:
        """The place in the list, None if the element does not repeat."""
        if not isinstance(self.handles, list):
            return None
        return next(index for index, each in enumerate(self.handles) if each is self.handle)


class Tree:
    """A copy of a resource that knows the place of each of its elements."""

    def __init__(self, resource: Resource, type_: str, navigate: Navigator) -> None:
        self.navigate = navigate
        self._type = type_
        self._places: dict[int, Place] = {}
        self.root = self._object(resource)

    @property
    def size(self) -> int:
        """How many elements the resource has had."""
        return len(self._places)

    # finding

    def find(self, path: Path) -> list[Item]:
        """Return what a path leads to."""
        root = Item(self.root, self._type)
        return path(root, Environment(resource=root, root=root))

    def one(self, path: Path) -> Item:
        """Return the one item that a path leads to. Raises ``Refused`` for none and for several."""
        found = self.find(path)
        if len(found) != 1:
            raise Refused(f"the path leads to {len(found) or 'no'} elements; one is needed")
        return found[0]

    def object(self, path: Path) -> tuple[dict[str, Any], str]:
        """Return the dictionary of the one element that a path leads to, and its type."""
        item = self.one(path)
        handle = self._handle(item)
        if handle is None or not (handle is self.root or id(handle) in self._places):
            raise Refused("the path does not lead to an element of the resource that can hold others")
        return handle, item.type

    def place(self, item: Item, location: Location) -> Place:
        """Return the place of an item that the path of ``location`` has led to."""
        handle = self._handle(item)
        if handle is not None and id(handle) in self._places:
            return self._places[id(handle)]
        if handle is None and location.holder is not None:  # an id or a url: FHIRPath sees nothing beside it
            beside = self.object(location.holder)[0].get("_" + location.member)
            if isinstance(beside, dict):
                return self._places[id(beside)]
        raise Refused("the path does not lead to an element inside the resource")

    def element(self, type_: str, name: str) -> Element:
        """Return the element of a type by its name (``value``) or that of its JSON (``valueString``)."""
        found = self.navigate.element(type_, name)
        if found is None:
            found = next((each for each in self._elements(type_) if name in each.json_names()), None)
        if found is None:
            raise Refused(f'{type_} has no element "{name[:64]}"')
        return found

    def type(self, handle: dict[str, Any]) -> str:
        """Return the type of the element that a dictionary stands for: a type code, or the path of a backbone."""
        if handle is self.root:
            return self._type
        if isinstance(handle.get("resourceType"), str):
            return str(handle["resourceType"])
        place = self._places[id(handle)]
        element = self.element(self.type(place.holder), place.name)
        return element.json_names()[place.name] if element.is_choice else self.navigate.item_types(element)[0]

    def _handle(self, item: Item) -> dict[str, Any] | None:
        handle = item.extras if self.navigate.is_primitive(item.type) else item.value
        return handle if isinstance(handle, dict) else None

    def _elements(self, type_: str) -> Iterable[Element]:
        try:
            return self.navigate.structures.children(type_).values()
        except KeyError:
            return ()

    # changing

    def put(self, holder: dict[str, Any], content: Content) -> None:
        """Set an element that does not repeat."""
        self._refuse_depth(holder, content, 0)
        name = content.name
        if not content.is_primitive:
            holder.pop("_" + name, None)
            holder[name] = self._complex(holder, name, content.json)
            return
        if content.json is None:
            holder.pop(name, None)
        else:
            holder[name] = content.json
        holder["_" + name] = self._primitive(holder, name, content.extras)

    def insert(self, holder: dict[str, Any], index: int, content: Content) -> None:
        """Put an item into a repeated element."""
        self._refuse_depth(holder, content, 1)
        name = content.name
        if not content.is_primitive:
            holder.setdefault(name, []).insert(index, self._complex(holder, name, content.json))
            return
        handles = holder.setdefault("_" + name, [])
        holder.setdefault(name, [None] * len(handles)).insert(index, content.json)
        handles.insert(index, self._primitive(holder, name, content.extras))

    def remove(self, place: Place) -> None:
        """Take away what is at a place, its id and extensions included."""
        index = place.position
        for name in (place.name, "_" + place.name):
            if index is None:
                place.holder.pop(name, None)
            elif name in place.holder:
                del place.holder[name][index]

    def rename(self, place: Place, name: str) -> None:
        """Give an element another JSON name at the same place in its object: a choice takes another type."""
        names = {place.name: name, "_" + place.name: "_" + name}
        members = list(place.holder.items())
        place.holder.clear()
        place.holder.update((names.get(each, each), value) for each, value in members)

    def _refuse_depth(self, holder: dict[str, Any], content: Content, above: int) -> None:
        found = above + max(levels(content.json), levels(content.extras))
        while True:
            found += 1
            if holder is self.root:
                break
            place = self._places[id(holder)]
            found += isinstance(place.handles, list)
            holder = place.holder
        if found > MAX_DEPTH:
            raise too_deep("the patch")

    # copying

    def _object(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of an object with places for all that is in it; the names keep their order."""
        copy: dict[str, Any] = dict.fromkeys(source)
        for name in dict.fromkeys(each.removeprefix("_") for each in source):
            json, extras = source.get(name), source.get("_" + name)
            if name == "resourceType":
                copy[name] = json
            elif isinstance(json, list) or isinstance(extras, list):
                self._copy_list(copy, name, json, extras)
            elif isinstance(json, dict):
                copy[name] = self._complex(copy, name, json)
            else:
                copy["_" + name] = self._primitive(copy, name, extras)
                if json is not None:
                    copy[name] = json
            if not self._fits(json, extras):
                text = f'"{name[:64]}" and "_{name[:64]}" do not belong together'
                raise Unprocessable(Issue(IssueType.STRUCTURE, text, id="patch-value"))
        return copy

    def _copy_list(self, copy: dict[str, Any], name: str, json: Json, extras: Json) -> None:
        values, beside = (each if isinstance(each, list) else [] for each in (json, extras))
        if any(isinstance(each, dict) for each in values):
            copy[name] = [self._complex(copy, name, each if isinstance(each, dict) else {}) for each in values]
            return
        count = max(len(values), len(beside))
        if json is not None:
            copy[name] = values + [None] * (count - len(values))
        copy["_" + name] = [self._primitive(copy, name, each) for each in beside + [None] * (count - len(beside))]

    def _fits(self, json: Json, extras: Json) -> bool:
        """Tell whether what stands beside an element can stand there."""
        if isinstance(json, list) and any(isinstance(each, dict) for each in json):
            return extras is None and all(isinstance(each, dict) for each in json)
        if isinstance(json, list) or isinstance(extras, list):
            beside = extras if isinstance(extras, list) else [extras]
            return (json is None or isinstance(json, list)) and all(
                each is None or isinstance(each, dict) for each in beside
            )
        return extras is None or (isinstance(extras, dict) and not isinstance(json, dict))

    def _complex(self, holder: dict[str, Any], name: str, source: Mapping[str, Any]) -> dict[str, Any]:
        return self._placed(Place(self._object(source), holder, name, is_primitive=False))

    def _primitive(self, holder: dict[str, Any], name: str, extras: Json) -> dict[str, Any]:
        source = extras if isinstance(extras, dict) else {}
        return self._placed(Place(self._object(source), holder, name, is_primitive=True))

    def _placed(self, place: Place) -> dict[str, Any]:
        # The place keeps the dictionary alive, so that no later one has its id.
        self._places[id(place.handle)] = place
        return place.handle
