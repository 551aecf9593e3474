"""What the interactions work with: the store, the definitions in force, and the service's own settings."""

from __future__ import annotations

from asyncio import Lock, Semaphore
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from enum import StrEnum
from typing import Final

from fhir_server.definitions.builtin import Builtin
from fhir_server.definitions.registry import Registry
from fhir_server.interactions.definitions import Definitions
from fhir_server.interactions.preparing import Prepares
from fhir_server.interactions.profiles import Demands
from fhir_server.interactions.rules import Meant, Rule
from fhir_server.interactions.shelf import Shelf
from fhir_server.interactions.supported import Supported
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
    operation_wait_seconds: float = 10.0
    body_bytes: int = 20_000_000
    resource_bytes: int = 2_000_000
    answer_bytes: int = 50_000_000


OPERATIONS_AT_ONCE: Final = 2
"""An expansion keeps a reader of the store for seconds; the others are for reads and searches."""


@dataclass(frozen=True, slots=True)
class Context:
    """One running service, as one request sees it: ``tools`` are the definitions that it is understood under."""

    store: Store
    tools: Tools
    definitions: Definitions
    preparer: Prepares
    zone: tzinfo
    bases: Sequence[str]
    """Our service base URLs without a final slash: all are ours in references, the first is written."""
    new_id: Callable[[], str]
    clock: Clock
    software_version: str
    update_create: bool = True
    integrity: Integrity = Integrity.OFF
    refuse_unknown_codes: bool = False
    """Whether a search for a code outside of a required value set is refused."""
    limits: Limits = field(default_factory=Limits)
    rules: Sequence[Rule] = ()
    """What guides demand of writes."""
    turn: Lock = field(default_factory=Lock)
    """Held by a write that others were faster than, again and again, while it is prepared and written once more."""
    operating: Semaphore = field(default_factory=lambda: Semaphore(OPERATIONS_AT_ONCE))
    """Held by each operation while it works."""
    demands: Demands = field(default_factory=Demands)
    """The profiles that what is written must conform to."""
    shelf: Shelf = field(default_factory=Shelf)
    """The conformance resources that this process has parsed; see ``library``."""
    supported: Supported = field(default_factory=Supported)
    """The profiles that are stored, for the CapabilityStatement."""
    meant: Meant | None = None
    """Which match a conditional update means, where a guide's caller has it otherwise than R4: then the criteria alone
    name the resource, and an id in the body says nothing."""

    @property
    def current(self) -> Context:
        """The same service, under the definitions that this process knows of by now."""
        tools = self.definitions.tools
        return self if tools is self.tools else replace(self, tools=tools)

    async def followed(self) -> Context:
        """Return the same service, under the definitions in force at the head of the log."""
        await self.definitions.follow(self.store)
        return self.current

    @property
    def registry(self) -> Registry:
        """The definitions in force."""
        return self.tools.registry

    @property
    def validator(self) -> Validates:
        """What checks resources."""
        return self.tools.validator

    @property
    def indexer(self) -> Indexes:
        """What tells by which values resources are found."""
        return self.tools.indexer

    @property
    def builtin(self) -> Builtin:
        """The conformance resources that are always there."""
        return Builtin.of(self.tools.registry.structures)

    @property
    def base(self) -> str:
        """The service base URL that is written."""
        return self.bases[0]

    def url(self, key: Key, version: int | None = None) -> str:
        """Return the absolute URL of a resource, or of one version."""
        return f"{self.base}/{key}" if version is None else f"{self.base}/{key}/_history/{version}"
