"""load: see ``fhir_server.maintenance.load``."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fhir_server.cli.maintaining import INDEXING, Commands, bar, parser, run, settings_to_write, told_beside
from fhir_server.cli.speech import number, say
from fhir_server.maintenance.documents import Sources, sources
from fhir_server.maintenance.load import Loaded, Refusal, load
from fhir_server.outcome import Issue
from fhir_server.settings import Settings

SHOWN: Final = 5
"""Issues of one resource that its line shows."""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    flags = (*INDEXING, "bundle_entries", "body_bytes", "commit_bytes")
    own = parser(
        commands,
        "load",
        flags,
        "Load resources and Bundles from files and folders.",
        "Run again after an interruption, it goes on where it stopped; what is there already stays as it is.",
    )
    own.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a file (.json, .ndjson, or .gz of it) or folder"
    )
    own.add_argument("--dry-run", action="store_true", help="say what would be refused, and store nothing")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    given = sources(options.paths)
    with TemporaryDirectory(prefix="fhir-server-") as folder:
        rehearsed = f"sqlite:{folder}/rehearsal.sqlite"
        settings = settings_to_write(options, rehearsed)
        report = run(
            _load(settings, given, dry_run=options.dry_run),
            "What was loaded stays; run the command again to go on.",
        )
    say(_summary(report, given, dry_run=options.dry_run))
    return int(report.refused > 0)


async def _load(settings: Settings, given: Sources, *, dry_run: bool) -> Loaded:
    from fhir_server.app import opened  # noqa: PLC0415 late: --help must be quick

    async with opened(settings) as service:
        with bar("Checking" if dry_run else "Loading", "B") as progress:
            return await load(service, given, refuse=tell, dry_run=dry_run, progress=progress)


def tell(refusal: Refusal) -> None:
    """Write a line of what was refused, and why."""
    told = "; ".join(map(_issue, refusal.issues[:SHOWN]))
    more = len(refusal.issues) - SHOWN
    told_beside(f"{refusal.place}: {told}" + (f"; and {more} more" if more > 0 else ""))


def _issue(issue: Issue) -> str:
    where = ", ".join(path for path in issue.expression if not path.startswith("http"))
    if not where or issue.diagnostics.startswith(where):
        return issue.diagnostics
    return f"{where}: {issue.diagnostics}"


def _summary(report: Loaded, given: Sources, *, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    parts = [
        f"{number(report.created)} {would}created",
        f"{number(report.updated)} {would}updated",
        f"{number(report.unchanged)} unchanged",
    ]
    if report.deleted:
        parts.append(f"{number(report.deleted)} {would}deleted")
    parts.append(f"{number(report.refused)} refused")
    skipped = f" Skipped, of other kinds: {number(given.skipped, 'file')}." if given.skipped else ""
    return f"{number(len(given.files), 'file')}: {', '.join(parts)}.{skipped}"
