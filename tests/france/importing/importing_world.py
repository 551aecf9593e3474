"""A store to import into, and what a test wants to know of it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_server.app import Parts, opened
from fhir_server.france.importing import Options, Wish, import_file
from fhir_server.france.importing.findings import Place, Refused, Remark
from fhir_server.france.importing.ledger import Ledger
from fhir_server.france.importing.run import Import
from fhir_server.france.importing.source import Owner, Told, Wanted
from fhir_server.interactions.exchange import Request
from fhir_server.model.formats import parse
from fhir_server.service import Service
from fhir_server.settings import Settings

START = 1_767_600_000_000_000
"""2026-01-05T08:00:00Z, in microseconds; each look at the clock is one second later."""

Json = dict[str, Any]


@asynccontextmanager
async def world(store: str, **settings: Any) -> AsyncIterator[World]:
    """Give a store by its URL."""
    seconds, numbers = itertools.count(), itertools.count(1)
    parts = Parts(clock=lambda: START + next(seconds) * 1_000_000, new_id=lambda: f"id-{next(numbers)}")
    async with opened(Settings(store=store, **{"update_create": True, **settings}), parts) as service:
        yield World(service)


@dataclass
class Fake:
    """A source that says what a test gives it."""

    items: Sequence[Wanted | Refused | Remark]
    owner: Owner = field(default_factory=lambda: Owner("annuaire", "france"))
    each_line: bool = False
    position: tuple[int, int] = (0, 0)

    def __iter__(self) -> Iterator[Wanted | Refused | Remark]:
        return iter(self.items)


@dataclass
class World:
    """A service, and what the last import said."""

    service: Service
    told: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def run(self, source: Fake, run: str = "run", **how: Any) -> Told:
        """Import what a source says; return the sums."""
        self.told = []
        with closing(Ledger()) as ledger:
            work = Import(self.service, source, run, Options(**how), ledger)
            await work.prepare(lambda finding: self.told.append(str(finding)))
            await work.write()
            return work.told

    async def file(
        self, kind: str, path: Path, *, cpts: str | None = None, communes: Iterable[str] = (), **how: Any
    ) -> Told:
        """Import a file as the command does."""
        self.told, self.said = [], []
        wish = Wish(kind, path, cpts, tuple(communes), Options(**how))
        return await import_file(self.service, wish, tell=self.told.append, say=self.said.append)

    async def get(self, path: str, query: str = "") -> Json:
        """Return the answer to a GET."""
        answer = await self.service.perform(Request("GET", path, query))
        found: Json = parse(b"".join(answer.body))
        return found

    async def ids(self, path: str, query: str) -> list[str]:
        """Return the ids that a search finds, sorted."""
        return sorted(entry["resource"]["id"] for entry in (await self.get(path, query)).get("entry", ()))

    async def put(self, resource: Json) -> None:
        """Write a resource as a client does."""
        await self.service.perform(Request("PUT", f"{resource['resourceType']}/{resource['id']}", resource=resource))

    async def head(self) -> int:
        """Return the number of the last commit."""
        return (await self.service.context.store.head()).number


def write(path: Path, content: str | bytes) -> None:
    """Write a file that is imported next."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def numbers(told: Told) -> tuple[int, int, int, int, int]:
    """Return created, updated, deactivated, unchanged, left."""
    counts = told.counts
    return counts.created, counts.updated, counts.deactivated, counts.unchanged, counts.left


def organization(id_: str, name: str, **more: Any) -> Wanted:
    """Return an organisation that a source wants."""
    level = int("partOf" in more)
    return Wanted(
        {"resourceType": "Organization", "id": id_, "active": True, "name": name, **more}, Place("f", 1), level
    )


def person(id_: str, idnps: str, **more: Any) -> Wanted:
    """Return a professional that a source wants."""
    identifier = [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": idnps}]
    resource = {"resourceType": "Practitioner", "id": id_, "identifier": identifier, "active": True, **more}
    return Wanted(resource, Place("f", 1))


def role(id_: str, practitioner: str, organization_: str) -> Wanted:
    """Return a role that a source wants."""
    return Wanted(
        {
            "resourceType": "PractitionerRole",
            "id": id_,
            "active": True,
            "practitioner": {"reference": f"Practitioner/{practitioner}"},
            "organization": {"reference": f"Organization/{organization_}"},
        },
        Place("f", 1),
    )
