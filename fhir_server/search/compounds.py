"""The compound indexes: which criteria, standing together in a query, are answered by one range of one index.

A compound is an index entry made of several parameters of one resource. Its name says what it holds. The engines
build an index over (name, key, low); ``search.plan`` rewrites what fits. Everything else is answered all the same,
from the parameters' own entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Compound:
    """``parts`` are codes with Equality entries, ``span`` a date whose value is single."""

    type: str
    parts: tuple[str, ...]
    span: str

    @property
    def name(self) -> str:
        """The derived code of its entries: ``schedule+status+start``."""
        return "+".join((*self.parts, self.span))


COMPOUNDS: Final = (
    Compound("Slot", ("schedule", "status"), "start"),  # the SAS: free slots of these agendas in this window
    Compound("Slot", ("schedule",), "start"),  # one agenda's page
    Compound("Appointment", ("actor", "status"), "date"),  # who is booked when
    Compound("Appointment", ("actor",), "date"),
)
"""At most one part of a compound can have several values in one resource: entries do not multiply."""


@cache
def compounds_of(type_: str) -> tuple[Compound, ...]:
    """Return the compounds of a type, those with most parts first."""
    found = (compound for compound in COMPOUNDS if compound.type == type_)
    return tuple(sorted(found, key=lambda compound: -len(compound.parts)))
