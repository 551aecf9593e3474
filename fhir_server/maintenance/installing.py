"""What a start does: this project's definitions and those of packages into the store, where they are not there yet.

Nothing of it stops a start. What is refused is logged, and so is a store that cannot be written: what is in it can be
served all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fhir_server.definitions.guide import Folder
from fhir_server.definitions.package import PackageError, fingerprint, read_package
from fhir_server.maintenance.conformance import recorded_fingerprints, store_published
from fhir_server.maintenance.load import Refusal
from fhir_server.maintenance.published import Published, of_folder, of_package
from fhir_server.outcome import FhirError
from fhir_server.service import Service
from fhir_server.storage.protocol import StoreError

_LOG: Final = logging.getLogger(__name__)


async def install(service: Service, *, own: bool = True, packages: str = "") -> None:
    """Store what is missing of our definitions and of the packages in a folder; empty: none."""
    if own:
        await _store(service, of_folder(Folder()))
    if packages:
        try:
            known = await recorded_fingerprints(service)
        except (FhirError, StoreError) as error:
            _LOG.error("the packages in %s are not looked at: %s", packages, error)
            return
        for published in _unknown(Path(packages), known):
            await _store(service, published)


async def _store(service: Service, published: Published) -> None:
    try:
        report = await store_published(service, published, _log_refusal)
    except (FhirError, StoreError, ValueError) as error:  # a file that is none is a ValueError
        _LOG.error("%s is not stored: %s", published, error)
        return
    if report.created or report.updated or report.refused:
        told = "%s: %d definitions created, %d updated, %d unchanged, %d not stored"
        _LOG.info(told, published, report.created, report.updated, report.unchanged, report.refused)


def _unknown(folder: Path, known: frozenset[str]) -> Iterator[Published]:
    """Yield the packages of a folder that are not recorded as they are now: the others are not even unpacked."""
    for path in sorted(folder.glob("*.tgz")):
        try:
            if fingerprint(path) not in known:
                yield of_package(read_package(path))
        except PackageError as error:
            _LOG.error("the package %s is refused: %s", path.name, error)


def _log_refusal(refusal: Refusal) -> None:
    _LOG.warning("%s is not stored: %s", refusal.place, "; ".join(issue.diagnostics for issue in refusal.issues[:3]))
