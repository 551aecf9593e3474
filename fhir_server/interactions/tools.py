"""What resources are checked and indexed with: made from one registry, the same on the event loop and in a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fhir_server.definitions.registry import Registry
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue
from fhir_server.search.query import IndexEntry


class Validates(Protocol):
    def validate(self, resource: Resource, *, entries: bool = True) -> list[Issue]:
        """Return all that is wrong with a resource; never raise. ``entries``: with the resources inside a Bundle."""
        ...


class Indexes(Protocol):
    """Return what a resource is found by."""

    def entries(self, resource: Resource) -> tuple[IndexEntry, ...]: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """The definitions in force, and what applies them."""

    registry: Registry
    validator: Validates
    indexer: Indexes
