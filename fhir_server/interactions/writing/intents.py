"""What is to be written: intents as clients have them, steps as they are once it is known which resources they concern.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fhir_server.interactions.draft import Draft
from fhir_server.interactions.rules import AtHead
from fhir_server.interactions.writing.conditional import Question
from fhir_server.interactions.writing.integrity import Link
from fhir_server.interactions.writing.own import OwnEntries
from fhir_server.model.formats import Resource
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import Issue


class Patch(Protocol):
    """A patch document: returns the resource changed, or raises ``FhirError``; never changes what it is given."""

    def apply(self, resource: Resource) -> Resource:
        """Return the resource changed; the one given stays as it is. Raises ``FhirError``."""
        ...


@dataclass(frozen=True, slots=True)
class Intent:
    """What a client asks to be written.

    Either ``id`` or ``criteria`` (a query string) names the resource; a create may have criteria (If-None-Exist).
    ``if_match`` is versions, or ``*``; without it, ``unmodified_since`` (microseconds since the epoch) is a condition.
    ``full_url`` and ``at`` (``Bundle.entry[3]``) stand for entries of a Bundle.
    """

    interaction: Interaction
    type: str
    id: str | None = None
    criteria: str | None = None
    resource: Resource | None = None
    patch: Patch | None = None
    if_match: frozenset[str] | None = None
    unmodified_since: int | None = None
    only_if_absent: bool = False
    full_url: str | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One intent resolved: the keys it concerns, and what is to be stored under the first.

    ``existing``: a conditional create has found its match, nothing is to be written. ``fresh``: what is written must
    not be there yet. ``version``: what is written was made from that version. ``remarks``: what the client is told.
    ``by_rule``: a rule writes it, of what is stored; no client is to answer for how that conforms.
    """

    intent: Intent
    keys: tuple[Key, ...]
    existing: bool = False
    fresh: bool = False
    draft: Draft | None = None
    version: int | None = None
    remarks: tuple[Issue, ...] = ()
    by_rule: bool = False

    @property
    def writes(self) -> tuple[Key, ...]:
        """What it writes or deletes."""
        return () if self.existing else self.keys

    @property
    def resource(self) -> Resource | None:
        """What it writes; None if nothing, or a deletion."""
        return None if self.existing else self.intent.resource


@dataclass(slots=True)
class Prepared:
    """All that a plan needs."""

    steps: list[Step] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    """Asked of the snapshot, to be asked again at the head."""
    versions: dict[Key, int | None] = field(default_factory=dict)
    """Of resources whose content was looked at."""
    definitions: dict[Key, int | None] = field(default_factory=dict)
    """Of the conformance resources that it was understood with."""
    links: dict[Key, Sequence[Link]] = field(default_factory=dict)
    """The references to this server of what is written, if integrity is asked for."""
    at_head: list[AtHead] = field(default_factory=list)
    """What rules demand of the changes."""
    own: OwnEntries | None = None
    """What a transaction writes, as its criteria see it."""
