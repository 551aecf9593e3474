"""One validation in progress: where conformance resources come from, what could not be checked, what it may cost.

Spec: https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from fhir_server.definitions.library import Library
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Budget, Environment, Item, Judge
from fhir_server.fhirpath.navigation import Navigator, navigator
from fhir_server.model.formats import Resource
from fhir_server.validation.faults import Fault
from fhir_server.validation.profiles.bundled import Bundled
from fhir_server.validation.profiles.snapshot import Node

MAX_STEPS: Final = 200_000
"""Elements and slices looked at for one resource: about a second. A Bundle of 1,000 entries needs a tenth of them."""

MAX_NESTED: Final = 50
"""Elements inside elements, through profiles and references."""

MAX_ITEMS: Final = 1_000_000
MAX_SECONDS: Final = 2.0
"""What the invariants of profiles may cost together; those of one resource take milliseconds."""


class Codes(Protocol):
    """Tells which codes value sets have."""

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Tell whether a code is in a value set; None if that cannot be told here. ``system`` None: that of a ``code``
        element, whose value set says it."""
        ...


class Profiles(Protocol):
    """Profiles by canonical URL, ready to be checked against."""

    def conforms(self, item: Item, canonical: str, run: Run) -> list[Fault] | None:
        """Return what is wrong with a value, None (noted) if the profile cannot be checked."""
        ...

    def tree(self, canonical: str, run: Run) -> Node | None:
        """Return the elements of a profile, None (noted) if it is not loaded or is of no use."""
        ...


class Run:
    """What checks share while one resource is validated."""

    __slots__ = (
        "_budget", "_judges", "_library", "_profiles", "bundled", "codes", "done", "environment", "found", "navigator",
        "nested", "notes", "steps", "structures",
    )  # fmt: skip

    def __init__(self, structures: Structures, library: Library, codes: Codes, profiles: Profiles, root: Item) -> None:
        self.structures = structures
        self.navigator: Navigator = navigator(structures)
        self._library = library
        self.codes = codes
        self._profiles = profiles
        self.bundled = Bundled.of(root)
        self._budget = Budget(MAX_ITEMS, MAX_SECONDS)
        self._judges: dict[str, Judge] = {"conformsTo": self._conforms}
        self.environment = self._around(root, root)
        self.notes: dict[tuple[str, str], str] = {}
        self.done: dict[tuple[str, int], list[Fault]] = {}
        self.found: tuple[Item, str, list[Item]] | None = None
        """What the path of a discriminator found last: of an item, for all slices that it may belong to."""
        self.steps = MAX_STEPS
        self.nested = 0

    def find(self, canonical: str) -> Resource | None:
        """Return the StructureDefinition of a canonical URL, None if it is not loaded."""
        return self._library.find(canonical, "StructureDefinition")

    def conforms(self, item: Item, canonical: str) -> list[Fault] | None:
        """Return what is wrong with a value, against a profile; None (noted) if that cannot be checked."""
        return self._profiles.conforms(item, canonical, self)

    def tree(self, canonical: str) -> Node | None:
        """Return the elements of a profile, None (noted) if it is not loaded or is of no use."""
        return self._profiles.tree(canonical, self)

    def _conforms(self, item: Item, canonical: str) -> bool | None:
        faults = self.conforms(item, canonical)
        return None if faults is None else all(fault.severity != "error" for fault in faults)

    def judge(self, name: str, judge: Judge) -> None:
        """Have a function of FHIRPath answered."""
        self._judges[name] = judge

    def note(self, id_: str, about: str, told: str) -> None:
        """Tell once of something that cannot be checked."""
        self.notes.setdefault((id_, about), told)

    def children(self, item: Item, name: str) -> list[Item]:
        """Return the children of a name, ``value`` for ``value[x]``; not to be changed."""
        hop = self.navigator.hop(item.type, name)
        found: list[Item] = []
        if hop is not None:
            hop(item, found)
        return found

    def may_go_on(self) -> bool:
        """Count a step; tell whether there may be more, and note it if not."""
        self.steps -= 1
        if self.steps > 0 and self.nested < MAX_NESTED:
            return True
        if self.steps <= 0:
            self.note("validation-cut", "steps", f"checking profiles stopped after {MAX_STEPS} steps")
        else:
            self.too_deep()
        return False

    def too_deep(self) -> None:
        """Note that something is nested deeper than is checked."""
        self.note("validation-cut", "nested", f"profiles are not checked deeper than about {MAX_NESTED} levels")

    def enter(self, item: Item) -> tuple[Environment, Bundled]:
        """Go into a resource inside of the one at hand; return what ``leave`` takes."""
        outer = self.environment, self.bundled
        if item.value is self.environment.resource.value:
            return outer
        root, of_root = self.environment.root, self.environment.of_root
        contained = root.value.get("contained")
        if isinstance(contained, list) and any(one is item.value for one in contained):
            self.environment = self._around(item, root)
            self.environment.of_root = of_root
        else:
            if item.type == "Bundle":
                self.bundled = Bundled.of(item)
            self.environment = self._around(item, item)
        return outer

    def _around(self, item: Item, root: Item) -> Environment:
        return Environment(item, root, self.bundled.resolve, budget=self._budget, judges=self._judges)

    def leave(self, outer: tuple[Environment, Bundled]) -> None:
        """Go back to where ``enter`` was called."""
        self.environment, self.bundled = outer

    def is_resource(self, item: Item) -> bool:
        """Tell whether an item is a resource."""
        return item.type in self.structures.resource_types and isinstance(item.value, dict)


def as_item(resource: Resource, structures: Structures) -> Item:
    """Return a resource as an item of FHIRPath."""
    type_: Any = resource.get("resourceType")
    return Item(resource, type_ if isinstance(type_, str) and type_ in structures.resource_types else "Resource")
