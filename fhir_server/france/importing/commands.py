"""One import from beginning to end, as a command asks for it and a person reads of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from fhir_server.france.importing import report
from fhir_server.france.importing.annuaire_file import AnnuaireFile
from fhir_server.france.importing.cpts_file import CptsFile
from fhir_server.france.importing.finess_file import FinessFile
from fhir_server.france.importing.ledger import Ledger
from fhir_server.france.importing.members_file import Cpts, MembersFile
from fhir_server.france.importing.run import Abnormal, Bars, Import, Options, run_id
from fhir_server.france.importing.source import Owner, Source, Told
from fhir_server.france.importing.tagged import is_active, managed
from fhir_server.france.importing.vocabulary import words
from fhir_server.france.vocabulary import TERRITORIAL_DIVISION, Json
from fhir_server.interactions.exchange import Request
from fhir_server.maintenance.progress import CommandFailed, unheard
from fhir_server.model.formats import parse
from fhir_server.outcome import Gone, NotFound
from fhir_server.service import Service

REGISTERS: Final[Mapping[str, Callable[..., Source]]] = {"annuaire": AnnuaireFile, "finess": FinessFile}
KINDS: Final = ("cpts", "membres", *REGISTERS)
"""What can be imported."""

_INSEE: Final = re.compile(r"(?:\d\d|2[AB])\d{3}")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to import: a file of a kind, for a CPTS or of some communes (INSEE codes), and how."""

    kind: str
    path: Path
    cpts: str | None = None
    communes: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)


async def import_file(
    service: Service, wish: Wish, *, tell: Tell, say: Tell, bars: Bars = lambda _title: unheard
) -> Told:
    """Import what is wished; ``tell`` takes each refusal or remark when it is found, ``say`` the lines of the report.

    Raises ``CommandFailed``: nothing was written, or the text says what was.
    """
    source = await _source(service, wish)
    with closing(Ledger()) as ledger:
        work = Import(service, source, run_id(source.owner, wish.path), wish.options, ledger)
        try:
            await work.prepare(lambda finding: tell(str(finding)), bars)
        except Abnormal:
            if wish.options.dry_run:  # what would be deactivated is what one wants to see then
                _say(report.diff(ledger), say)
            raise
        if wish.options.dry_run:
            _say(report.diff(ledger), say)
        else:
            await work.write(bars)
        if source.each_line:
            _say(report.lines(ledger), say)
        _say(report.summary(work.told, dry_run=wish.options.dry_run), say)
        return work.told


def _say(lines: Iterable[str], say: Tell) -> None:
    for line in lines:
        say(line)


async def _source(service: Service, wish: Wish) -> Source:
    """Return the source of the files. Raises ``CommandFailed``, ``FileRefused`` among them."""
    path = wish.path
    key = wish.cpts.removeprefix("cpts-") if wish.cpts else None
    if wish.kind in REGISTERS:
        return REGISTERS[wish.kind](path, *await _covered(service, key, wish.communes))
    if wish.communes or (wish.kind == "cpts" and key):
        raise CommandFailed(f"« import {wish.kind} » ne se limite pas à un territoire : enlevez --commune et --cpts.")
    if wish.kind == "cpts":
        return CptsFile(path)
    if key is None:
        raise CommandFailed("De quelle CPTS sont ces membres ? Donnez son id avec --cpts.")
    context = service.context
    today = datetime.fromtimestamp(context.clock() / 1_000_000, context.zone).date()
    await _organization(service, key)
    return MembersFile(path, Cpts(key, await _colleges(service, key)), today)


async def _covered(service: Service, key: str | None, communes: Sequence[str]) -> tuple[str, frozenset[str] | None]:
    """Return what an import of a register covers: its name, and the communes, None for all of France.

    Raises ``CommandFailed`` for a commune that cannot be one, or a CPTS that names none.
    """
    for code in communes:
        if _INSEE.fullmatch(code) is None:
            raise CommandFailed(f"« {code[:20]} » n'est pas un code commune INSEE (5 caractères, pas un code postal).")
    if key is None:
        return ("communes", frozenset(communes)) if communes else ("france", None)
    named = frozenset(_territory(await _organization(service, key))) | frozenset(communes)
    if not named:
        told = f"La CPTS « {key} » ne nomme pas ses communes : ajoutez-les à sa description, ou donnez --commune."
        raise CommandFailed(told)
    return key, named


def _territory(organization: Json) -> Iterator[str]:
    """Yield the INSEE codes of the communes of a CPTS."""
    for extension in organization.get("extension", ()):
        if extension["url"] == TERRITORIAL_DIVISION:
            parts = {part["url"]: part["valueCodeableConcept"] for part in extension["extension"]}
            yield parts["codeTerritorialDivision"]["coding"][0]["code"]


async def _organization(service: Service, key: str) -> Json:
    """Return the Organization of a CPTS. Raises ``CommandFailed`` if the store has none."""
    try:
        answer = await service.perform(Request("GET", f"Organization/cpts-{key}"))
    except (NotFound, Gone):
        told = f"La CPTS « {key} » n'est pas dans ce serveur ; importez d'abord sa description (import cpts)."
        raise CommandFailed(told) from None
    found: Json = parse(b"".join(answer.body))
    return found


async def _colleges(service: Service, key: str) -> dict[str, str]:
    """Return the colleges that the description of a CPTS has: name by id."""
    found: dict[str, str] = {}
    async for page in managed(service, "CareTeam", Owner("cpts", key)):
        for team in filter(is_active, (parse(stored.body) for stored in page if stored.body)):
            if "college" in words("equipes").of(team["category"]):
                found[team["id"].removeprefix(f"{key}-")] = team["name"]
    return found
