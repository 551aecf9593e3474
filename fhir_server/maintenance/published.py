"""A set of conformance resources as it is published, and the ImplementationGuide that records what was stored of it.

Spec: https://hl7.org/fhir/R4/implementationguide.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple

from fhir_server.definitions.canonical import OURS, VERSION
from fhir_server.definitions.guide import Folder
from fhir_server.definitions.package import Package, read_files
from fhir_server.model.formats import Resource

FINGERPRINT: Final = f"{OURS}StructureDefinition/fingerprint"
RECORD: Final = "ImplementationGuide"
ID_LENGTH: Final = 64

_NOT_OF_AN_ID: Final = re.compile(r"[^A-Za-z0-9.\-]+")


@dataclass(frozen=True, slots=True)
class Published:
    """Conformance resources as they are published. ``id`` is that of the ImplementationGuide that records them.

    ``has_ids``: the ids of its resources are ours alone; those of a package may be taken.
    """

    id: str
    package: str
    version: str
    title: str
    fingerprint: str
    files: Callable[[], Iterable[tuple[str, Resource]]]
    has_ids: bool = False
    count: int = 0
    """How many files there are, where that is known before they are read."""

    def __str__(self) -> str:
        return f"{self.package}#{self.version}"


def of_folder(folder: Folder) -> Published:
    """Return this project's own resources, as the files are now."""
    title = "Ressources de conformité des CPTS"
    return Published("cpts", "fr.cpts.fhir", VERSION, title, folder.fingerprint(), folder.resources, has_ids=True)


def of_package(package: Package) -> Published:
    """Return what a package publishes; each version of a package has a record of its own."""
    id_ = as_id(f"{package.name}-{package.version}")
    if len(id_) > ID_LENGTH:
        id_ = shortened(id_, str(package))
    title = package.title or package.name
    return Published(
        id_,
        package.name,
        package.version,
        title,
        package.fingerprint,
        lambda: read_files(package),
        count=package.documents,
    )


def as_id(text: str) -> str:
    """Return a text without what an id cannot have."""
    return _NOT_OF_AN_ID.sub("-", text)


def shortened(stem: str, of: str) -> str:
    """Return an id that begins with a stem and ends with what tells it from others of this stem."""
    return f"{stem[: ID_LENGTH - 9]}-{sha256(of.encode()).hexdigest()[:8]}"


# --- the record ------------------------------------------------------------------------------------------------------


class Recorded(NamedTuple):
    """What the record says of a file: the reference to its resource, and the fingerprint that was written."""

    reference: str
    mark: str


def record_of(published: Published, entries: Mapping[str, Recorded], refused: Sequence[str]) -> Resource:
    """Return the ImplementationGuide of what was stored, by file, and of what was refused, with the reasons."""
    resource: Resource = {
        "resourceType": RECORD,
        "id": published.id,
        "extension": [_mark(published.fingerprint)],
        "url": f"{OURS}{RECORD}/{published.id}",
        "version": published.version,
        "name": "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+", published.package)),
        "title": published.title,
        "status": "active",
        "packageId": published.package,
        "fhirVersion": ["4.0.1"],
    }
    if refused:
        resource["description"] = "Not stored:\n\n" + "\n".join(f"- {one}" for one in refused)
    if entries:
        resource["definition"] = {"resource": [_entry(name, entries[name]) for name in sorted(entries)]}
    return resource


def _entry(name: str, recorded: Recorded) -> dict[str, Any]:
    return {"extension": [_mark(recorded.mark)], "reference": {"reference": recorded.reference}, "name": name}


def _mark(value: str) -> dict[str, str]:
    return {"url": FINGERPRINT, "valueString": value}


def fingerprint_of(element: Mapping[str, Any]) -> str:
    """Return the fingerprint that a record, or an entry of it, carries; empty if none."""
    marks = (one.get("valueString", "") for one in element.get("extension", ()) if one.get("url") == FINGERPRINT)
    return next(marks, "")


def recorded(record: Mapping[str, Any]) -> Iterator[tuple[str, Recorded]]:
    """Yield what a record says of each file; entries that somebody else has added say nothing of a file."""
    for entry in record.get("definition", {}).get("resource", ()):
        reference, mark = entry["reference"].get("reference", ""), fingerprint_of(entry)
        if "name" in entry and mark and reference.count("/") == 1:
            yield entry["name"], Recorded(reference, mark)
