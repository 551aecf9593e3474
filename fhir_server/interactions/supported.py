"""The profiles that are stored here, by the type of resource that they are of, as a CapabilityStatement tells them.

Spec: https://hl7.org/fhir/R4/capabilitystatement-definitions.html#CapabilityStatement.rest.resource.supportedProfile
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from fhir_server.interactions.pace import aside
from fhir_server.model.formats import parse
from fhir_server.search.query import And, Page, Query
from fhir_server.storage.protocol import Address, HistoryPage, Scope, Snapshot, Stored

_TYPE: Final = "StructureDefinition"
_TOGETHER: Final = 50
"""Definitions read at once; one with its snapshot has some hundred kilobytes."""

Profiles = Mapping[str, Sequence[str]]


class Supported:
    """What one process knows of them: read again when a definition has changed, and not for each statement."""

    def __init__(self) -> None:
        self._profiles: Profiles = {}
        self._newest: Address | None = None

    async def profiles(self, snapshot: Snapshot) -> Profiles:
        """Return type → the URLs of its profiles, in alphabetical order."""
        versions = (await snapshot.history(Scope(_TYPE), HistoryPage(1, bytes=1))).versions
        newest = versions[0].address if versions else None
        if newest != self._newest:
            self._profiles, self._newest = await _read(snapshot), newest
        return self._profiles


async def _read(snapshot: Snapshot) -> Profiles:
    found: set[tuple[str, str]] = set()
    page = Page(_TOGETHER)
    while True:
        matches = await snapshot.search(Query((_TYPE,), And(())), page)
        stored = [match.stored for match in matches.matches]
        found |= await aside(sum(len(one.body or b"") for one in stored), _profiles, stored)
        if not matches.more:
            return {type_: sorted(url for of, url in found if of == type_) for type_ in {of for of, _ in found}}
        page = Page(_TOGETHER, after=matches.matches[-1].cursor)


def _profiles(stored: Iterable[Stored]) -> set[tuple[str, str]]:
    """Return (type, URL) of what constrains a type of resource and is not retired."""
    definitions = (parse(one.body) for one in stored if one.body is not None)
    return {
        (one["type"], one["url"])
        for one in definitions
        if (one.get("kind"), one.get("derivation")) == ("resource", "constraint") and one.get("status") != "retired"
    }
