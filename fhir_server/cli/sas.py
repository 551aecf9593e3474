"""sas: the commands about the SAS platform, each a module of its own."""

from __future__ import annotations

import argparse
from types import ModuleType
from typing import Final

from fhir_server.cli import push_appointments, sas_check
from fhir_server.cli.maintaining import Commands

COMMANDS: Final[tuple[ModuleType, ...]] = (push_appointments, sas_check)
"""Modules that each add a command, as ``add`` of this one does."""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the group to the parser."""
    about = "the SAS, the national platform of access to care"
    group = commands.add_parser("sas", help=about, description=f"{about[:1].upper()}{about[1:]}. See docs/sas.md.")
    own = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(own)
