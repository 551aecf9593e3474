"""One import from beginning to end, as a command asks for it and a person reads of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from fhir_server.france.importing import report
from fhir_server.france.importing.cpts_file import CptsFile
from fhir_server.france.importing.ledger import Ledger
from fhir_server.france.importing.members_file import Cpts, MembersFile
from fhir_server.france.importing.run import Bars, Import, Options, run_id
from fhir_server.france.importing.source import Owner, Source, Told
from fhir_server.france.importing.tagged import is_active, managed
from fhir_server.france.importing.vocabulary import words
from fhir_server.interactions.exchange import Request
from fhir_server.maintenance.progress import CommandFailed, unheard
from fhir_server.outcome import Gone, NotFound
from fhir_server.service import Service

KINDS: Final = ("cpts", "membres")
"""What can be imported."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to import: files of a kind, for a CPTS or of some communes (INSEE codes), and how."""

    kind: str
    paths: Sequence[Path]
    cpts: str | None = None
    communes: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)


async def import_files(
    service: Service, wish: Wish, *, tell: Tell, say: Tell, bars: Bars = lambda _title: unheard
) -> Told:
    """Import what is wished; ``tell`` takes each refusal or remark when it is found, ``say`` the lines of the report.

    Raises ``CommandFailed``: nothing was written, or the text says what was.
    """
    source = await _source(service, wish)
    with closing(Ledger()) as ledger:
        work = Import(service, source, run_id(source.owner, wish.paths), wish.options, ledger)
        await work.prepare(lambda finding: tell(str(finding)), bars)
        if wish.options.dry_run:
            for line in report.diff(ledger):
                say(line)
        else:
            await work.write(bars)
        if source.each_line:
            for line in report.lines(ledger):
                say(line)
        for line in report.summary(work.told, dry_run=wish.options.dry_run):
            say(line)
        return work.told


async def _source(service: Service, wish: Wish) -> Source:
    """Return the source of the files. Raises ``CommandFailed``, ``FileRefused`` among them."""
    [path] = wish.paths
    if wish.kind == "cpts":
        return CptsFile(path)
    context = service.context
    today = datetime.fromtimestamp(context.clock() / 1_000_000, context.zone).date()
    return MembersFile(path, await _cpts(service, _named(wish)), today)


def _named(wish: Wish) -> str:
    if wish.cpts is None:
        raise CommandFailed("De quelle CPTS sont ces membres ? Donnez son id avec --cpts.")
    return wish.cpts.removeprefix("cpts-")


async def _cpts(service: Service, key: str) -> Cpts:
    """Return what the store has of a CPTS. Raises ``CommandFailed`` if it has none."""
    try:
        await service.perform(Request("GET", f"Organization/cpts-{key}"))
    except (NotFound, Gone):
        told = f"La CPTS « {key} » n'est pas dans ce serveur ; importez d'abord sa description (import cpts)."
        raise CommandFailed(told) from None
    colleges: dict[str, str] = {}
    async for page in managed(service, "CareTeam", Owner("cpts", key)):
        for team in filter(is_active, page):
            if "college" in words("equipes").of(team["category"]):
                colleges[team["id"].removeprefix(f"{key}-")] = team["name"]
    return Cpts(key, colleges)
