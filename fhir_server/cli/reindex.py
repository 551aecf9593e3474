"""reindex: see ``fhir_server.maintenance.reindex``."""

from __future__ import annotations

import argparse

from fhir_server.cli.maintaining import (
    INDEXING,
    Commands,
    add_types,
    bar,
    parser,
    run,
    settings_for,
    told_beside,
    types_of,
)
from fhir_server.cli.speech import number, say
from fhir_server.maintenance.reindex import Reindexed, reindex
from fhir_server.settings import Settings


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = parser(
        commands,
        "reindex",
        INDEXING,
        "Compute anew what resources are found by.",
        "The server may run meanwhile. Only what differs is written, so a second run goes on after an interruption.",
    )
    add_types(own)
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    settings = settings_for(options)
    report = run(_reindex(settings, options), "What was written stays; run the command again to do the rest.")
    for type_, count in sorted(report.read.items()):
        say(f"{number(count):>12} {type_}: {number(report.written[type_])} written")
    say(f"Read: {number(report.read.total(), 'resource')}; indexed anew: {number(report.written.total())}.")
    if report.newer:
        told = "Left alone, since newer definitions than this program's indexed them"
        say(f"{told}: {number(report.newer, 'resource')}.")
    return int(report.failed > 0)


async def _reindex(settings: Settings, options: argparse.Namespace) -> Reindexed:
    from fhir_server.app import opened  # noqa: PLC0415 late: --help must be quick

    async with opened(settings) as service:
        types = types_of(options, service.context.registry.structures.resource_types)
        with bar("Reindexing", " resources") as progress:
            return await reindex(service.context, types, tell=told_beside, progress=progress)
