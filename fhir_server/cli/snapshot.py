"""snapshot: writes the snapshots and versions of a folder of profiles, and checks what its files say."""

from __future__ import annotations

import argparse
from pathlib import Path

from fhir_server.cli.maintaining import Commands
from fhir_server.cli.speech import complain, number, say
from fhir_server.definitions.authoring import completed, faults, text, unsaid
from fhir_server.definitions.guide import PROFILES, Folder
from fhir_server.definitions.snapshot import ProfileError
from fhir_server.definitions.structures import Structures


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = commands.add_parser(
        "snapshot",
        help="write the snapshots and versions of profiles",
        description="Write into each file of a folder its version and its snapshot, and lay the file out.",
        epilog="See docs/profiles.md.",
    )
    own.add_argument("folder", nargs="?", type=Path, default=PROFILES, metavar="FOLDER", help="profiles/ by default")
    own.add_argument("--check", action="store_true", help="write nothing; say what is not as it would be written")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        files = dict(Folder(options.folder).resources())
    except ValueError as error:
        complain(str(error))
        return 1
    told = list(faults(files))
    changed = []
    for name, resource in files.items():
        try:
            written = text(completed(resource, Structures.load()))
        except (ProfileError, KeyError) as error:
            told.append(f"{name}: {error}")
            continue
        told += [
            f"{name}: it says no {element}" for element in unsaid(resource, Structures.load()) if element != "version"
        ]
        if written != (options.folder / name).read_bytes():
            changed.append(name)
            if not options.check:
                (options.folder / name).write_bytes(written)
    if options.check:
        told += [f"{name}: it is not as `fhir-server snapshot` writes it" for name in changed]
    for fault in told:
        complain(fault)
    say(f"{number(len(files), 'file')}, {number(len(changed))} {'to be written' if options.check else 'written'}.")
    return int(bool(told))
