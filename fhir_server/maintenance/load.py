"""load: resources and Bundles from files into a store, through the service, so by the rules that clients have.

A resource with an id is put there; one without gets an id made of its content. So a second run, after one that was
interrupted or had lines refused, finds what the first one stored and changes nothing of it: no journal is kept.
Where references are enforced, what comes before its targets waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from fhir_server.interactions.draft import Draft, written
from fhir_server.interactions.exchange import Request, Response
from fhir_server.maintenance.around import GATE, Gate, Gathering, Rehearsal
from fhir_server.maintenance.bundled import Loose, Posted, by_place, issues_of, loose, repeatable, unbundled, writes
from fhir_server.maintenance.documents import Document, Sources, documents
from fhir_server.maintenance.patience import patiently
from fhir_server.maintenance.postponed import Item, Sent, gives
from fhir_server.maintenance.progress import CommandFailed, Progress, unheard
from fhir_server.maintenance.turns import Turns
from fhir_server.maintenance.waiting import Waiting
from fhir_server.model.formats import Resource, parse
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, FhirError, InsufficientStorage, Issue, IssueType, Unavailable
from fhir_server.service import Service
from fhir_server.storage.protocol import Stored

WINDOW_RESOURCES: Final = 256
WINDOW_BYTES: Final = 4_000_000
"""What is written at the same time, whichever is reached first."""

_QUIET: Final = {"prefer": "return=minimal"}


class Refusal(NamedTuple):
    """What was not loaded: ``file``, ``file:line`` or ``file#entry[3]``, and why, without personal data."""

    place: str
    issues: tuple[Issue, ...]


