"""The composition root: opens a store, builds the service, mounts it. Alone in naming an engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from fhir_server import __version__
from fhir_server.definitions.aliases import together
from fhir_server.definitions.registry import DEFINITION_TYPES, Registry
from fhir_server.france import demo, importing
from fhir_server.france.demo.loading import load_missing
from fhir_server.france.guide import guide
from fhir_server.france.sas.base import Actor, SasBase, Version, read_base
from fhir_server.france.sas.push import PushOptions, Tls, push
from fhir_server.france.sas.service import SasLimits, SasService
from fhir_server.interactions.context import Context, Integrity, Limits
from fhir_server.interactions.definitions import Definitions
from fhir_server.interactions.guide import Guide
from fhir_server.interactions.pace import tune
from fhir_server.interactions.preparing import InProcesses, OnLoop
from fhir_server.interactions.profiles import Demands
from fhir_server.interactions.tools import Indexes, Tools
from fhir_server.interactions.writing.integrity import WithReferences
from fhir_server.logs import collect_less
from fhir_server.maintenance.installing import install
from fhir_server.maintenance.progress import CommandFailed, Progress
from fhir_server.maintenance.reindexing import reindexing
from fhir_server.operations.table import OPERATIONS
from fhir_server.rest import health
from fhir_server.rest.api import FhirApi
from fhir_server.rest.application import Application
from fhir_server.rest.cors import with_cors
from fhir_server.rest.door import Door, Doors
from fhir_server.rest.elsewhere import pointing
from fhir_server.rest.forwarded import ByForwarded
from fhir_server.rest.listed import Listed
from fhir_server.rest.peers import Trusted
from fhir_server.scheduling import guide as scheduling
from fhir_server.scheduling.actors import Overlap
from fhir_server.search.index import Indexer
from fhir_server.service import Service
from fhir_server.settings import BASE_PATH, Settings, SettingsError
from fhir_server.storage.protocol import Clock, Store, StoreLimits
from fhir_server.storage.sqlite import SqliteStore
from fhir_server.validation.validator import Validator

if TYPE_CHECKING:
    import httpx


def system_clock() -> int:
    """Return microseconds since the epoch."""
    return time.time_ns() // 1000


def random_id() -> str:
    """Return a UUID of version 4, as text: an id that nobody guesses."""
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class Parts:
    """What tests replace: the source of instants and of ids."""

    clock: Clock = system_clock
    new_id: Callable[[], str] = random_id


def create() -> FastAPI:
    """Build the application from the environment: what each worker process runs."""
    app = build(Settings.from_environment())
    collect_less()
    tune()
    return app


def build(settings: Settings, parts: Parts | None = None) -> FastAPI:
    """Build the application. Its lifespan opens and closes the store."""
    parts = parts or Parts()
    store = open_engine(settings, parts.clock)
    service = build_service(settings, store, parts)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await store.open()
        try:
            await service.context.followed()
            await install_definitions(settings, service)
            async with reindexing(service):
                yield
        finally:
            service.context.preparer.close()
            await store.close()

    app = Application(
        fhir_paths(settings, service),
        service,
        settings.base_url or (BASE_PATH,),
        door=make_door(settings),
        title="FHIR R4 server for the French CPTS",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,  # such a redirect repeats the client's Host
    )
    app.state.store = store
    app.state.service = service
    app.include_router(health.router)
    app.add_exception_handler(HTTPException, pointing(BASE_PATH))
    return app


def fhir_paths(settings: Settings, service: Service) -> dict[str, ASGIApp]:
    """Return what answers under each FHIR base path. Raises ``SettingsError`` for one that cannot be."""
    own_path = None if settings.base_url else BASE_PATH
    served = {BASE_PATH: _around(settings, service, settings.bases, BASE_PATH, own_path)}
    limits = SasLimits(settings.sas_results, settings.sas_identifiers)
    for base in sas_bases(settings):
        url = base.url or sas_url(settings, base.path)
        sas = SasService(service, base, url, limits)
        served[base.path] = _around(settings, sas, (url,), base.path, None if base.url else own_path and base.path)
    return served


def make_door(settings: Settings) -> Door | None:
    """Return what lets clients in, None where everybody comes in everywhere. Raises ``SettingsError``."""
    try:
        follows = Listed(settings.clients)
    except ValueError as error:
        raise SettingsError(f"FHIR_CLIENTS: {error}.") from None
    clients = follows.clients()
    if not clients and settings.sas_port is None:
        return None
    doors = Doors(
        clients,
        settings.clients_everywhere,
        sas_paths=tuple(base.path for base in sas_bases(settings)),
        sas_port=settings.sas_port,
        open_paths=health.PATHS,
        header=settings.client_header,
        verify_header=settings.client_verify_header,
    )
    return Door(doors, Trusted(settings.trusted_proxies), follows.clients)


def _around(settings: Settings, service: Service, bases: Sequence[str], path: str, own_path: str | None) -> ASGIApp:
    """Return the API of a service under a path, and around it what only some deployments need."""

    def under(base: str) -> ASGIApp:
        return FhirApi(service.at(base), path, settings.header_bytes)

    app: ASGIApp = FhirApi(service, path, settings.header_bytes)
    if settings.trusted_proxies:
        app = ByForwarded(app, under, trusted=settings.trusted_proxies, bases=bases, own_path=own_path)
    if settings.cors_origins:
        app = with_cors(app, settings.cors_origins)
    return app


def sas_bases(settings: Settings) -> tuple[SasBase, ...]:
    """Return the SAS base paths. Raises ``SettingsError`` for one that cannot be."""
    try:
        found = [read_base(text) for text in settings.sas_paths]
    except ValueError as error:
        raise SettingsError(f"FHIR_SAS_PATHS: {error}.") from None
    if settings.sas_rdv:
        found = [replace(base, actors=base.actors | {Actor.RDV}) for base in found]
    return tuple(found)


def sas_url(settings: Settings, path: str) -> str:
    """Return the URL of a SAS base path: beside the service base URL that clients use."""
    if not settings.base_url:
        return settings.sas_origin + path
    base = settings.base_url[0]
    return base.removesuffix(BASE_PATH) + path


@asynccontextmanager
async def opened(settings: Settings, parts: Parts | None = None) -> AsyncIterator[Service]:
    """Open the store that the settings name, and give the service over it: what maintenance works on."""
    parts = parts or Parts()
    store = open_engine(settings, parts.clock)
    await store.open()
    service = build_service(settings, store, parts)
    try:
        await service.context.followed()
        yield service
    finally:
        service.context.preparer.close()
        await store.close()


def is_there(settings: Settings) -> bool:
    """Tell whether the store exists: opening one that does not makes it."""
    if settings.is_mongodb:
        from fhir_server.storage.mongo import holds_log  # noqa: PLC0415 late: loading the driver takes a while

        return asyncio.run(holds_log(settings.store))
    return settings.sqlite_path.exists()


def open_engine(settings: Settings, clock: Clock) -> Store:
    """Return the store that the settings name, not yet open."""
    limits = StoreLimits(commit_bytes=settings.commit_bytes, query_seconds=settings.query_seconds)
    if settings.is_mongodb:
        from fhir_server.storage.mongo import MongoStore  # noqa: PLC0415 late: loading the driver takes a while

        return MongoStore(settings.store, clock=clock, limits=limits, definition_types=DEFINITION_TYPES)
    return SqliteStore(settings.sqlite_path, clock=clock, limits=limits, definition_types=DEFINITION_TYPES)


def make_guides(settings: Settings) -> tuple[Guide, ...]:
    """Return the implementation guides that the server follows."""
    french = guide(
        production=settings.production,
        refuse_check_digits=settings.check_digits == "refuse",
        unique_identifiers=settings.unique_identifiers,
    )
    if not settings.booking:
        return (french,)
    overlap = Overlap(settings.actor_overlap)
    return (french, scheduling.guide(settings.bases, is_parallel=settings.parallel_slots, overlap=overlap))


def make_tools(settings: Settings) -> Tools:
    """Return what resources are checked and indexed with."""
    guides = make_guides(settings)
    parameters = chain.from_iterable(one.parameters for one in guides)
    aliases = together(one.aliases for one in guides)
    registry = Registry.load(settings.types).with_parameters(parameters, generation=0)
    registry = registry.with_aliases(aliases).with_operations(OPERATIONS)
    validator = Validator(registry.structures, registry.types)
    checks = tuple(chain.from_iterable(one.checks for one in guides))
    return Tools(registry, validator, make_indexer(settings, registry), partial(make_indexer, settings), checks)


def make_indexer(settings: Settings, registry: Registry) -> Indexes:
    """Return what resources are indexed with, under one registry."""
    indexer: Indexes = Indexer(registry, settings.zone, settings.bases)
    return indexer if settings.integrity == Integrity.OFF else WithReferences(indexer, settings.bases)


def build_service(settings: Settings, store: Store, parts: Parts) -> Service:
    """Return the service over a store."""
    tools = make_tools(settings)
    own = partial(make_tools, settings)
    return Service(
        Context(
            store=store,
            tools=tools,
            definitions=Definitions(tools),
            preparer=InProcesses(own, settings.preparers) if settings.preparers else OnLoop(),
            zone=settings.zone,
            bases=settings.bases,
            new_id=parts.new_id,
            clock=parts.clock,
            software_version=__version__,
            update_create=settings.update_create,
            integrity=Integrity(settings.integrity),
            refuse_unknown_codes=settings.unknown_codes == "refuse",
            rules=tuple(chain.from_iterable(one.rules for one in make_guides(settings))),
            demands=Demands.read(settings.profiles, settings.claimed_profiles),
            limits=Limits(
                page_default=settings.page_default,
                page_maximum=settings.page_maximum,
                bundle_entries=settings.bundle_entries,
                delete_matches=settings.delete_matches,
                includes=settings.includes,
                count_seconds=settings.count_seconds,
                operation_wait_seconds=settings.operation_wait_seconds,
                body_bytes=settings.body_bytes,
                resource_bytes=settings.resource_bytes,
                answer_bytes=settings.answer_bytes,
            ),
        )
    )


async def install_definitions(settings: Settings, service: Service) -> None:
    """Store what is missing of this project's conformance resources and of the packages in their folder."""
    await install(service, own=settings.definitions, packages=settings.packages)


