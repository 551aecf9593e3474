"""export: see ``fhir_server.maintenance.export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fhir_server.cli.maintaining import STORE, Commands, add_types, bar, parser, run, settings_for, types_of
from fhir_server.cli.speech import number, say
from fhir_server.interactions.history import public_log_id
from fhir_server.maintenance.export import Exported, export
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.primitives import interval
from fhir_server.settings import Settings


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = parser(
        commands,
        "export",
        (*STORE, "zone"),
        "Export the current resources as NDJSON, a file for each type.",
        "The server may run meanwhile; files of an earlier export in the folder are replaced. "
        "With `cpts ID` instead of a folder: the description of that CPTS, as YAML, on standard output.",
    )
    own.add_argument("folder", type=Path, metavar="DIR", help="the folder to write to; made if it does not exist")
    own.add_argument("id", nargs="?", metavar="ID", help="after `cpts`: the CPTS whose description is written")
    add_types(own)
    own.add_argument("--since", metavar="DATE", help="only what was created or updated since this date or instant")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    settings = settings_for(options)
    if options.id is not None:
        return _describe(settings, options)
    done = run(_export(settings, options), "No file was changed.")
    for type_, count in done.resources.items():
        say(f"{number(count):>12}  {type_}.ndjson")
    say(f"{number(sum(done.resources.values()), 'resource')} in {options.folder}.")
    say(f"What changes from here on: _history?_after={public_log_id(done.head.log_id)}.{done.head.number}")
    return 0


def _describe(settings: Settings, options: argparse.Namespace) -> int:
    from fhir_server.app import describe_cpts  # noqa: PLC0415 late: --help must be quick

    if options.folder != Path("cpts") or options.type or options.since:
        raise CommandFailed("export takes a folder with its flags, or: cpts ID.")
    say(run(describe_cpts(settings, options.id), "Nothing was written.").rstrip("\n"))
    return 0


async def _export(settings: Settings, options: argparse.Namespace) -> Exported:
    from fhir_server.app import opened  # noqa: PLC0415 late: --help must be quick

    since = _since(options.since, settings)
    async with opened(settings) as service:
        types = types_of(options, service.context.registry.structures.resource_types)
        with bar("Exporting", " resources") as progress:
            return await export(service.context.store, options.folder, types, since=since, progress=progress)


def _since(text: str | None, settings: Settings) -> int | None:
    try:
        return None if text is None else interval(text, settings.zone)[0]
    except ValueError as error:
        raise CommandFailed(f"--since: {error}.") from None
