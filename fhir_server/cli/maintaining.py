"""What the commands on a store share: their flags, their progress bar, how they are interrupted."""

from __future__ import annotations

import argparse
import asyncio
import logging.config
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

from fhir_server.cli.flags import add_flags, log_configuration, prepare_store, settings_of
from fhir_server.cli.speech import complain, heard_or_not
from fhir_server.maintenance.progress import CommandFailed, Progress
from fhir_server.settings import Settings, StartError

T = TypeVar("T")
Commands = argparse._SubParsersAction

STORE: Final = ("store",)
INDEXING: Final = ("store", "base_url", "zone", "types", "integrity")
"""What decides which index entries a resource has, beside its content."""
SIGTERM: Final = 143
SIGINT: Final = 130


def parser(commands: Commands[argparse.ArgumentParser], name: str, flags: tuple[str, ...], text: str, more: str) -> Any:
    """Return the parser of a command, to which its own flags are added."""
    found = commands.add_parser(
        name,
        help=text[:1].lower() + text[1:].rstrip("."),
        description=f"{text} {more}",
        epilog="Every other setting comes by its variable (FHIR_…), as for serve. See docs/commands.md.",
    )
    add_flags(found, flags)
    return found


def settings_for(options: argparse.Namespace, *, makes_store: bool = False) -> Settings:
    """Return the settings of a command on a store. Raises ``StartError`` if there is none and none is to be made."""
    from fhir_server.app import is_there  # noqa: PLC0415 late: --help must be quick

    settings = replace(settings_of(options), demo=False)
    if makes_store:
        prepare_store(settings)
    elif not is_there(settings):
        raise StartError(f"There is no store at {settings.store_shown}; give another with --store.")
    quiet = replace(settings, log_level="error" if settings.log_level == "error" else "warning")
    logging.config.dictConfig(log_configuration(quiet))
    return settings


def settings_to_write(options: argparse.Namespace, rehearsed: str) -> Settings:
    """Return the settings of a command that fills a store, or with ``--dry-run`` says what it would do.

    Such a rehearsal without a store takes the one given, for the moment. Whether clients may choose ids is not asked.
    """
    from fhir_server.app import is_there  # noqa: PLC0415 late: --help must be quick

    if options.dry_run and not is_there(settings_of(options)):
        options.store = rehearsed
    return replace(settings_for(options, makes_store=True), update_create=True)


def run(work: Coroutine[Any, Any, T], interrupted: str) -> T:
    """Do the work of a command; a signal ends it with a sentence, what it began undone or kept as the sentence says."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        complain(f"fhir-server: Interrupted. {interrupted}")
        sys.exit(SIGINT)
    except SystemExit:
        complain(f"fhir-server: Ended by a signal. {interrupted}")
        raise


@contextmanager
def bar(title: str, unit: str) -> Iterator[Progress]:
    """Show a progress bar, on a terminal only."""
    from tqdm import tqdm  # noqa: PLC0415 only here

    with tqdm(desc=title, unit=unit, unit_scale=True, disable=None, leave=False) as shown:

        def show(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield show


def told_beside(text: str) -> None:
    """Write a line to standard error without disturbing the bar."""
    from tqdm import tqdm  # noqa: PLC0415 only here

    with heard_or_not(sys.stderr):
        tqdm.write(text, file=sys.stderr)


def types_of(options: argparse.Namespace, known: frozenset[str]) -> frozenset[str]:
    """Return the resource types that ``--type`` names, all by default. Raises ``CommandFailed``."""
    names = frozenset(options.type or known)
    for name in sorted(names - known):
        raise CommandFailed(f"--type: {name} is not a resource type of FHIR R4.")
    return names


def add_types(parser: argparse.ArgumentParser) -> None:
    """Give a command the flag ``--type``, which ``types_of`` reads."""
    parser.add_argument(
        "--type", action="append", metavar="TYPE", help="this resource type only; may be given several times"
    )


def _leave(_number: int, _frame: object) -> None:
    sys.exit(SIGTERM)
