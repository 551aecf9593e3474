"""migrate: see ``fhir_server.maintenance.migrate``."""

from __future__ import annotations

import argparse
import os

from fhir_server.cli.flags import given_flags
from fhir_server.cli.maintaining import INDEXING, Commands, bar, parser, run, settings_for, told_beside
from fhir_server.cli.speech import number, say
from fhir_server.maintenance.migrate import Migrated, migrate
from fhir_server.settings import Settings, SettingsError, StartError


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    own = parser(
        commands,
        "migrate",
        tuple(name for name in INDEXING if name != "store"),
        "Move a store to another engine, with its history and its identity.",
        "The old store may be in use until the end; then no server writes it any more. Run again after an "
        "interruption, it goes on.",
    )
    own.add_argument("--from", dest="source", required=True, metavar="STORE", help="the store that is there")
    own.add_argument("--to", dest="store", required=True, metavar="STORE", help="the store to make")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    source, target = _settings(options)
    done = run(_migrate(source, target), "What was copied stays; run the command again to go on.")
    found = f" ({number(done.found)} were there already)" if done.found else ""
    say(
        f"Migrated and verified: {number(done.changes, 'version')} in {number(done.commits, 'commit')}{found}. "
        f"{target.store_shown} is the store now; nothing is written to {source.store_shown} any more."
    )
    return 0


def _settings(options: argparse.Namespace) -> tuple[Settings, Settings]:
    """Return the settings of both stores. Raises ``StartError``."""
    from fhir_server.app import is_there  # noqa: PLC0415 late: --help must be quick

    source = _named("--from", options, options.source)
    _named("--to", options, options.store)
    if source.store == options.store:
        raise StartError("--from and --to are the same store.")
    if not is_there(source):
        raise StartError(f"There is no store at {source.store_shown}; give another with --from.")
    return source, settings_for(options, makes_store=True)


def _named(flag: str, options: argparse.Namespace, store: str) -> Settings:
    try:
        return Settings.read({**given_flags(options), "store": store}, os.environ)
    except SettingsError as error:
        raise SettingsError(str(error).replace("--store", flag, 1)) from None


async def _migrate(source: Settings, target: Settings) -> Migrated:
    from fhir_server.app import open_engine, opened, system_clock  # noqa: PLC0415 late: --help must be quick

    async with opened(target) as service:
        store = open_engine(source, system_clock)
        await store.open()
        try:
            with bar("Migrating", " commits") as progress:
                return await migrate(store, service.context, tell=told_beside, progress=progress)
        finally:
            await store.close()
