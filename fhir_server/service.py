"""The FHIR server without HTTP: a request in, a response out; each entry of a batch comes the same way.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Final

from fhir_server.interactions.batch import batch
from fhir_server.interactions.capabilities import capabilities
from fhir_server.interactions.context import Context
from fhir_server.interactions.definitions import Outdated, OutdatedWrite
from fhir_server.interactions.envelope import TRANSACTION, posted_bundle
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.history import history
from fhir_server.interactions.parameters import known
from fhir_server.interactions.patch import patch
from fhir_server.interactions.read import read, vread
from fhir_server.interactions.routes import Route, methods, route
from fhir_server.interactions.rules import Meant
from fhir_server.interactions.search import search
from fhir_server.interactions.single import create, delete, update
from fhir_server.interactions.transaction import transaction
from fhir_server.model.interaction import Interaction
from fhir_server.operations.perform import operation
from fhir_server.outcome import (
    BadRequest,
    FhirError,
    Gone,
    InsufficientStorage,
    Issue,
    IssueType,
    TooLarge,
    Unavailable,
)
from fhir_server.storage.protocol import (
    CommitTooLarge,
    CursorGone,
    QueryTimeout,
    QueryTooCostly,
    SchemaTooNew,
    StoreError,
    StoreFull,
)

Handler = Callable[[Context, Request, Route], Awaitable[Response]]

HANDLERS: Final[Mapping[Interaction, Handler]] = {
    Interaction.READ: read,
    Interaction.VREAD: vread,
    Interaction.CREATE: create,
    Interaction.UPDATE: update,
    Interaction.PATCH: patch,
    Interaction.DELETE: delete,
    Interaction.HISTORY_INSTANCE: history,
    Interaction.HISTORY_TYPE: history,
    Interaction.HISTORY_SYSTEM: history,
    Interaction.SEARCH_TYPE: search,
    Interaction.SEARCH_SYSTEM: search,
    Interaction.CAPABILITIES: capabilities,
    Interaction.OPERATION: operation,
}
"""What answers each interaction; batch and transaction are told apart by the Bundle."""


TRIES: Final = 5
"""How often a request is understood anew before its client is told to come back."""


class Service:
    """One running FHIR server."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def context(self) -> Context:
        """What it works with, under the definitions that this process knows of by now."""
        self._context = self._context.current
        return self._context

    @context.setter
    def context(self, context: Context) -> None:
        self._context = context

    def at(self, base: str) -> Service:
        """Return the same service for clients who use ``base``: it is written, the others are still ours."""
        others = (other for other in self.context.bases if other != base)
        return Service(replace(self.context, bases=(base, *others)))

    def methods(self, path: str) -> str:
        """Return the methods that a path has, as the ``Allow`` header writes them. Raises ``NotFound``."""
        return methods(path, self.context.registry)

    def meaning(self, meant: Meant) -> Service:
        """Return the same service for callers whose conditional updates mean one of several matches."""
        return Service(replace(self.context, meant=meant))

    async def perform(self, request: Request) -> Response:
        """Return the answer to a request, or raise ``FhirError``. Whatever else is raised is a bug."""
        try:
            return await self._under_current_definitions(request)
        except StoreError as error:
            raise _told(error) from error

    async def _under_current_definitions(self, request: Request) -> Response:
        """Do a request again where it was understood, or refused, under definitions that are no longer in force.

        A write waits for its turn to be done again: of many that change definitions, each outdates all others.
        """
        definitions, store = self._context.definitions, self._context.store
        is_outdated_write = False
        for attempt in range(TRIES):
            async with definitions.turn if is_outdated_write else nullcontext():
                if attempt:
                    await definitions.follow(store)
                context = self.context
                try:
                    return await self.answer(context, request)
                except Outdated as error:
                    is_outdated_write = isinstance(error, OutdatedWrite)
                except FhirError:
                    await definitions.follow(store)
                    if attempt + 1 == TRIES or definitions.tools is context.tools:
                        raise
        told = f"definitions changed {TRIES} times meanwhile; try again"
        raise Unavailable(Issue(IssueType.TRANSIENT, told, id="definitions-moved"), headers={"Retry-After": "1"})

    async def answer(self, context: Context, request: Request) -> Response:
        """Return the answer under the definitions of one context: what a guide's service does in its own way.

        Raises ``Outdated`` where others are in force, and ``FhirError``.
        """
        found = route(request.method, request.path, context.registry)
        if found.interaction is Interaction.BATCH:
            return await self._bundle(context, request)
        return await HANDLERS[found.interaction](context, request, found)

    async def _bundle(self, context: Context, request: Request) -> Response:
        known(request)
        envelope = await posted_bundle(context, request)
        answer = transaction if envelope.type == TRANSACTION else batch
        return await answer(context, request, envelope, self.perform)


def _told(error: StoreError) -> FhirError:
    """Return what a store's error means to a client."""
    match error:
        case CommitTooLarge():
            return TooLarge(Issue(IssueType.TOO_LONG, str(error), id="commit-limit"))
        case StoreFull():
            return InsufficientStorage(
                Issue(IssueType.NO_STORE, "the disk is full; nothing was stored", id="store-full")
            )
        case QueryTimeout() | QueryTooCostly():
            return BadRequest(Issue(IssueType.TOO_COSTLY, str(error), ("http",), id="query-too-costly"))
        case CursorGone():
            return Gone(Issue(IssueType.NOT_FOUND, str(error), ("http",), id="log-position"))
        case SchemaTooNew():
            return Unavailable(Issue(IssueType.TRANSIENT, str(error), id="store-newer"))
    told = "the store cannot answer now; try again"
    return Unavailable(Issue(IssueType.TRANSIENT, told, id="store-unavailable"), headers={"Retry-After": "1"})
