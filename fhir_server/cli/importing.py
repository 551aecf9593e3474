"""import: see ``fhir_server.france.importing``, which the composition root gives. What it says of a file is French."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fhir_server.cli.maintaining import INDEXING, Commands, bar, parser, run, settings_to_write, told_beside
from fhir_server.cli.speech import say
from fhir_server.maintenance.progress import Progress
from fhir_server.settings import Settings

KINDS: Final = ("cpts", "membres", "annuaire", "finess")
PERCENT: Final = 15


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = parser(
        commands,
        "import",
        (*INDEXING, "commit_bytes"),
        "Import a CPTS description, a list of members, the Annuaire Santé or FINESS.",
        "Everything is read and compared first; what is refused there writes nothing. Run again, it changes nothing.",
    )
    own.add_argument("kind", choices=KINDS, help="what the file is")
    own.add_argument("path", type=Path, metavar="FILE", help="the file")
    own.add_argument("--cpts", metavar="ID", help="the CPTS: whose members these are, or whose communes are wanted")
    own.add_argument("--commune", action="append", metavar="CODE", help="only this commune (INSEE); may be repeated")
    own.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    own.add_argument("--partial", action="store_true", help="import the lines that are right although others are not")
    own.add_argument("--adopt", action="store_true", help="also change what is there already and no import manages")
    own.add_argument(
        "--max-deactivated",
        type=_percent,
        default=PERCENT,
        metavar="PERCENT",
        help=f"how much of what this source manages may be deactivated at once [default: {PERCENT}]",
    )
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    interrupted = "Ce qui est écrit reste ; relancez la même commande pour continuer."
    with TemporaryDirectory(prefix="fhir-server-") as folder:
        settings = settings_to_write(options, f"sqlite:{folder}/rehearsal.sqlite")
        return int(run(_import(settings, options), interrupted) > 0)


async def _import(settings: Settings, options: argparse.Namespace) -> int:
    from fhir_server.app import import_file  # noqa: PLC0415 late: --help must be quick

    with ExitStack() as shown:
        return await import_file(
            settings,
            options.kind,
            options.path,
            tell=told_beside,
            say=say,
            bars=_bars(shown),
            cpts=options.cpts,
            communes=options.commune or (),
            dry_run=options.dry_run,
            partial=options.partial,
            adopt=options.adopt,
            max_deactivated=options.max_deactivated,
        )


def _bars(shown: ExitStack) -> Callable[[str], Progress]:
    """Return what gives a bar for each step, the one before taken away."""

    def begin(title: str) -> Progress:
        shown.close()
        return shown.enter_context(bar(title, ""))

    return begin


def _percent(text: str) -> int:
    found = int(text)
    if not 0 <= found <= 100:
        raise ValueError
    return found
