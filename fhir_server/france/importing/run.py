"""An import: everything is read, checked and compared on the disk first, and may be refused there; then it is written.

The id of a run is a digest of what it was given, so the second run of an interrupted one is the same run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from fhir_server.france.importing.applying import apply
from fhir_server.france.importing.comparing import Comparison
from fhir_server.france.importing.findings import Refused, Remark, unreadable
from fhir_server.france.importing.ledger import Ledger
from fhir_server.france.importing.matching import claims
from fhir_server.france.importing.source import Counts, Owner, Source, Told
from fhir_server.france.importing.vanishing import vanished
from fhir_server.maintenance.progress import CommandFailed, Progress, unheard
from fhir_server.service import Service

MAX_DEACTIVATED: Final = 15
"""Percent of what a source manages that may vanish at once."""
STEP: Final = 1_000
"""Resources after which progress is told."""

Bars = Callable[[str], Progress]
"""Gives the progress of a step, by its title."""


@dataclass(frozen=True, slots=True)
class Options:
    """How an import is done.

    ``partial``: import the lines that are right although others are refused. ``adopt``: write also what is there and no
    import manages. ``max_deactivated``: percent.
    """

    dry_run: bool = False
    partial: bool = False
    adopt: bool = False
    max_deactivated: int = MAX_DEACTIVATED


class Abnormal(CommandFailed):
    """More would be deactivated than is normal; nothing was written."""


class LinesRefused(CommandFailed):
    """Lines were refused, and the import was not told to go on without them; nothing was written."""


class Import:
    """One run of a source; ``prepare`` writes nothing, ``write`` only what it found."""

    def __init__(self, service: Service, source: Source, run: str, options: Options, ledger: Ledger) -> None:
        """``run``: its id."""
        self._service, self._source, self._options = service, source, options
        self.ledger = ledger
        self.told = Told(run)
        self._is_blind = False
        """Whether a refused line could not be told what it stands for: then nothing counts as vanished."""

    async def prepare(self, tell: Callable[[Refused | Remark], None], bars: Bars = lambda _title: unheard) -> None:
        """Read and compare. Raises ``FileRefused``, ``LinesRefused`` or ``Abnormal``; then nothing is to be written."""

        def refused(finding: Refused) -> None:
            self.told.refused += 1
            self._is_blind = self._is_blind or not finding.keys
            self.ledger.keep(finding.keys)
            tell(finding)

        self._read(refused, tell, bars("Lecture"))
        owner = self._source.owner
        comparison = Comparison(self._service, self.ledger, owner, self.told, refused, adopt=self._options.adopt)
        await comparison.compare(bars("Comparaison"))
        if self.told.refused and not self._options.partial:
            rest = ", ou importez le reste avec --partial" if self.told.counts != Counts() else ""
            raise LinesRefused(f"{self.told.refused} refus ; rien n'a été écrit. Corrigez le fichier{rest}.")
        await vanished(self._service, self.ledger, owner, self.told, self._today(), hold_back=self._is_blind)
        self._refuse_abnormal()

    async def write(self, bars: Bars = lambda _title: unheard) -> None:
        """Write the changes. Raises ``CommandFailed`` saying what was written and what remains."""
        await apply(self._service, self.ledger, bars("Écriture"))

    def _read(self, refuse: Callable[[Refused], None], remark: Callable[[Remark], None], progress: Progress) -> None:
        for count, found in enumerate(self._source, 1):
            if isinstance(found, Remark):
                remark(found)
            elif isinstance(found, Refused):
                refuse(found)
            elif (other := self.ledger.want(found, claims(found.resource))) is not None:
                told = f"{found.key.type}/{found.key.id} est déjà décrit autrement ({other})"
                refuse(Refused(found.place, told, "gardez une seule description", (found.key,)))
            if count % STEP == 0:
                progress(*self._source.position)
        progress(*self._source.position)

    def _refuse_abnormal(self) -> None:
        gone, managed = self.told.counts.deactivated, self.told.managed
        if gone * 100 > managed * self._options.max_deactivated:
            raise Abnormal(
                f"{gone} des {managed} ressources que gère cet import seraient désactivées : plus de "
                f"{self._options.max_deactivated} %. Rien n'a été écrit. Vérifiez que le fichier est complet ; "
                f"s'il l'est, relancez avec --max-deactivated {-(-gone * 100 // managed)}."
            )

    def _today(self) -> date:
        context = self._service.context
        return datetime.fromtimestamp(context.clock() / 1_000_000, context.zone).date()


def run_id(owner: Owner, path: Path) -> str:
    """Return the id of the import of this file by a source: 16 hexadecimal digits. Raises ``FileRefused``."""
    digest = hashlib.sha256(str(owner).encode())
    try:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise unreadable(path, error) from None
    return digest.hexdigest()[:16]
