"""FHIR packages made for tests: members as they are given, sound or not."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MANIFEST: dict[str, Any] = {"name": "fictif.fhir", "version": "1.0.0", "fhirVersions": ["4.0.1"], "title": "Fictif"}


def member(name: str, content: bytes | dict[str, Any] = b"", **header: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of an archive; ``header`` sets fields of it (``type``, ``linkname``, ``size``)."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in header.items():
        setattr(info, field, value)
    return info, data


def archive(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return a tar archive, not compressed."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if data else None)
    return made.getvalue()


def package(
    path: Path,
    *resources: dict[str, Any],
    members: Iterable[tuple[tarfile.TarInfo, bytes]] = (),
    **manifest: Any,
) -> Path:
    """Write a package of resources, named by type and id, and of other members."""
    own = [member(f"package/{one['resourceType']}-{one.get('id', 'none')}.json", one) for one in resources]
    head = member("package/package.json", MANIFEST | manifest)
    path.write_bytes(gzip.compress(archive([head, *own, *members]), compresslevel=1))
    return path
