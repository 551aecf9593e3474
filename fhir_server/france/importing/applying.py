"""The changes of an import are written in transactions, each on the condition that nobody changed the same meanwhile.

What a transaction wrote stays. An interrupted import is run again: it finds what is written already, and goes on.
Spec: https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from fhir_server.france.importing.ledger import Change, Ledger
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.draft import Draft, Raw, Ready, written
from fhir_server.interactions.exchange import Request
from fhir_server.interactions.preparing import Prepares
from fhir_server.interactions.tools import Tools
from fhir_server.maintenance.patience import patiently
from fhir_server.maintenance.progress import CommandFailed, Progress
from fhir_server.model.reference import Key
from fhir_server.outcome import FhirError
from fhir_server.service import Service

CHUNK: Final = 200
"""Changes of one transaction."""

_ENTRY: Final = re.compile(r"Bundle\.entry\[(\d+)\]")


async def apply(service: Service, ledger: Ledger, progress: Progress) -> None:
    """Write all changes. Raises ``CommandFailed`` where that cannot be, saying what was written and what remains."""
    done, total = 0, ledger.count_changes()
    made = _Made(service.context.preparer)
    service = Service(replace(service.context, preparer=made))
    for chunk in ledger.changes(min(CHUNK, service.context.limits.bundle_entries)):
        made.drafts = {change.key: change.draft for change in chunk}
        try:
            await _post(service, chunk)
        except FhirError as error:
            raise CommandFailed(_stopped(error, chunk, done, total)) from None
        done += len(chunk)
        progress(done, total)


class _Made:
    """Gives what the comparison has made ready; what is not that any more is made ready anew."""

    def __init__(self, otherwise: Prepares) -> None:
        self._otherwise = otherwise
        self.drafts: Mapping[Key, Draft] = {}

    async def prepare(self, tools: Tools, raw: Sequence[Raw]) -> list[Ready]:
        """Return what became of each."""
        ready = [self._draft(tools, one) for one in raw]
        missing = [one for one, draft in zip(raw, ready, strict=True) if draft is None]
        anew = iter(await self._otherwise.prepare(tools, missing) if missing else ())
        return [next(anew) if draft is None else draft for draft in ready]

    def _draft(self, tools: Tools, raw: Raw) -> Draft | None:
        found = self.drafts.get(raw.key)
        if found is None or found.generation != tools.registry.generation:
            return None
        return found if written(raw.resource, raw.key) == (found.before, found.after) else None

    def close(self) -> None:
        """Nothing: whoever opened the store ends what prepares."""


async def _post(service: Service, chunk: Sequence[Change]) -> None:
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(change) for change in chunk]}
    request = Request("POST", "", headers={"prefer": "return=minimal"}, resource=bundle)
    await patiently(service, request)


def _entry(change: Change) -> Json:
    condition = {"ifMatch": f'W/"{change.version}"'} if change.version else {"ifNoneMatch": "*"}
    return {"resource": change.after, "request": {"method": "PUT", "url": str(change.key), **condition}}


def _stopped(error: FhirError, chunk: Sequence[Change], done: int, total: int) -> str:
    issue = error.issues[0]
    match = _ENTRY.match(issue.expression[0]) if issue.expression else None
    change = chunk[int(match[1])] if match and int(match[1]) < len(chunk) else None
    what = f"{change.key}{f' ({change.place})' if change.place else ''} : " if change else ""
    return (
        f"Le serveur a refusé une écriture : {what}{issue.diagnostics}. Écrit : {done} ; reste : {total - done}. "
        "Ce qui est écrit reste ; relancez la même commande pour continuer."
    )
