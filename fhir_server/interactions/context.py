"""What the interactions work with: the store, the definitions in force, and the service's own settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import StrEnum

from fhir_server.definitions.registry import Registry
from fhir_server.interactions.preparing import Prepares
from fhir_server.interactions.tools import Indexes, Tools, Validates
from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Clock, Store


class Integrity(StrEnum):
    """What becomes of a write that would leave a reference to this server without its target."""

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request; each is named in the error of a request that passes it."""

    page_default: int = 50
    page_maximum: int = 1_000
    bundle_entries: int = 5_000
    delete_matches: int = 1_000
    includes: int = 10_000
    count_seconds: float = 0.5
    body_bytes: int = 20_000_000
    resource_bytes: int = 2_000_000
    answer_bytes: int = 50_000_000


@dataclass(frozen=True, slots=True)
class Context:
    """One running service."""

    store: Store
    tools: Tools
    preparer: Prepares
    zone: tzinfo
    bases: Sequence[str]
    """Our service base URLs without a final slash: all are ours in references, the first is written."""
    new_id: Callable[[], str]
    clock: Clock
    software_version: str
    update_create: bool = True
    integrity: Integrity = Integrity.OFF
    limits: Limits = field(default_factory=Limits)

    @property
    def registry(self) -> Registry:
        return self.tools.registry

    @property
    def validator(self) -> Validates:
        return self.tools.validator

    @property
    def indexer(self) -> Indexes:
        return self.tools.indexer

    @property
    def base(self) -> str:
        return self.bases[0]

    def url(self, key: Key, version: int | None = None) -> str:
        """Return the absolute URL of a resource, or of one version."""
        return f"{self.base}/{key}" if version is None else f"{self.base}/{key}/_history/{version}"
