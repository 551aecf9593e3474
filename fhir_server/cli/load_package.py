"""load-package: see ``fhir_server.maintenance.conformance``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fhir_server.cli.load import tell
from fhir_server.cli.maintaining import INDEXING, Commands, bar, parser, run, settings_for, told_beside
from fhir_server.cli.speech import number, say
from fhir_server.definitions.package import Package, PackageError, read_package
from fhir_server.maintenance.load import Loaded
from fhir_server.settings import Settings


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = parser(
        commands,
        "load-package",
        (*INDEXING, "resource_bytes", "commit_bytes"),
        "Load the definitions of FHIR packages.",
        "A package is read through before anything is stored; one that is not sound is refused whole.",
    )
    own.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a FHIR package (.tgz)")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    packages: list[Package] = []
    for path in options.files:
        try:
            packages.append(read_package(path))
        except PackageError as error:
            told_beside(f"{path}: {error}")
    settings = settings_for(options, makes_store=True)
    reports = run(_load(settings, packages), "What was loaded stays; run the command again to go on.")
    for package, report in zip(packages, reports, strict=True):
        say(_summary(package, report))
    return int(len(packages) < len(options.files) or any(report.refused for report in reports))


async def _load(settings: Settings, packages: Sequence[Package]) -> list[Loaded]:
    from fhir_server.app import opened  # noqa: PLC0415 late: --help must be quick
    from fhir_server.maintenance.conformance import store_published  # noqa: PLC0415
    from fhir_server.maintenance.published import of_package  # noqa: PLC0415

    reports = []
    async with opened(settings) as service:
        for package in packages:
            with bar(f"Loading {package}", " definitions") as progress:
                reports.append(await store_published(service, of_package(package), tell, progress))
    return reports


def _summary(package: Package, report: Loaded) -> str:
    needs = f" It builds on {', '.join(package.dependencies)}." if package.dependencies else ""
    return (
        f"{package}: {number(report.created)} created, {number(report.updated)} updated, "
        f"{number(report.unchanged)} unchanged, {number(report.refused)} not stored.{needs}"
    )
