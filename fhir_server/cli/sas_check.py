"""sas check: see ``fhir_server.france.sas.checking``, which the composition root gives. It needs no store."""

from __future__ import annotations

import argparse
import shutil

from fhir_server.cli.maintaining import Commands, run
from fhir_server.cli.speech import complain, say
from fhir_server.cli.tls import add_tls, tls_of


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the group."""
    about = "Play the requests of the SAS platform against a server, and say what the national recette would refuse."
    own = commands.add_parser(
        "check",
        help="say what would fail at the national recette",
        description=f"{about} Any server, ours or another's. Nothing is written unless --write is given.",
        epilog="Exit codes: 0 nothing fails, 1 something does, 2 wrong use. See docs/sas.md.",
    )
    own.add_argument("--base", required=True, metavar="URL", help="the base URL that the platform would call")
    own.add_argument(
        "--rpps", nargs="+", default=(), metavar="NUMBER", help="professionals with slots; else they are looked for"
    )
    own.add_argument(
        "--siret", nargs="+", default=(), metavar="NUMBER", help="structures of SOS Médecins; else they are looked for"
    )
    own.add_argument("--guide", default="1.2.0", metavar="VERSION", help="1.1.0 or 1.2.0 [default: 1.2.0]")
    own.add_argument(
        "--write", action="store_true", help="play INT_R02 with fictitious accounts, which are disabled at the end"
    )
    add_tls(own)
    own.add_argument("--language", choices=("fr", "en"), default="fr", help="of the texts [default: fr]")
    own.add_argument("--format", choices=("table", "json"), default="table", help="of the report [default: table]")
    own.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from fhir_server.app import check_sas  # noqa: PLC0415 late: --help must be quick

    work = check_sas(
        options.base,
        rpps=options.rpps,
        sirets=options.siret,
        guide=options.guide,
        write=options.write,
        tls=tls_of(options),
        language=options.language,
        width=None if options.format == "json" else shutil.get_terminal_size((100, 24)).columns,
        tell=complain,
    )
    has_failed, text = run(work, "The check is not complete.")
    say(text)
    return int(has_failed)
