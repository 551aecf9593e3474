"""What the files want is compared with what the store has: what changes is made ready to be written.

What is the same is told by its bytes. While one page is checked and indexed, in another process, the next is compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from fhir_server.france.importing.findings import Fault, Refused
from fhir_server.france.importing.ledger import Action, Ledger, Noted
from fhir_server.france.importing.matching import Ambiguous, Known, claims
from fhir_server.france.importing.source import RANKS, RUNS, SOURCES, Owner, Told, Wanted
from fhir_server.france.importing.tagged import Sameness, client_meta, is_active, managers
from fhir_server.france.vocabulary import Json
from fhir_server.interactions.draft import Draft, Raw, Ready
from fhir_server.maintenance.progress import Progress
from fhir_server.model.formats import parse
from fhir_server.model.reference import Key
from fhir_server.service import Service

PAGE: Final = 200


class Verdict(NamedTuple):
    """What becomes of one resource that is wanted.

    ``fault``: why it is refused. ``after``, ``before``: what is to be written, what is there, where it changes.
    ``run``: which one wrote what is the same. ``is_managed``: whether it is in use, and the source's.
    """

    noted: Noted
    action: Action | None
    fault: Fault | None = None
    after: Json | None = None
    before: Json | None = None
    run: str | None = None
    is_managed: bool = False


class _Page(NamedTuple):
    verdicts: Sequence[Verdict]
    ready: asyncio.Task[list[Ready]]
    """Of those that change."""


class Comparison:
    """Compares one run with the store; what is found goes to the ledger, what is refused to ``refuse``."""

    def __init__(
        self, service: Service, ledger: Ledger, owner: Owner, told: Told, refuse: Callable[[Refused], None], adopt: bool
    ) -> None:
        self._service, self._ledger, self._owner, self._told = service, ledger, owner, told
        self._tell, self._adopt = refuse, adopt
        self._known, self._sameness = Known(service), Sameness(owner)
        self._refused: set[Key] = set()

    async def compare(self, progress: Progress) -> None:
        """Decide what becomes of everything that is wanted."""
        done, total = 0, self._ledger.count_wanted()
        before: _Page | None = None
        for chunk in self._ledger.wanted(PAGE):
            page = await self._page(chunk)
            if before is not None:
                self._settle(before.verdicts, await before.ready)
            before, done = page, done + len(chunk)
            progress(done, total)
        if before is not None:
            self._settle(before.verdicts, await before.ready)

    async def _page(self, chunk: Sequence[Noted]) -> _Page:
        """Return what becomes of a page, and have what changes made ready."""
        stored = await self._known.stored([noted.key for noted in chunk])
        runs = {noted.key: run for noted in chunk if (run := self._run(noted, stored.get(noted.key))) is not None}
        others = {noted.key: noted.wanted for noted in chunk if noted.key not in runs}
        there = await self._known.read(list(others.values()), stored)
        verdicts = []
        for noted in chunk:
            if noted.key not in runs:
                verdicts.append(self._verdict(noted, others[noted.key], there[noted.key]))
            elif self._ledger.has_aliases and b'"reference":' in noted.body:  # it may name what has another id here
                verdicts.append(self._verdict(noted, noted.wanted, parse(stored[noted.key])))
            else:
                verdicts.append(Verdict(noted, Action.UNCHANGED, run=runs[noted.key], is_managed=noted.is_active))
        context = self._service.context
        changed = [Raw(one.after, Key(one.noted.key.type, one.after["id"]), "") for one in verdicts if one.after]
        return _Page(verdicts, asyncio.create_task(context.preparer.prepare(context.tools, changed)))

    def _run(self, noted: Noted, stored: bytes | None) -> str | None:
        """Return which run wrote a resource that is there as it is wanted; None where one has to look closer."""
        if stored is None or self._ledger.is_contested(noted.key):
            return None
        return self._sameness.run(noted.key, noted.body, stored)

    def _verdict(self, noted: Noted, wanted: Wanted, found: Json | Ambiguous | None) -> Verdict:
        if isinstance(found, Ambiguous):
            told = f"plusieurs {noted.key.type} du serveur ont l'un de ses identifiants : {found}"
            return Verdict(noted, None, Fault(told, "rendez inactif celui qui est en trop, puis relancez cet import"))
        if (other := self._other(noted, wanted)) is not None:
            fault = Fault(f"a un numéro qui est aussi celui de {other}", "signalez-le au registre")
            return Verdict(noted, None, fault)
        if found is not None and found["id"] != noted.key.id:
            self._ledger.know(noted.key, found["id"])
        after = _referring(wanted.resource, self._ledger)
        is_managed = found is not None and is_active(found) and str(self._owner) in managers(found)
        if found is not None:
            if not self._may_write(found, weak=noted.weak):
                return Verdict(noted, Action.LEFT, is_managed=is_managed)
            after["id"] = found["id"]
        after["meta"] = self._meta(wanted.resource, found)
        if found is None:
            return Verdict(noted, Action.CREATE, after=after)
        if _content(found) == _content(after):
            return Verdict(noted, Action.UNCHANGED, run=_run(found), is_managed=is_managed)
        return Verdict(noted, Action.UPDATE, after=after, before=found, is_managed=is_managed)

    def _other(self, noted: Noted, wanted: Wanted) -> str | None:
        """Return the id of another resource of this run that has a number of this one."""
        if not self._ledger.is_contested(noted.key):
            return None
        return next(filter(None, (self._ledger.take(one, noted.key) for one in claims(wanted.resource))), None)

    # --- what was decided --------------------------------------------------------------------------------------------

    def _settle(self, verdicts: Sequence[Verdict], ready: Sequence[Ready]) -> None:
        """Note what becomes of a page; refuse what is not valid, and what depends on what is refused."""
        made = iter(ready)
        decided: list[tuple[Key, Action]] = []
        for verdict in verdicts:
            key = verdict.noted.key
            draft = next(made) if verdict.after is not None else None
            fault = self._dependence(verdict.noted) or verdict.fault or _invalid(draft)
            if fault is not None:
                self._refused.add(key)
                self._tell(Refused(verdict.noted.place, fault.reason, fault.remedy, (key,)))
                continue
            assert verdict.action is not None  # noqa: S101 - only a fault has none
            if isinstance(draft, Draft) and verdict.after is not None:
                there = Key(key.type, verdict.after["id"])
                self._ledger.change(verdict.action, there, str(verdict.noted.place), draft, verdict.before)
            self._count(verdict)
            decided.append((key, verdict.action))
        self._ledger.decide(decided)

    def _dependence(self, noted: Noted) -> Fault | None:
        if not self._refused or self._refused.isdisjoint(targets(parse(noted.body))):
            return None
        return Fault("dépend d'une ressource refusée", "corrigez celle-ci d'abord")

    def _count(self, verdict: Verdict) -> None:
        counts = self._told.counts
        counts.created += verdict.action is Action.CREATE
        counts.updated += verdict.action is Action.UPDATE
        counts.unchanged += verdict.action is Action.UNCHANGED
        counts.left += verdict.action is Action.LEFT
        self._told.resumed += verdict.run == self._told.run
        self._told.managed += verdict.is_managed

    # --- who manages what --------------------------------------------------------------------------------------------

    def _may_write(self, found: Json, *, weak: bool) -> bool:
        """A source writes what it manages, what a lower one does, and what nobody does if it was told to."""
        those = managers(found)
        if weak and those - {str(self._owner)}:
            return False
        kinds = {code.partition(":")[0] for code in those}
        if not kinds:
            return self._adopt
        return all(kind == self._owner.kind or RANKS.get(kind, 9) < self._owner.rank for kind in kinds)

    def _meta(self, resource: Json, found: Json | None) -> Json:
        """The tags of others stay; of the sources, those of the same kind."""
        before = (found or {}).get("meta", {})
        others = [tag for tag in before.get("tag", ()) if tag.get("system") not in {SOURCES, RUNS}]
        kinsmen = {code for code in managers(found or {}) if code.partition(":")[0] == self._owner.kind}
        sources = [{"system": SOURCES, "code": code} for code in sorted({*kinsmen, str(self._owner)})]
        kept = {name: before[name] for name in ("security",) if name in before}
        run = {"system": RUNS, "code": self._told.run}
        return {**kept, **resource.get("meta", {}), "tag": [*others, *sources, run]}


def _content(resource: Json) -> Json:
    """A resource but for what the server and a run put on it."""
    meta = client_meta(resource)
    meta["tag"] = sorted(
        (tag.get("system", ""), tag.get("code", "")) for tag in meta.get("tag", ()) if tag.get("system") != RUNS
    )
    return {**resource, "meta": meta}


def _run(resource: Json) -> str | None:
    """Return which run wrote a resource last."""
    return next((tag.get("code") for tag in resource["meta"].get("tag", ()) if tag.get("system") == RUNS), None)


def _invalid(draft: Ready | None) -> Fault | None:
    if draft is None or isinstance(draft, Draft):
        return None
    where = ", ".join(draft[0].expression)
    return Fault(f"ne donne pas une ressource FHIR valide ({where} : {draft[0].diagnostics})", "corrigez la valeur")


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
