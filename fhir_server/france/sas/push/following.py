"""The log is followed: what each change of one of our appointments for the SAS means to the platform, into the journal.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R03)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

import httpx

from fhir_server.france.sas.base import Version
from fhir_server.france.sas.push.journal import Journal
from fhir_server.france.sas.push.outgoing import STATUS, Unsendable, cancelled, is_for_sas, outgoing, wanted
from fhir_server.france.sas.push.platform import Platform, Tls
from fhir_server.france.sas.push.sending import Clock, Remains, Sending, Tell
from fhir_server.interactions.context import Context
from fhir_server.model.formats import Resource, parse
from fhir_server.model.reference import Key, local
from fhir_server.service import Service
from fhir_server.storage.protocol import Snapshot, Stored, StoreUnavailable

POLL: Final = 1.0
"""Seconds between two looks at the log."""

_TOGETHER: Final = 200
_APART: Final = 10_000
"""So many changes of appointments, or commits at most, are one step of the journal."""

_NAMED: Final = frozenset({"Practitioner", "PractitionerRole", "Location"})
"""Types whose change may make sendable what was not."""


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What is pushed, and how. ``to``: the base URL of the platform. ``follow``: until it is stopped.
    ``forget_refused``: what was refused before is not tried again, and no longer counted.
    ``transport``, ``sleep`` and ``now`` replace the network and the time."""

    to: str
    journal: Path
    version: Version = Version.V1_2
    follow: bool = False
    forget_refused: bool = False
    tls: Tls = field(default_factory=Tls)
    transport: httpx.AsyncBaseTransport | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Clock = time.monotonic


async def push(service: Service, options: PushOptions, tell: Tell) -> Remains:
    """Send what is new since the last run, and what it left; ``tell`` takes a line for each trouble, without personal
    data. Raises ``CommandFailed``."""
    context = service.context
    platform = Platform(options.to, options.tls, options.transport)
    try:
        head = await context.store.head()
        journal = Journal(options.journal, head.log_id, options.to.rstrip("/"))
        try:
            return await _Pushing(context, journal, platform, options, tell).run()
        finally:
            journal.close()
    finally:
        await platform.close()


class _Pushing:
    """One run."""

    def __init__(
        self, context: Context, journal: Journal, platform: Platform, options: PushOptions, tell: Tell
    ) -> None:
        self._context, self._journal, self._options, self._tell = context, journal, options, tell
        self._sending = Sending(journal, platform, tell, options.follow, options.now)
        self._is_worth_retrying = True
        self._is_down = False

    async def run(self) -> Remains:
        if self._options.forget_refused:
            self._journal.forget_refused()
        self._journal.again()
        while True:
            await self._look()
            await self._sending.send()
            due = self._sending.due()
            if self._options.follow:
                due = POLL if due is None else min(POLL, due)
            elif due is None:
                return self._sending.remains()
            await self._options.sleep(due)

    async def _look(self) -> None:
        """Read the log as far as it goes; while it is followed, a store that cannot answer is waited for."""
        try:
            await self._read()
            self._is_down = False
        except StoreUnavailable:
            if not self._options.follow:
                raise
            if not self._is_down:
                self._tell("The store cannot answer now; it is tried again.")
            self._is_down = True

    async def _read(self) -> None:
        if self._is_worth_retrying:
            await self._retry()
            self._is_worth_retrying = False
        with self._journal.together():
            position = reached = self._journal.position
        changes: list[Stored] = []
        async for commit in self._context.store.log(position):
            changes += (change for change in commit.changes if change.key.type == "Appointment")
            self._is_worth_retrying |= any(change.key.type in _NAMED for change in commit.changes)
            reached = commit.number
            if len(changes) >= _TOGETHER or reached - position >= _APART:
                await self._take(changes, reached)
                changes, position = [], reached
        if reached > position:
            await self._take(changes, reached)

    async def _take(self, changes: Sequence[Stored], number: int) -> None:
        """Bring the journal to a commit in one step; ``changes``: of appointments, up to it."""
        async with self._context.store.snapshot() as snapshot:
            with self._journal.together():
                for change in changes:
                    await self._plan(snapshot, change)
                self._journal.reach(number)

    async def _retry(self) -> None:
        """Try again what could not be told: a number may have come since."""
        async with self._context.store.snapshot() as snapshot:
            with self._journal.together():
                for seq, id_, version in self._journal.unsendable():
                    self._journal.drop(seq)
                    change = await snapshot.vread(Key("Appointment", id_), version)
                    if change is not None:
                        await self._plan(snapshot, change)

    async def _plan(self, snapshot: Snapshot, change: Stored) -> None:
        """Put into the journal what a change means to the platform, if it means anything."""
        id_ = change.key.id
        last = self._journal.last(id_)
        appointment: Resource | None = None if change.body is None else parse(change.body)
        if last is None and (appointment is None or not is_for_sas(appointment)):
            self._journal.settle(id_)
            return
        try:
            body = cancelled(last) if appointment is None else await self._outgoing(snapshot, appointment, last)
        except Unsendable as error:
            self._journal.cannot(id_, change.version, str(error))
            self._tell(f"Appointment/{id_}, version {change.version}: cannot be sent: {error}.")
            return
        is_told = appointment is None or appointment.get("status") in STATUS
        if is_told:
            self._journal.settle(id_)
        if body is not None and body != last:
            self._journal.plan(id_, change.version, body)

    async def _outgoing(self, snapshot: Snapshot, appointment: Resource, last: Resource | None) -> Resource | None:
        url = self._context.url(Key("Appointment", appointment["id"]))
        spare = {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid5(NAMESPACE_URL, url)}"}
        texts = list(wanted(appointment))
        related = {text: found for text in texts if (found := await self._led_to(snapshot, appointment, text))}
        return outgoing(appointment, self._options.version, related, last, spare)

    async def _led_to(self, snapshot: Snapshot, within: Resource, text: str) -> Resource | None:
        """Return what a reference leads to: of a role, the professional who has it."""
        found = await self._read_one(snapshot, within, text)
        if found is not None and found["resourceType"] == "PractitionerRole":
            return await self._read_one(snapshot, within, found.get("practitioner", {}).get("reference", ""))
        return found

    async def _read_one(self, snapshot: Snapshot, within: Resource, text: str) -> Resource | None:
        if text.startswith("#"):
            return next((one for one in within.get("contained", ()) if one.get("id") == text[1:]), None)
        named = local(text, self._context.bases)
        stored = None if named is None else (await snapshot.read([named.key])).get(named.key)
        return None if stored is None or stored.body is None else parse(stored.body)