async def load_demo(settings: Settings, progress: Callable[[int, int], None], parts: Parts | None = None) -> None:
    """Write what is missing of the demonstration; ``progress`` takes the steps done and the steps in all."""
    async with opened(settings, parts) as service:
        await load_missing(service, progress)


def demo_requests(settings: Settings) -> Sequence[tuple[str, str]]:
    """Return titles and URLs of requests worth trying on the demonstration."""
    base = settings.bases[0]
    cpts, sos = (
        next((one.url or sas_url(settings, one.path) for one in sas_bases(settings) if actor in one.actors), base)
        for actor in (Actor.CPTS, Actor.SOS)
    )
    return demo.requests_worth_trying(base, cpts, sos, datetime.now(UTC))


async def import_file(
    settings: Settings,
    kind: str,
    path: Path,
    *,
    tell: Callable[[str], None],
    say: Callable[[str], None],
    bars: Callable[[str], Progress],
    parts: Parts | None = None,
    cpts: str | None = None,
    communes: Sequence[str] = (),
    **how: Any,
) -> int:
    """Import a file of one of ``importing.KINDS``; return how many refusals there were.

    ``how``: see ``importing.Options``. Raises ``CommandFailed``.
    """
    wish = importing.Wish(kind, path, cpts, tuple(communes), importing.Options(**how))
    async with opened(settings, parts) as service:
        tune()
        return (await importing.import_file(service, wish, tell=tell, say=say, bars=bars)).refused


