"""The command ``fhir-server``.

Exit codes: 0 ended as asked; 1 not, or something was refused or found wrong; 2 a setting or flag is wrong; 130 and 143
interrupted.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from typing import Final, cast

from fhir_server import __version__
from fhir_server.cli import (
    backup,
    check,
    export,
    importing,
    load,
    load_package,
    migrate,
    reindex,
    restore,
    sas,
    serve,
    snapshot,
)
from fhir_server.cli.maintaining import SIGINT
from fhir_server.cli.speech import EXPECTED, open_streams, refuse, say
from fhir_server.settings import SettingsError

COMMANDS: Final = (
    serve,
    load,
    load_package,
    importing,
    export,
    backup,
    restore,
    migrate,
    check,
    reindex,
    snapshot,
    sas,
)

VERSION: Final = f"fhir-server {__version__} (FHIR R4 4.0.1, Python {platform.python_version()})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` are those of the process by default. Returns the exit code."""
    open_streams()
    options = _parser().parse_args(arguments)
    try:
        return cast("int", options.run(options))
    except SettingsError as error:
        return refuse(error, 2)
    except EXPECTED as error:
        return refuse(error, 1)
    except KeyboardInterrupt:
        return SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fhir-server",
        description="A FHIR R4 server for the French CPTS: rosters, teams, agendas, and the SAS platform's requests.",
        epilog=serve.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=VERSION, help="print the version, and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    version = commands.add_parser("version", help="print the version", description="Print the version.")
    version.set_defaults(run=_version)
    return parser


def _version(_options: argparse.Namespace) -> int:
    say(VERSION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
