"""backup: see ``fhir_server.maintenance.backup``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fhir_server import __version__
from fhir_server.cli.maintaining import STORE, Commands, bar, parser, run, settings_for
from fhir_server.cli.speech import number, say
from fhir_server.maintenance.backup import BackedUp, backup
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.settings import Settings


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = parser(
        commands,
        "backup",
        STORE,
        "Write the whole store, with its history, to one file.",
        "The server may run meanwhile; an earlier file of that name is replaced when the new one is whole.",
    )
    own.add_argument("file", type=Path, metavar="FILE", help="the file to write")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    settings = settings_for(options)
    if not settings.is_mongodb and _is_of_store(options.file, settings.sqlite_path):
        raise CommandFailed(f"{options.file} belongs to the store itself; give the name of another file.")
    done = run(_backup(settings, options.file), "No file was written.")
    held = f"{number(done.changes, 'version')} in {number(done.commits, 'commit')}"
    say(f"{options.file} holds {held}; {number(done.bytes, 'byte')}.")
    return 0


def _is_of_store(file: Path, database: Path) -> bool:
    """Tell whether a file is the database, or one of those that SQLite and the server keep beside it."""
    found, own = file.resolve(), database.resolve()
    return found.parent == own.parent and (found.name == own.name or found.name.startswith(f"{own.name}-"))


async def _backup(settings: Settings, file: Path) -> BackedUp:
    from fhir_server.app import opened  # noqa: PLC0415 late: --help must be quick

    async with opened(settings) as service:
        context = service.context
        with bar("Backing up", " commits") as progress:
            return await backup(context.store, file, created=context.clock(), software=__version__, progress=progress)
