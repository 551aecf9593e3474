"""What an import engine needs of a source: what the files want, and who a resource belongs to.

Every resource that an import writes carries two tags: the source that manages it, and the run that wrote it last. A
source changes what it manages and nothing else. ``docs/decisions/0025-imports-own-what-they-tag.md`` gives the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from fhir_server.france.importing.findings import Place, Refused, Remark
from fhir_server.france.vocabulary import Json, own
from fhir_server.model.reference import Key

SOURCES: Final = own("import-source")
RUNS: Final = own("import-run")

TYPES: Final = (
    "Organization",
    "Location",
    "Practitioner",
    "HealthcareService",
    "PractitionerRole",
    "OrganizationAffiliation",
    "CareTeam",
    "Group",
    "Schedule",
)
"""The types that imports write, each after those that it refers to."""

RANKS: Final = {"cpts": 4, "finess": 3, "annuaire": 2, "membres": 1}
"""Whose word counts where two sources know the same person or structure: the higher one's."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A resource as a source wants it, with id, without tags of its own; ``place`` is the first line that asks for it.

    ``level``: 1 for one that refers to another of its type. ``weak``: little is known of it; whoever else manages it
    knows more.
    """

    resource: Json
    place: Place
    level: int = 0
    weak: bool = False

    @property
    def key(self) -> Key:
        """Under which it is written, unless the store knows it by another."""
        return Key(self.resource["resourceType"], self.resource["id"])


@dataclass(frozen=True, slots=True)
class Owner:
    """A source as its tag names it: the kind of file, and what it covers (a CPTS, ``france`` …)."""

    kind: str
    scope: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.scope}"

    @property
    def rank(self) -> int:
        """Higher than that of the sources whose content it may replace."""
        return RANKS[self.kind]


class Source(Protocol):
    """The files of one import, read once from beginning to end."""

    owner: Owner
    each_line: bool
    """Whether a person wants to read what became of each line: a list made by hand, not a register."""

    @property
    def position(self) -> tuple[int, int]:
        """How many bytes of the files were read, and how many there are."""
        ...

    def __iter__(self) -> Iterator[Wanted | Refused | Remark]:
        """Yield what the files want and what of them is refused. Raises ``FileRefused``."""
        ...


@dataclass(slots=True)
class Counts:
    """How many resources a run created, updated, found as they are, deactivated, left to others."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deactivated: int = 0
    left: int = 0


@dataclass(slots=True)
class Told:
    """What came of an import; ``resumed`` counts what an interrupted run of the same files had written."""

    run: str
    counts: Counts = field(default_factory=Counts)
    refused: int = 0
    managed: int = 0
    resumed: int = 0
    held_back: int = 0
