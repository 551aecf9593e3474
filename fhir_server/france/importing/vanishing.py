"""What a source manages and its files no longer have: it is made inactive, and keeps its tag.

Where another source of its kind manages it too, it only loses the tag of this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from fhir_server.france.importing.ledger import Action, Ledger
from fhir_server.france.importing.source import RUNS, SOURCES, TYPES, Owner, Told
from fhir_server.france.importing.tagged import client_meta, ended, is_active, managed, managers
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.draft import Draft, Raw
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.formats import parse
from fhir_server.model.reference import Key
from fhir_server.service import Service

_PERIODS: Final = frozenset(("PractitionerRole", "OrganizationAffiliation", "CareTeam"))
"""Types whose period ends the day they vanish."""


async def vanished(service: Service, ledger: Ledger, owner: Owner, told: Told, today: date, *, hold_back: bool) -> None:
    """Note as deactivated what the source manages and the files no longer have; the later types first.

    ``hold_back``: only count it. Raises ``CommandFailed`` where something could not be written so.
    """
    for type_ in reversed(TYPES):
        async for page in managed(service, type_, owner):
            keys = [stored.key for stored in page]
            undecided = set(keys) - ledger.decided(keys)  # the comparison has counted the others
            there = {one.key: parse(one.body) for one in page if one.key in undecided and one.body is not None}
            active = {key: resource for key, resource in there.items() if is_active(resource)}
            told.managed += len(active)
            gone = sorted(active.keys() - ledger.wants(active))
            if hold_back:
                told.held_back += len(gone)
            else:
                await _note(service, ledger, owner, told, today, [active[key] for key in gone])


async def _note(service: Service, ledger: Ledger, owner: Owner, told: Told, today: date, gone: Sequence[Json]) -> None:
    after = [_without(resource, owner, told.run, today) for resource in gone]
    raw = [Raw(resource, _key(resource), "") for resource in after]
    ready = await service.context.preparer.prepare(service.context.tools, raw)
    for before, key, draft in zip(gone, (one.key for one in raw), ready, strict=True):
        if not isinstance(draft, Draft):
            raise CommandFailed(
                f"{key} n'est plus dans le fichier et ne peut pas être désactivé : {draft[0].diagnostics}. "
                "Rien n'a été écrit. Corrigez d'abord cette ressource dans le serveur."
            )
        is_others = managers(before) != {str(owner)}
        told.counts.updated += is_others
        told.counts.deactivated += not is_others
        ledger.change(Action.UPDATE if is_others else Action.DEACTIVATE, key, "", draft, before)


def _without(resource: Json, owner: Owner, run: str, today: date) -> Json:
    """Return what becomes of a resource that its source has no longer."""
    others = sorted(managers(resource) - {str(owner)})
    kept = [tag for tag in resource["meta"]["tag"] if tag.get("system") not in {SOURCES, RUNS}]
    sources = [{"system": SOURCES, "code": code} for code in others or [str(owner)]]
    meta = {**client_meta(resource), "tag": [*kept, *sources, {"system": RUNS, "code": run}]}
    after = {**resource, "meta": meta}
    if not others:
        name, value = ended(resource["resourceType"])
        after[name] = value
        if resource["resourceType"] in _PERIODS:
            after["period"] = {"end": today.isoformat(), **resource.get("period", {})}
    return after


def _key(resource: Json) -> Key:
    return Key(resource["resourceType"], resource["id"])
