"""Slicing: the items of an element are parted among slices, each with its own count and rules.

Spec: https://hl7.org/fhir/R4/profiling.html#slicing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.fhirpath import Item
from fhir_server.outcome import Severity
from fhir_server.validation.faults import MAX_FAULTS, Fault, Found, extend
from fhir_server.validation.profiles.element import Element
from fhir_server.validation.profiles.fixing import Test
from fhir_server.validation.profiles.run import Run


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A slice: which items are its own, and what they must be."""

    name: str
    takes: Test
    element: Element


@dataclass(frozen=True, slots=True)
class _Parted:
    """What became of the items: for each the slice that takes it, and whether one could not tell."""

    taken: Sequence[Slice | None]
    unsure: Sequence[bool]
    unsure_of: frozenset[str]

    def of(self, slice_: Slice) -> list[int]:
        """Return the places of a slice's items."""
        return [place for place, taker in enumerate(self.taken) if taker is slice_]


@dataclass(frozen=True, slots=True)
class Slicing:
    """The slices of one element, in their order. ``rules``: open, closed or openAtEnd."""

    name: str
    told: str
    slices: Sequence[Slice]
    rules: str = "open"
    ordered: bool = False
    tells_unmatched: bool = False
    """Whether an item that no slice takes is worth a remark: where a profile or a value set tells them apart."""

    def check(self, items: Sequence[Item], steps: Sequence[str], run: Run) -> Found:
        """Return what is wrong with the items of one parent."""
        parted = self._part(items, run)
        found = self._check_rules(parted, steps)
        for slice_ in self.slices:
            faults = self._check_slice(slice_, parted, items, steps, run)
            if faults:
                found = faults if found is None else found + faults
                if len(found) > MAX_FAULTS:
                    break
        return found

    def _part(self, items: Sequence[Item], run: Run) -> _Parted:
        taken: list[Slice | None] = []
        unsure: list[bool] = []
        unsure_of: set[str] = set()
        for item in items:
            taker, is_unsure = None, False
            for slice_ in self.slices:
                takes = slice_.takes(item, run) if run.may_go_on() else None
                if takes:
                    taker = slice_
                    break
                if takes is None:
                    is_unsure = True
                    unsure_of.add(slice_.name)
            taken.append(taker)
            unsure.append(is_unsure)
        return _Parted(taken, unsure, frozenset(unsure_of))

    def _check_slice(
        self, slice_: Slice, parted: _Parted, items: Sequence[Item], steps: Sequence[str], run: Run
    ) -> Found:
        places = parted.of(slice_)
        found: Found = None
        if slice_.name not in parted.unsure_of or len(places) >= slice_.element.min:
            found = slice_.element.count(len(places), f".{self.name}", f"slice {slice_.name}: ")
        for place in places:
            faults = slice_.element.check(items[place], run)
            if faults:
                found = extend(found, faults, steps[place])
        inner = slice_.element.slices
        if inner is not None:
            faults = inner.check([items[place] for place in places], [steps[place] for place in places], run)
            if faults:
                found = faults if found is None else found + faults
        return found

    def _check_rules(self, parted: _Parted, steps: Sequence[str]) -> Found:
        faults: list[Fault] = []
        names = ", ".join(slice_.name for slice_ in self.slices)
        seen, last_taken = 0, max((place for place, taker in enumerate(parted.taken) if taker), default=-1)
        for place, taker in enumerate(parted.taken):
            if taker is not None:
                number = self.slices.index(taker)
                if self.ordered and number < seen:
                    faults.append(Fault("profile-slice-order", f"slice {taker.name} is out of order{self.told}"))
                    faults[-1].steps.append(steps[place])
                seen = max(seen, number)
            elif parted.unsure[place]:
                continue
            elif self.rules == "closed":
                told = f"no slice takes this item, and there may be no other: {names}{self.told}"
                faults.append(Fault("profile-slice-closed", told, steps[place]))
            elif self.rules == "openAtEnd" and place < last_taken:
                told = f"no slice takes this item: it may only stand after those of {names}{self.told}"
                faults.append(Fault("profile-slice-order", told, steps[place]))
            elif self.tells_unmatched:
                told = f"no slice takes this item, so it is not checked as one of {names}{self.told}"
                faults.append(Fault("profile-slice-none", told, steps[place], severity=Severity.INFORMATION))
        return faults