@dataclass(slots=True)
class Loaded:
    """How many resources were created, updated, found as they are, deleted (by Bundles), refused."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Window:
    """Resources written at the same time: never two of one key, so that of two lines the later one counts."""

    items: dict[Key, Loose] = field(default_factory=dict)
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.items) >= WINDOW_RESOURCES or self.bytes >= WINDOW_BYTES


async def load(
    service: Service,
    given: Sources,
    *,
    refuse: Callable[[Refusal], None],
    dry_run: bool = False,
    progress: Progress = unheard,
) -> Loaded:
    """Write what the files hold. ``refuse`` takes each refusal when it happens; ``progress`` counts bytes of the files.

    ``dry_run`` runs everything and keeps nothing. Raises ``CommandFailed`` where the store cannot go on; what was
    written stays, and the command can run again.
    """
    store = service.context.store
    around = Gathering(Rehearsal(store) if dry_run else store)
    loader = _Loader(Service(replace(service.context, store=around)), refuse, dry_run=dry_run)
    try:
        for document in documents(given, service.context.limits.body_bytes):
            await loader.document(document)
            progress(document.read, given.bytes)
        await loader.end()
    finally:
        await loader.leave()
    progress(given.bytes, given.bytes)
    return loader.report


class _Loader:
    def __init__(self, service: Service, refuse: Callable[[Refusal], None], *, dry_run: bool) -> None:
        self._service = service
        self._context = service.context
        self._tell = refuse
        self._window = _Window()
        self._written: asyncio.Task[None] | None = None
        self._busy: Mapping[Key, Loose] = {}
        self._waiting = Waiting(self._context, is_rehearsal=dry_run)
        self._is_rehearsal = dry_run
        self.report = Loaded()

    def _refuse(self, place: str, issues: Iterable[Issue], resources: int = 1) -> None:
        self.report.refused += resources
        self._tell(Refusal(place, tuple(issues)))

    async def document(self, document: Document) -> None:
        """Load one text: a resource, or the resources of a Bundle."""
        place, size = document.place, len(document.data)
        try:
            resource = _parsed(document)
            if resource.get("resourceType") != "Bundle":
                await self._add(loose(resource, place), size)
            elif resource.get("type") in {"batch", "transaction"}:
                await self.flush()
                await self._post(place, resource)
            else:
                found, refused = unbundled(resource, place, self._context.registry.structures)
                for where, error in refused:
                    self._refuse(where, error.issues)
                for item in found:
                    await self._add(item, size // len(found))
        except FhirError as error:
            self._refuse(place, error.issues)

    # --- resources ---------------------------------------------------------------------------------------------------

    async def _add(self, item: Loose, size: int) -> None:
        if item.key in self._window.items or item.key in self._busy:
            await self.flush()
        self._window.items[item.key] = item
        self._window.bytes += size
        if self._window.is_full:
            await self._begin()

    async def flush(self) -> None:
        """Write what waits, and return when it is written."""
        await self._begin()
        await self._end()

    async def end(self) -> None:
        """Write what waits, first what can be written after all; refuse what cannot."""
        await self.flush()
        if self._is_rehearsal:
            await self._count_possible()
        else:
            await self._try_again()
            await self._close_circles()
            await self._try_again()
        await self._try_last()

    async def leave(self) -> None:
        """Let nothing run on, whatever became of it."""
        if self._written is not None:
            await asyncio.gather(self._written, return_exceptions=True)
        self._waiting.close()

    async def _begin(self) -> None:
        """Begin to write what waits, and end what was begun before: one window is prepared while one is written."""
        if not self._window.items:
            return
        before, window = self._written, self._window
        self._window, self._busy = _Window(), window.items
        self._written = asyncio.create_task(self._write(window.items.values()))
        if before is not None:
            await before

    async def _end(self) -> None:
        written, self._written, self._busy = self._written, None, {}
        if written is not None:
            await written

    async def _write(self, items: Collection[Loose]) -> None:
        """Write resources at the same time: the store makes few commits of them."""
        async with self._context.store.snapshot() as snapshot:
            there = await snapshot.read([item.key for item in items])
        gate = Gate(len(items))
        puts = (self._put(item, there.get(item.key), gate) for item in items)
        answers = await asyncio.gather(*puts, return_exceptions=True)
        for answer, item in zip(answers, items, strict=True):
            if isinstance(answer, FhirError):
                if not self._postpone(item, answer.issues):
                    self._refuse(item.place, answer.issues)
            elif isinstance(answer, BaseException):
                raise answer

    async def _put(self, item: Loose, there: Stored | None, gate: Gate) -> None:
        GATE.set(gate)
        try:
            if there is not None and _says(there, item):
                self.report.unchanged += 1
                return
            path = f"{quote(item.key.type, safe='')}/{quote(item.key.id, safe='')}"
            answer = await self._perform(Request("PUT", path, headers=_QUIET, resource=item.resource))
            self._count(answer.status)
            self._waiting.rehearsed([item.key])
            if self._waiting.drop(item.key):  # an earlier line of it, which counts no more
                self.report.unchanged += 1
        finally:
            if GATE.get() is gate:
                gate.leave()

    # --- Bundles that are posted -------------------------------------------------------------------------------------

    async def _post(self, place: str, bundle: Resource) -> None:
        """Post a batch or a transaction, unless an earlier run did, as the resources that it creates tell."""
        entries = repeatable(bundle, place)
        async with self._context.store.snapshot() as snapshot:
            there = await snapshot.read([entry.key for entry in entries if entry.key is not None])
        if there:
            kept = [] if bundle["type"] == "transaction" else [entry for entry in entries if entry.key not in there]
            self.report.unchanged += len(entries) - len(kept)
            if not kept:
                return
            entries = kept
        await self._send(Sent(place, {name: value for name, value in bundle.items() if name != "entry"}, entries))

    async def _send(self, sent: Sent) -> None:
        posted = {**sent.bundle, "entry": [entry.entry for entry in sent.entries]} if sent.entries else sent.bundle
        try:
            answer = await self._perform(Request("POST", "", headers=_QUIET, resource=posted))
        except FhirError as error:
            if not self._postpone(sent, error.issues):
                self._refuse_bundle(sent.place, sent.entries, error.issues)
            return
        for entry, told in zip(sent.entries, parse(b"".join(answer.body)).get("entry", []), strict=True):
            status = int(told["response"]["status"][:3])
            if status >= 400:
                issues = issues_of(told["response"].get("outcome", {}), status)
                if not self._postpone(sent._replace(entries=[entry]), issues):
                    self._refuse(entry.place, issues)
            elif writes(entry.entry):
                self._count(status)
                self._waiting.rehearsed(gives(entry))

    def _refuse_bundle(self, place: str, entries: Sequence[Posted], issues: Iterable[Issue]) -> None:
        """Tell what is wrong with each entry, and count all: nothing of the Bundle was stored."""
        self.report.refused += max(len(entries), 1)
        for where, own in by_place(issues, place, entries).items():
            self._tell(Refusal(where, tuple(own)))

    # --- what waits for its references -------------------------------------------------------------------------------

    def _postpone(self, item: Item, issues: Sequence[Issue]) -> bool:
        """Keep what was refused for its references alone; tell whether it was kept."""
        if not self._waiting.takes(issues):
            return False
        if self._waiting.add(item):
            self.report.unchanged += 1
        return True

    async def _try_again(self) -> None:
        """Write what waits, each after what it needs, until nothing more of it can be written."""
        while before := len(self._waiting):
            await self._in_turns(await self._waiting.turns())
            if len(self._waiting) == before:
                return

    async def _in_turns(self, turns: Turns) -> None:
        while places := turns.next(WINDOW_RESOURCES):
            given: set[Key] = set()
            for place in places:
                item, gives = self._waiting.take(place)
                given |= gives
                await self._again(item)
            await self.flush()
            turns.came(await self._waiting.there(given))

    async def _try_last(self) -> None:
        """Write, or else refuse, what waits."""
        with self._waiting.last_try() as items:
            for item in items:
                await self._again(item)
            await self.flush()

    async def _again(self, item: Item) -> None:
        if isinstance(item, Loose):
            await self._add(item, 0)
        else:
            await self.flush()
            await self._send(item)

    async def _close_circles(self) -> None:
        """Write together what refers to each other, in transactions."""
        for items in await self._waiting.circles():
            resources = [item for item in items if isinstance(item, Loose)]
            if len(resources) == len(items):
                await self._write_together(resources)

    async def _count_possible(self) -> None:
        """Count what waits and could be written after what a rehearsal would have written."""
        for item in await self._waiting.take_possible():
            self.report.created += 1 if isinstance(item, Loose) else sum(writes(entry.entry) for entry in item.entries)

    async def _write_together(self, items: Sequence[Loose]) -> None:
        entries = [{"resource": item.resource, "request": {"method": "PUT", "url": str(item.key)}} for item in items]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        try:
            answer = await self._perform(Request("POST", "", headers=_QUIET, resource=bundle))
        except FhirError:
            return  # each waits on, and is told for itself in the end
        for item, told in zip(items, parse(b"".join(answer.body))["entry"], strict=True):
            self._waiting.drop(item.key)
            self._count(int(told["response"]["status"][:3]))

    # --- both --------------------------------------------------------------------------------------------------------

    async def _perform(self, request: Request) -> Response:
        try:
            return await patiently(self._service, request)
        except Unavailable:
            told = "The store cannot be written now; run the command again, it goes on where it stopped."
        except InsufficientStorage:
            told = "The disk is full; make room and run the command again, it goes on there."
        raise CommandFailed(told)

    def _count(self, status: int) -> None:
        if status == 201:
            self.report.created += 1
        elif status == 204:
            self.report.deleted += 1
        else:
            self.report.updated += 1


def _says(there: Stored, item: Loose) -> bool:
    """Tell whether the store has this very resource: then it was checked when it came."""
    if there.body is None:
        return False
    if item.made:
        return True
    if not isinstance(item.resource.get("meta", {}), dict):
        return False
    return Draft(*written(item.resource, item.key), (), 0, ()).says(there.body)


def _parsed(document: Document) -> Resource:
    if document.fault:
        raise BadRequest(Issue(IssueType.TOO_LONG, document.fault, id="load-unreadable"))
    resource: Any = parse(document.data)
    if not isinstance(resource, dict):
        raise BadRequest(Issue(IssueType.STRUCTURE, "it is not a JSON object", id="body-not-object"))
    return resource