async def describe_cpts(settings: Settings, key: str) -> str:
    """Return the description of a CPTS as YAML, as it was imported. Raises ``CommandFailed``."""
    async with opened(settings) as service:
        return await importing.describe(service, key)


async def push_appointments(settings: Settings, options: PushOptions, tell: Callable[[str], None]) -> Mapping[str, int]:
    """Tell the SAS platform of our appointments made for it; return how many messages were ``sent``, and how many are
    left: ``refused``, ``unsendable``, ``waiting``. Raises ``CommandFailed``."""
    async with opened(settings) as service:
        return asdict(await push(service, options, tell))


def push_options(*, to: str, journal: Path, guide: str, tls: Mapping[str, Any], **how: Any) -> PushOptions:
    """Return what ``push_appointments`` takes; ``tls``: see ``Tls``, ``how``: see ``PushOptions``."""
    return PushOptions(to, journal, Version(guide), tls=Tls(**tls), **how)


async def check_sas(
    base: str,
    *,
    rpps: Sequence[str],
    sirets: Sequence[str],
    guide: str,
    write: bool,
    tls: Mapping[str, Any],
    language: Literal["fr", "en"],
    width: int | None,
    tell: Callable[[str], None],
    transport: httpx.AsyncBaseTransport | None = None,
) -> tuple[bool, str]:
    """Play the SAS platform's requests against any server; return whether something failed, and the report: a table of
    ``width`` columns, JSON without. ``tls``: see ``Tls``; ``tell`` takes what is left on the
    server where the check is interrupted; ``transport``: the way to a server in process.

    Raises ``SettingsError`` for wrong use, ``CommandFailed`` where nothing can be checked.
    """
    from fhir_server.france.sas import checking  # noqa: PLC0415 late: servers need no client of HTTP

    try:
        wish = checking.Wish.read(base, rpps, sirets, guide, Tls(**tls), write=write)
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    report = checking.Report(wish.base, datetime.now(UTC), wish.version)
    try:
        await checking.play(wish, report, transport=transport)
    except checking.NotFhir as error:
        raise CommandFailed(error.fr if language == "fr" else error.en) from None
    except asyncio.CancelledError:
        for line in checking.leftovers(report, language):
            tell(line)
        raise
    return report.has_failed, checking.told(report, language, width)
