"""What resources are checked and indexed with: made from one registry, the same on the event loop and in a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from fhir_server.definitions.registry import Registry
from fhir_server.interactions.rules import Check
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue
from fhir_server.search.query import IndexEntry


class Validates(Protocol):
    """Checks resources."""

    def validate(self, resource: Resource, *, entries: bool = True) -> list[Issue]:
        """Return all that is wrong with a resource; never raise. ``entries``: with the resources inside a Bundle."""
        ...


class Indexes(Protocol):
    """Tells by which values resources are found."""

    def entries(self, resource: Resource) -> tuple[IndexEntry, ...]:
        """Return what a resource is found by."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """The definitions in force, and what applies them. ``make_indexer`` makes the indexer of other definitions.

    ``checks`` are those of guides, asked of resources that are valid R4.
    """

    registry: Registry
    validator: Validates
    indexer: Indexes
    make_indexer: Callable[[Registry], Indexes]
    checks: tuple[Check, ...] = ()

    def under(self, registry: Registry) -> Tools:
        """Return the tools of another registry, with what need not change."""
        same = registry.installed.parameters == self.registry.installed.parameters
        return replace(self, registry=registry, indexer=self.indexer if same else self.make_indexer(registry))
