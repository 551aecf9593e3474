"""Conformance resources into a store: those of a guide, or of a FHIR package, where they differ from what is there.

An ImplementationGuide in the store records what was written: which files, under which ids, and a fingerprint of each.
So a later start that finds the same fingerprint reads one resource and is done; and a file that is as it was when it
was last written is left alone, whatever became of its resource since.
See ``docs/decisions/0019-files-of-definitions.md``.

Spec: https://hl7.org/fhir/R4/implementationguide.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, NamedTuple

from fhir_server.definitions.registry import CONFORMANCE_TYPES
from fhir_server.interactions.context import Integrity
from fhir_server.interactions.definitions import OutdatedWrite
from fhir_server.interactions.draft import Draft, written
from fhir_server.interactions.exchange import Request
from fhir_server.interactions.preparing import OnLoop
from fhir_server.interactions.writing.write import Intent, Written, write
from fhir_server.maintenance.load import Loaded, Refusal
from fhir_server.maintenance.progress import Progress, unheard
from fhir_server.maintenance.published import (
    RECORD,
    Published,
    Recorded,
    as_id,
    fingerprint_of,
    record_of,
    recorded,
    shortened,
)
from fhir_server.model.formats import Resource, parse, serialize
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import ID
from fhir_server.model.reference import Key
from fhir_server.outcome import (
    BadRequest,
    Conflict,
    FhirError,
    Issue,
    IssueType,
    PreconditionFailed,
    TooLarge,
    Unavailable,
    Unprocessable,
)
from fhir_server.service import Service
from fhir_server.storage.protocol import CommitTooLarge, Stored

WINDOW_BYTES: Final = 4_000_000
"""What is written in one commit, about: this project's own guide is one."""
TRIES: Final = 5


async def store_published(
    service: Service, published: Published, refuse: Callable[[Refusal], None], progress: Progress = unheard
) -> Loaded:
    """Write what differs, and its record. ``refuse`` takes what is not stored, and why; ``progress`` counts files.

    Several processes may do it at once: the record is written on the condition that it is what was read. Raises
    ``Unavailable`` if others did so several times, ``StoreError``.
    """
    for _ in range(TRIES):
        refusals: list[Refusal] = []
        try:
            report = await _Writer(service, published, refusals.append, progress).run()
        except PreconditionFailed:
            continue
        for refusal in refusals:
            refuse(refusal)
        return report
    told = f"{published} is being stored by several processes; try again"
    raise Unavailable(Issue(IssueType.TRANSIENT, told, id="definitions-moved"))


async def recorded_fingerprints(service: Service) -> frozenset[str]:
    """Return the fingerprints of what is stored as the records tell, to leave alone what is known without reading it.

    Raises ``FhirError``, ``StoreError``.
    """
    if RECORD not in service.context.registry.types:
        return frozenset()
    answer = await service.perform(Request("GET", RECORD, "_elements=extension&_count=1000"))
    entries = parse(b"".join(answer.body)).get("entry", ())
    return frozenset(fingerprint_of(entry["resource"]) for entry in entries)


class _Item(NamedTuple):
    """One file that is to be written."""

    name: str
    key: Key
    resource: Resource
    mark: str


@dataclass(slots=True)
class _Window:
    items: list[_Item] = field(default_factory=list)
    bytes: int = 0


