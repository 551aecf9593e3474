"""check: see ``fhir_server.maintenance.check``."""

from __future__ import annotations

import argparse
from typing import Final

from fhir_server.cli.maintaining import INDEXING, Commands, bar, parser, run, settings_for, told_beside
from fhir_server.cli.speech import number, say
from fhir_server.maintenance.check import Checked, check
from fhir_server.settings import Settings

SHOWN: Final = 100
"""Problems that are shown one by one."""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = parser(
        commands,
        "check",
        INDEXING,
        "Check that the store is whole.",
        "The log is replayed and compared with what is read and found; references are followed. Changes nothing.",
    )
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    settings = settings_for(options)
    report = run(_check(settings), "Nothing was changed.")
    for line in _lines(report):
        say(line)
    return int(report.problems > 0)


async def _check(settings: Settings) -> Checked:
    from fhir_server.app import opened  # noqa: PLC0415 late: --help must be quick

    told = 0

    def tell(problem: str) -> None:
        nonlocal told
        told += 1
        if told <= SHOWN:
            told_beside(problem)
        elif told == SHOWN + 1:
            told_beside(f"There are more; only the first {SHOWN} are shown.")

    async with opened(settings) as service:
        with bar("Checking", " commits") as progress:
            return await check(service.context, tell=tell, progress=progress)


def _lines(report: Checked) -> list[str]:
    lines = [f"{'current':>12} {'deleted':>12}"]
    lines += [
        f"{number(report.current[type_]):>12} {number(report.deleted[type_]):>12}  {type_}"
        for type_ in sorted(report.current.keys() | report.deleted.keys())
    ]
    lines.append(f"{number(report.changes, 'version')} in {number(report.commits, 'commit')}.")
    if not report.counted:
        lines.append("Others wrote meanwhile, so the counts were not compared with those of searches.")
    if report.waiting:
        waiting = number(report.waiting, "resource")
        lines.append(f"Warning: waiting for reindex, since definitions have changed: {waiting}.")
    followed, nowhere = number(report.references, "reference"), number(report.dangling.total())
    lines.append(f"{followed} to resources of this server; leading nowhere: {nowhere}.")
    lines += [
        f"Warning: leading nowhere, from {source} to {target}: {number(count)}."
        for (source, target), count in sorted(report.dangling.items())
    ]
    if report.problems:
        lines.append(f"{number(report.problems, 'problem')}: see docs/commands.md for what to do.")
    else:
        lines.append("All is well: the replay of the log equals what is read and found.")
    return lines
