"""A compiled element: how often it may stand under its parent, what each of its values must be, what is below it.

Spec: https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fhir_server.fhirpath import Item
from fhir_server.validation.faults import MAX_FAULTS, Fault, Found, extend
from fhir_server.validation.profiles.run import Run

Check = Callable[[Item, Run], Found]
"""A check of one value."""


class Slices(Protocol):
    """How the items of an element are parted among its slices."""

    def check(self, items: Sequence[Item], steps: Sequence[str], run: Run) -> Found:
        """Return what is wrong with the items of one parent; ``steps`` lead to each."""
        ...


@dataclass(slots=True, eq=False)
class Element:
    """``min`` and ``max`` are those that R4 does not ask already: 0 and None are never wrong.

    ``told`` says in which profile it stands. ``name`` is that of FHIRPath, ``value`` for ``value[x]``.
    """

    name: str
    told: str
    min: int = 0
    max: int | None = None
    checks: tuple[Check, ...] = ()
    children: tuple[Element, ...] = ()
    slices: Slices | None = None

    @property
    def says_nothing(self) -> bool:
        """Whether no value could be wrong."""
        return not (self.min or self.max is not None or self.checks or self.children or self.slices)

    def check(self, item: Item, run: Run) -> Found:
        """Return what is wrong with one value and all below it."""
        if not run.may_go_on():
            return None
        if run.is_resource(item):
            outer = run.enter(item)
            found = self._check(item, run)
            run.leave(outer)
            return found
        return self._check(item, run)

    def _check(self, item: Item, run: Run) -> Found:
        run.nested += 1
        found: Found = None
        for check in self.checks:
            faults = check(item, run)
            if faults:
                found = faults if found is None else found + faults
        for child in self.children:
            faults = child.check_under(item, run)
            if faults:
                found = faults if found is None else found + faults
            if found is not None and len(found) > MAX_FAULTS:
                break
        run.nested -= 1
        return found

    def check_under(self, parent: Item, run: Run) -> Found:
        """Return what is wrong with all values of this element under a parent."""
        items = run.children(parent, self.name)
        found = self.count(len(items), f".{self.name}")
        if not items and self.slices is None:
            return found
        steps = _steps(self.name, parent, items, run)
        if self.checks or self.children:
            for item, step in zip(items, steps, strict=True):
                faults = self.check(item, run)
                if faults:
                    found = extend(found, faults, step)
                    if len(found) > MAX_FAULTS:
                        return found
        if self.slices is not None:
            faults = self.slices.check(items, steps, run)
            if faults:
                found = faults if found is None else found + faults
        return found

    def count(self, number: int, step: str, what: str = "") -> Found:
        """Return the fault of a number of items that is too small or too large."""
        if number < self.min:
            return [Fault("profile-min", f"{what}received {number}, expected at least {self.min}{self.told}", step)]
        if self.max is not None and number > self.max:
            return [Fault("profile-max", f"{what}received {number}, expected at most {self.max}{self.told}", step)]
        return None


def _steps(name: str, parent: Item, items: Sequence[Item], run: Run) -> list[str]:
    """Return the last step of each item's path."""
    element = run.navigator.element(parent.type, name)
    if element is None:
        return [f".{name}"] * len(items)
    if element.is_list:
        return [f".{name}[{index}]" for index in range(len(items))]
    if element.is_choice:
        return [f".{name}.ofType({item.type})" for item in items]
    return [f".{name}"] * len(items)
