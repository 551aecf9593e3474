"""What the files want is compared with what the store has: the changes, and what has vanished from the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, Final

from fhir_server.france.importing.findings import Refused
from fhir_server.france.importing.ledger import Action, Ledger
from fhir_server.france.importing.matching import Ambiguous, Known, claims
from fhir_server.france.importing.source import RANKS, RUNS, SOURCES, TYPES, Owner, Told, Wanted
from fhir_server.france.importing.tagged import ended, is_active, managed
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.draft import check
from fhir_server.maintenance.progress import Progress
from fhir_server.model.reference import Key
from fhir_server.service import Service

PAGE: Final = 200

_PERIODS: Final = frozenset(("PractitionerRole", "OrganizationAffiliation", "CareTeam"))
"""Types whose period ends the day they vanish."""


class Comparison:
    """Compares one run with the store; what is found goes to the ledger, what is refused to ``refuse``."""

    def __init__(
        self, service: Service, ledger: Ledger, owner: Owner, told: Told, refuse: Callable[[Refused], None], adopt: bool
    ) -> None:
        self._service, self._ledger, self._owner, self._told = service, ledger, owner, told
        self._tell, self._adopt = refuse, adopt
        self._known = Known(service)
        self._refused: set[Key] = set()

    async def compare(self, progress: Progress) -> None:
        """Decide what becomes of everything that is wanted."""
        done, total = 0, self._ledger.count_wanted()
        for chunk in self._ledger.wanted(PAGE):
            there = await self._known.read(chunk)
            for wanted in chunk:
                self._decide(wanted, there[wanted.key])
            done += len(chunk)
            progress(done, total)

    def _refuse(self, wanted: Wanted, reason: str, remedy: str) -> None:
        self._refused.add(wanted.key)
        self._tell(Refused(wanted.place, reason, remedy, (wanted.key,)))

    def _decide(self, wanted: Wanted, found: Json | Ambiguous | None) -> None:
        if self._refused and not self._refused.isdisjoint(targets(wanted.resource)):
            self._refuse(wanted, "dépend d'une ressource refusée", "corrigez celle-ci d'abord")
            return
        if isinstance(found, Ambiguous):
            told = f"plusieurs {wanted.key.type} du serveur ont l'un de ses identifiants : {', '.join(found.ids)}"
            self._refuse(wanted, told, "désactivez les doublons")
            return
        if other := next(filter(None, (self._ledger.claim(one, wanted.key) for one in claims(wanted.resource))), None):
            self._refuse(wanted, f"a un numéro qui est aussi celui de {other}", "signalez-le au registre")
            return
        if found is not None and found["id"] != wanted.key.id:
            self._ledger.know(wanted.key, found["id"])
        after = _referring(wanted.resource, self._ledger)
        if found is not None:
            if not self._may_write(found, weak=wanted.weak):
                self._told.counts.left += 1
                self._ledger.decide(wanted, Action.LEFT)
                return
            after["id"] = found["id"]
        after["meta"] = self._meta(wanted.resource, found)
        self._note(wanted, after, found)

    def _note(self, wanted: Wanted, after: Json, before: Json | None) -> None:
        counts = self._told.counts
        if before is not None and _content(before) == _content(after):
            counts.unchanged += 1
            self._told.resumed += {"system": RUNS, "code": self._told.run} in before["meta"].get("tag", ())
            self._ledger.decide(wanted, Action.UNCHANGED)
            return
        errors, _ = check(self._service.context.tools, after)
        if errors:
            where = ", ".join(errors[0].expression)
            told = f"ne donne pas une ressource FHIR valide ({where} : {errors[0].diagnostics})"
            self._refuse(wanted, told, "corrigez la valeur")
            return
        action = Action.CREATE if before is None else Action.UPDATE
        counts.created += before is None
        counts.updated += before is not None
        self._ledger.decide(wanted, action)
        self._ledger.change(
            action, Key(after["resourceType"], after["id"]), *_written(before, str(wanted.place), after)
        )

    # --- who manages what --------------------------------------------------------------------------------------------

    def _may_write(self, found: Json, *, weak: bool) -> bool:
        """A source writes what it manages, what a lower one does, and what nobody does if it was told to."""
        managers = _managers(found)
        if weak and managers - {str(self._owner)}:
            return False
        kinds = {code.partition(":")[0] for code in managers}
        if not kinds:
            return self._adopt
        return all(kind == self._owner.kind or RANKS.get(kind, 9) < self._owner.rank for kind in kinds)

    def _meta(self, resource: Json, found: Json | None) -> Json:
        """The tags of others stay; of the sources, those of the same kind."""
        before = (found or {}).get("meta", {})
        others = [tag for tag in before.get("tag", ()) if tag.get("system") not in {SOURCES, RUNS}]
        managers = {code for code in _managers(found or {}) if code.partition(":")[0] == self._owner.kind}
        sources = [{"system": SOURCES, "code": code} for code in sorted({*managers, str(self._owner)})]
        kept = {name: before[name] for name in ("security",) if name in before}
        run = {"system": RUNS, "code": self._told.run}
        return {**kept, **resource.get("meta", {}), "tag": [*others, *sources, run]}

    # --- what has vanished -------------------------------------------------------------------------------------------

    async def vanished(self, today: date, *, hold_back: bool) -> None:
        """Note as deactivated what the source manages and the files no longer have; the later types first.

        ``hold_back``: only count it.
        """
        for type_ in reversed(TYPES):
            async for page in managed(self._service, type_, self._owner):
                active = {_key(resource): resource for resource in page if is_active(resource)}
                self._told.managed += len(active)
                gone = active.keys() - self._ledger.wants(active)
                if hold_back:
                    self._told.held_back += len(gone)
                    continue
                for key in sorted(gone):
                    self._deactivate(active[key], today)

    def _deactivate(self, resource: Json, today: date) -> None:
        managers = sorted(_managers(resource) - {str(self._owner)})
        after = {**resource}
        tags = [tag for tag in resource["meta"]["tag"] if tag.get("system") not in {SOURCES, RUNS}]
        kept = managers or [str(self._owner)]
        run = {"system": RUNS, "code": self._told.run}
        after["meta"] = {
            **_client_meta(resource), "tag": [*tags, *({"system": SOURCES, "code": code} for code in kept), run]
        }  # fmt: skip
        if managers:
            self._told.counts.updated += 1
            action = Action.UPDATE
        else:
            name, value = ended(resource["resourceType"])
            after[name] = value
            if resource["resourceType"] in _PERIODS:
                after["period"] = {"end": today.isoformat(), **resource.get("period", {})}
            self._told.counts.deactivated += 1
            action = Action.DEACTIVATE
        self._ledger.change(action, _key(resource), *_written(resource, "", after))


def _managers(resource: Json) -> set[str]:
    return {tag["code"] for tag in resource.get("meta", {}).get("tag", ()) if tag.get("system") == SOURCES}


def _key(resource: Json) -> Key:
    return Key(resource["resourceType"], resource["id"])


def _client_meta(resource: Json) -> Json:
    return {name: value for name, value in resource["meta"].items() if name not in {"versionId", "lastUpdated"}}


def _content(resource: Json) -> Json:
    """A resource but for what the server and a run put on it."""
    meta = _client_meta(resource)
    meta["tag"] = sorted(
        (tag.get("system", ""), tag.get("code", "")) for tag in meta.get("tag", ()) if tag.get("system") != RUNS
    )
    return {**resource, "meta": meta}


def _written(before: Json | None, place: str, after: Json) -> tuple[int, str, Json, Json | None]:
    version = int(before["meta"]["versionId"]) if before else 0
    return version, place, after, before


def _referring(resource: Json, ledger: Ledger) -> Json:
    """Return a copy whose references name what the store knows."""
    if not ledger.has_aliases:
        return {**resource}

    def copied(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: named(item) if name == "reference" else copied(item) for name, item in value.items()}
        return [copied(item) for item in value] if isinstance(value, list) else value

    def named(text: Any) -> Any:
        type_, _, id_ = str(text).partition("/")
        return f"{type_}/{ledger.known(Key(type_, id_))}" if id_ else text

    found: Json = copied(resource)
    return found


def targets(resource: Json) -> Iterator[Key]:
    """Yield the keys that a resource refers to."""
    stack: list[Any] = [resource]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            text = value.get("reference")
            if isinstance(text, str) and "/" in text:
                yield Key(*text.split("/", 1))
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
