"""restore: see ``fhir_server.maintenance.restore``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fhir_server.cli.flags import settings_of
from fhir_server.cli.maintaining import INDEXING, Commands, bar, parser, run, settings_for, told_beside
from fhir_server.cli.speech import number, say
from fhir_server.maintenance.restore import Restored, restore, verify


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = parser(
        commands,
        "restore",
        INDEXING,
        "Restore a backup into an empty store.",
        "The file is read through before anything is written. Run again after an interruption, it goes on.",
    )
    own.add_argument("file", type=Path, metavar="FILE", help="a file that backup wrote")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    done = run(_restore(options), "What was restored stays; run the command again to go on.")
    if done.found == done.commits > 0:
        say(f"Nothing was left to restore: the store holds all {number(done.commits, 'commit')} of {options.file}.")
        return 0
    found = f" ({number(done.found)} were there already)" if done.found else ""
    say(
        f"Restored: {number(done.changes, 'version')} in {number(done.commits, 'commit')}{found}. "
        "The store has a new identity: clients that synchronise read the whole again."
    )
    return 0


async def _restore(options: argparse.Namespace) -> Restored:
    """Make no store before the file is known to be whole."""
    from fhir_server.app import opened  # noqa: PLC0415 late: --help must be quick

    settings_of(options)  # a wrong one is told before the file is read
    with bar("Restoring", "B") as progress:
        verified = verify(options.file, progress=progress)
        async with opened(settings_for(options, makes_store=True)) as service:
            return await restore(service.context, verified, tell=told_beside, progress=progress)