class _Writer:
    def __init__(
        self, service: Service, published: Published, refuse: Callable[[Refusal], None], progress: Progress
    ) -> None:
        self._service = service
        self._context = service.context
        self._published = published
        self._refuse = refuse
        self._progress = progress
        self._taken: set[Key] = set()
        self._before: dict[str, Recorded] = {}
        self._entries: dict[str, Recorded] = {}
        self._refused: list[str] = []
        self._window = _Window()
        self.report = Loaded()

    async def run(self) -> Loaded:
        """Write what differs; without a place for the record nothing is written."""
        if RECORD not in self._context.registry.types:
            self._refuse_file(f"{RECORD}/{self._published.id}", [_not_served(RECORD)])
            return self.report
        key = Key(RECORD, self._published.id)
        stored = await self._context.store.read(key)
        record = parse(stored.body) if stored is not None and stored.body is not None else {}
        self._before = dict(recorded(record))
        if fingerprint_of(record) == self._published.fingerprint:
            self.report.unchanged = len(self._before)
            return self.report
        for done, (name, resource) in enumerate(self._published.files()):
            await self._take(name, resource, self._before.get(name))
            self._progress(done, self._published.count)
        await self._flush(self._record(stored))
        return self.report

    async def _take(self, name: str, resource: Resource, was: Recorded | None) -> None:
        type_ = resource.get("resourceType")
        if type_ not in CONFORMANCE_TYPES or type_ not in self._context.registry.types:
            self._refuse_file(name, [_not_served(type_)])
            return
        data = serialize(resource)
        if len(data) > self._context.limits.resource_bytes:
            told = f"it has {len(data)} bytes; the limit of one resource is {self._context.limits.resource_bytes}"
            self._refuse_file(name, [Issue(IssueType.TOO_LONG, told, id="resource-limit")])
            return
        mark = sha256(data).hexdigest()
        if was is not None and was.mark == mark:
            self._entries[name] = was
            self._taken.add(Key(*was.reference.split("/")))
            self.report.unchanged += 1
            return
        key = await self._key(name, type_, resource, was)
        self._taken.add(key)
        self._window.items.append(_Item(name, key, {**resource, "id": key.id}, mark))
        self._window.bytes += len(data)
        if self._window.bytes >= WINDOW_BYTES:
            await self._flush()

    async def _key(self, name: str, type_: str, resource: Resource, was: Recorded | None) -> Key:
        """Return where a resource is stored: under its own id, or one made from package and canonical if that is no
        id, or is another's."""
        if was is not None and was.reference.startswith(f"{type_}/"):
            return Key(*was.reference.split("/"))
        own = resource.get("id")
        if isinstance(own, str) and ID.fullmatch(own):
            key = Key(type_, own)
            if self._published.has_ids or (key not in self._taken and await self._is_free(key, resource)):
                return key
        stem = as_id(own if isinstance(own, str) and own else name.removesuffix(".json"))
        return Key(type_, shortened(stem, f"{self._published}|{resource.get('url', name)}"))

    async def _is_free(self, key: Key, resource: Resource) -> bool:
        """Tell whether nothing stands under a key, or this very content."""
        stored = await self._context.store.read(key)
        if stored is None or stored.body is None:
            return True
        meta = resource.get("meta", {})
        return isinstance(meta, dict) and Draft(*written(resource, key), (), 0, ()).says(stored.body)

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _flush(self, record: Callable[[], Intent] | None = None) -> None:
        """Write what waits, and the record behind it; one by one if something of it is refused."""
        items, self._window = self._window.items, _Window()
        async with self._context.store.snapshot() as snapshot:
            there = await snapshot.read([item.key for item in items])
        for item in items:
            self._entries[item.name] = Recorded(str(item.key), item.mark)
        try:
            last = [record()] if record else []
            done = await self._write([*map(_intent, items), *last])
        except (FhirError, CommitTooLarge) as error:
            if not _is_final(error):
                raise
            for item in items:
                await self._write_alone(item, there)
            if record:
                await self._write([record()])
        else:
            for item, one in zip(items, done, strict=False):
                self._count(one, there.get(item.key))

    async def _write_alone(self, item: _Item, there: Mapping[Key, Stored]) -> None:
        try:
            (done,) = await self._write([_intent(item)])
        except CommitTooLarge as error:
            self._refuse_file(item.name, [Issue(IssueType.TOO_LONG, str(error), id="commit-limit")])
        except FhirError as error:
            if not _is_final(error):
                raise
            self._refuse_file(item.name, error.issues)
        else:
            self._count(done, there.get(item.key))

    async def _write(self, intents: Sequence[Intent]) -> list[Written]:
        """Write under the definitions in force, also where the own SearchParameters have just changed them."""
        for _ in range(TRIES):
            context = await self._service.context.followed()
            quiet = replace(context, update_create=True, integrity=Integrity.OFF, preparer=OnLoop())
            with suppress(OutdatedWrite):
                return await write(quiet, intents)
        raise Unavailable(Issue(IssueType.TRANSIENT, "definitions keep changing; try again", id="definitions-moved"))

    def _count(self, done: Written, there: Stored | None) -> None:
        if done.status == 201:
            self.report.created += 1
        elif there is not None and done.stored is not None and done.stored.version == there.version:
            self.report.unchanged += 1
        else:
            self.report.updated += 1

    def _refuse_file(self, name: str, issues: Sequence[Issue]) -> None:
        self._entries.pop(name, None)
        if name in self._before:  # its resource stays as it was
            self._entries[name] = self._before[name]
        self._refused.append(f"{name}: {issues[0].diagnostics}")
        self.report.refused += 1
        self._refuse(Refusal(f"{self._published}/{name}", tuple(issues)))

    def _record(self, stored: Stored | None) -> Callable[[], Intent]:
        """Return what makes the record, to be written only if it is as it was read."""
        exists = stored is not None and stored.body is not None
        matches = frozenset((str(stored.version),)) if stored is not None and exists else None

        def record() -> Intent:
            resource = record_of(self._published, self._entries, self._refused)
            return Intent(
                Interaction.UPDATE,
                RECORD,
                id=self._published.id,
                resource=resource,
                if_match=matches,
                only_if_absent=not exists,
            )

        return record


def _intent(item: _Item) -> Intent:
    return Intent(Interaction.UPDATE, item.key.type, id=item.key.id, resource=item.resource)


def _is_final(error: FhirError | CommitTooLarge) -> bool:
    """Tell whether what was refused would be refused again: not if it was the moment that was wrong."""
    if isinstance(error, CommitTooLarge):
        return True
    is_final = isinstance(error, (BadRequest, Conflict, TooLarge, Unprocessable))
    return is_final and all(issue.code is not IssueType.CONFLICT for issue in error.issues)


def _not_served(type_: object) -> Issue:
    told = f"{type_} is no conformance resource that is served here" if type_ else "it is not a resource"
    return Issue(IssueType.NOT_SUPPORTED, told)
