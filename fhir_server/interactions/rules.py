"""Rules that an implementation guide adds to writes, where a StructureDefinition cannot say them.

A *check* looks at one resource alone. A *rule* looks at all that one request writes together, and at the store: what
takes time is prepared on a snapshot, what must hold is confirmed at the head of the log.

    resources to be written ── prepare, on a snapshot ──> ruling ── its check, in the plan ──> changes, or a refusal

Spec: https://hl7.org/fhir/R4/http.html#update (business rules)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

from fhir_server.model.formats import Resource
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import Issue
from fhir_server.storage.protocol import Change, Snapshot, Stored, View

Check: TypeAlias = Callable[[Resource], Iterable[Issue]]
"""Yields what is wrong with one valid resource, errors and warnings; never raises. It runs wherever resources are made
ready, so it may be sent to another process as part of what makes it, never itself."""

AtHead: TypeAlias = Callable[[View, Sequence[Change]], Awaitable[Mapping[Key, Sequence[Issue]]]]
"""Looks at the head of the log and at the changes to be appended there. It awaits nothing but the view, and may run
again. Returns warnings by the resource whose change brings them; raises the ``FhirError`` of a refusal."""

Meant: TypeAlias = Callable[[Resource, Sequence[Stored]], Sequence[Key]]
"""Of all that the criteria of a conditional update match, returns what the resource sent means: several are refused as
they always are, none is a create. Pure."""


class Asked(NamedTuple):
    """One resource that a request writes: what is to be stored under a key, or None if it is to be deleted."""

    key: Key
    resource: Resource | None
    interaction: Interaction
    at: str
    """The Bundle entry that asks it (``Bundle.entry[3]``), or empty."""
    by_criteria: bool = False
    """Whether it was named by criteria, so that the client does not know which one it is."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a rule makes of a write.

    ``put`` is stored too, or instead of what the client sent: under a key that is among those asked it replaces that
    resource. What is put under another key needs its version in ``versions``. ``keep`` are deletions that are not done,
    with the remark that says why. ``versions`` are those of resources that were looked at (None: there was none): if
    they are others at the head, the write is prepared again.
    """

    put: Mapping[Key, Resource] = field(default_factory=lambda: MappingProxyType({}))
    keep: Mapping[Key, Issue] = field(default_factory=lambda: MappingProxyType({}))
    versions: Mapping[Key, int | None] = field(default_factory=lambda: MappingProxyType({}))
    at_head: AtHead | None = None


class Rule(Protocol):
    """One rule of writes."""

    @property
    def concerns(self) -> frozenset[str]:
        """The types whose writes it is asked about."""
        ...

    @property
    def looks(self) -> bool:
        """Whether it reads the snapshot that it is given; where no rule does, none is opened."""
        ...

    async def prepare(self, snapshot: Snapshot, asked: Sequence[Asked]) -> Ruling | None:
        """Return what it makes of all that one request writes together, types that do not concern it included; None:
        it has nothing to say. Raises the ``FhirError`` of a refusal."""
        ...
